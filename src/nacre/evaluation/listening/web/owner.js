// The owner's page: how many came, what it comes to. Everything is put in as text.

const token = location.pathname.split("/")[2];
const api = `/api/owner/${token}`;
const main = document.getElementById("main");

function el(tag, set = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) node[name] = value;
  node.append(...inside);
  return node;
}

function table(caption, head, rows) {
  const cells = (tag, row) => el("tr", {}, ...row.map((each) => el(tag, {}, each)));
  const body = el("tbody", {}, ...rows.map((row) => cells("td", row)));
  return el("div", { className: "wide" }, el("table", {}, el("caption", {}, caption), el("thead", {}, cells("th", head)), body));
}

function number(value, digits = 2) {
  return value === null ? "–" : value.toFixed(digits);
}

function span(interval, digits) {
  return `${number(interval.low, digits)} to ${number(interval.high, digits)}`;
}

async function draw() {
  const reply = await fetch(api);
  const found = await reply.json();
  if (!reply.ok) throw new Error(found.error);
  document.title = `Results: ${found.title}`;
  document.getElementById("title").textContent = found.title;
  const counted = found.listeners.filter((each) => each.answers && !each.excluded).length;
  const invitation = el("input", { type: "text", readOnly: true, value: location.origin + found.invitation, id: "invite" });
  const picture = el("img", { src: `${api}/figure.svg`, alt: "Means and 95 % intervals; the tables below have the figures" });
  const label = { ab: "prefer the first", abx: "recognised" }[found.kind] ?? "difference";
  main.replaceChildren(
    el("section", { className: "card" },
      el("h1", {}, `${found.listeners.length} came, ${counted} count`),
      el("label", { htmlFor: "invite" }, "The link for listeners"), invitation, picture,
      el("p", {}, el("a", { href: `${api}/answers.csv` }, "Every judgement, as CSV"))),
    el("section", { className: "card" },
      ...(found.scores.length ? [table("Conditions", ["condition", "kbps", "mean", "95 % interval"],
        found.scores.map((s) => [s.condition, s.kbps ? number(s.kbps) : "", number(s.interval.mean), span(s.interval)]))] : []),
      ...(found.differences.length ? [table("Comparisons", ["first", "second", label, "95 % interval", "p", "p (Holm)"],
        found.differences.map((d) => [d.first, d.second, number(d.estimate.mean), span(d.estimate), number(d.p, 4), number(d.p_holm, 4)]))] : []),
      table("Listeners", ["name", "pages", "counts"],
        found.listeners.map((l) => [l.name, `${l.answers} of ${found.trials}`, l.excluded ? `no: ${l.excluded}` : l.answers ? "yes" : "no answers yet"])),
      ...(found.invited.length ? [table("Personal invitations", ["name", "link", "state"],
        found.invited.map(([name, path, taken]) => [name, location.origin + path, taken ? "accepted" : "not opened yet"]))] : []),
      ...(found.comments.length ? [table("Comments", ["listener", "item", "words"], found.comments)] : [])),
  );
}

draw().catch((error) => main.replaceChildren(el("p", {}, error.message)));
