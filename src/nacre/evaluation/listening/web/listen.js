// A listening test in a browser: welcome, practice, pages, thanks. The server knows the state; this shows it. All that
// anybody typed is put in as text, never as markup.

import { Player, load } from "./player.js";

const LETTERS = "ABCDEFGHIJKLMNOPQRST";
const WORDS = ["bad", "poor", "fair", "good", "excellent"];
const RETRY = 2000; // milliseconds between two tries to reach the server

const main = document.getElementById("main");
const notice = document.getElementById("notice");
const [, place, token] = location.pathname.split("/");
const take = `/api/take/${token}`;
let context = null;
let player = null;
let keys = () => false;

function el(tag, set = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...inside.filter((each) => each !== null));
  return node;
}

function show(...nodes) {
  if (player) player.silence();
  player = null;
  keys = () => false;
  main.replaceChildren(...nodes.filter((each) => each !== null));
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

function say(words) {
  notice.textContent = words;
}

async function ask(path, body) {
  const post = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  for (;;) {
    let reply = null;
    try {
      reply = await fetch(path, body === undefined ? {} : post);
    } catch {
      /* not reached: tried again below */
    }
    if (reply && reply.status < 500) {
      const said = await reply.json();
      if (!reply.ok) throw new Error(said.error);
      say("");
      return said;
    }
    say("The server cannot be reached. What you entered is kept here; trying again …");
    await new Promise((done) => setTimeout(done, RETRY));
  }
}

function paragraphs(text) {
  return text.split(/\n\s*\n/).map((part) => el("p", {}, part));
}

function head(test) {
  document.title = test.title;
  document.getElementById("title").textContent = test.title;
  const answered = test.pages ? test.pages.filter((page) => page.answered).length : 0;
  const bar = document.getElementById("progress");
  bar.hidden = !test.pages;
  bar.setAttribute("aria-valuemax", test.trials);
  bar.setAttribute("aria-valuenow", answered);
  bar.firstElementChild.style.width = `${(100 * answered) / test.trials}%`;
  return answered;
}

// welcome

async function welcome() {
  const test = await ask(`/api/join/${token}`);
  head(test);
  const known = Boolean(test.name); // a personal invitation: who it is for is known
  const name = el("input", { type: "text", id: "name", maxLength: 80, autocomplete: "nickname", required: true, value: test.name });
  const consent = el("input", { type: "checkbox", id: "consent", required: true });
  const form = el(
    "form",
    { onsubmit: (event) => begin(event, name, consent) },
    known ? el("p", {}, "You are invited as ", el("b", {}, test.name), ".") : el("label", { htmlFor: "name" }, "Your name or a nickname"),
    known ? null : name,
    el("label", { className: "check", htmlFor: "consent" }, consent, "I have read this and take part"),
    el("button", { type: "submit", className: "primary" }, "Begin"),
  );
  const hints = el("p", { className: "quiet" }, "Please use headphones, in a quiet room.");
  show(el("section", { className: "card text" }, el("h1", {}, "Welcome"), ...paragraphs(test.consent), hints, form));
}

async function begin(event, name, consent) {
  event.preventDefault();
  wake();
  try {
    const joined = await ask(`/api/join/${token}`, { name: name.value, consent: consent.checked });
    location.assign(joined.take);
  } catch (error) {
    say(error.message);
  }
}

function wake() {
  context ??= new AudioContext();
  return context;
}

// the test

async function next() {
  const test = await ask(take);
  const answered = head(test);
  const count = document.getElementById("count");
  const open = test.pages.findIndex((page) => !page.answered);
  count.textContent = "";
  if (!test.practice.answered) {
    count.textContent = "Practice";
    return page(test, "practice", test.practice.stimuli);
  }
  if (open < 0) return thanks();
  count.textContent = `Page ${answered + 1} of ${test.trials}`;
  return page(test, String(open), test.pages[open].stimuli);
}

function thanks() {
  const words = "All your answers have arrived. You may close this page.";
  show(el("section", { className: "card text done" }, el("h1", {}, "Thank you"), el("p", {}, words)));
}

const ASKED = {
  mushra: "How does each sound beside the reference? One of them is the reference itself.",
  ab: "Which of the two sounds better to you?",
  abx: "Which of the two is X?",
  acr: "How does this recording sound?",
};

async function page(test, name, stimuli) {
  const extra = { mushra: ["Reference"], abx: ["X"] }[test.kind] ?? [];
  const labels = [...LETTERS.slice(0, stimuli), ...extra];
  if (test.kind === "acr") labels[0] = "Recording";
  const status = el("p", { className: "quiet" }, "Loading sounds …");
  show(status);
  let buffers;
  try {
    buffers = await load(
      wake(),
      labels.map((_, i) => `${take}/sound/${name}/${i}`),
      (done, all) => (status.textContent = `Loading sounds … ${done} of ${all}`),
    );
  } catch (error) {
    say(`${error.message}; trying again …`);
    return setTimeout(() => page(test, name, stimuli), RETRY);
  }
  say("");
  draw(test, name, labels, buffers);
}

function draw(test, name, labels, buffers) {
  const practice = name === "practice";
  const began = performance.now();
  const heard = new Set();
  const note = el("textarea", { id: "comment", rows: 2, maxLength: 1000 });
  const submit = el("button", { type: "button", className: "primary", id: "next" }, practice ? "Start the test" : "Next");
  const missing = el("p", { className: "quiet", id: "missing", "aria-live": "polite" });
  const draft = `nacre:${token}:${name}`;
  const plays = labels.map((label, i) =>
    el("button", { type: "button", className: "play", "aria-pressed": "false", onclick: () => choose(i) }, label),
  );
  const extra = labels.length > 1 && labels.at(-1).length > 0 && !LETTERS.slice(0, labels.length).endsWith(labels.at(-1));
  plays.forEach((button, i) => button.setAttribute("aria-label", `Play ${labels[i]}`));
  const keep = () => {
    localStorage.setItem(draft, JSON.stringify({ answer: form.draft(), note: note.value }));
    check();
  };
  const form = { mushra: ratings, acr: opinion, ab: preference, abx: identity }[test.kind](labels, plays, keep);
  const bar = transport();

  function choose(i) {
    heard.add(i);
    player.choose(i);
    check();
  }
  function check() {
    const silent = labels.filter((_, i) => !heard.has(i));
    const words = silent.length ? `Still to hear: ${silent.join(", ")}` : form.missing();
    missing.textContent = words;
    submit.disabled = Boolean(words);
  }
  submit.addEventListener("click", async () => {
    submit.disabled = true;
    player.pause();
    try {
      if (practice) await ask(`${take}/practised`, {});
      else {
        const seconds = (performance.now() - began) / 1000;
        await ask(`${take}/answers/${name}`, { answer: form.answer(), comment: note.value, seconds });
      }
      localStorage.removeItem(draft);
      await next();
    } catch (error) {
      say(error.message);
      submit.disabled = false;
    }
  });

  show(
    practice ? el("p", { className: "banner" }, "Practice: listen around and try everything. This page is not counted.") : null,
    el("h1", { className: "asked" }, ASKED[test.kind]),
    el("section", { className: "card", "aria-label": "Player" }, el("div", { className: "transport" }, ...(extra ? [plays.at(-1)] : []), ...bar.nodes)),
    form.node,
    practice ? null : el("details", { className: "comment" }, el("summary", {}, "Add a comment"), el("label", { htmlFor: "comment" }, "What did you hear?"), note),
    el("div", { className: "foot" }, missing, submit),
    help(test.kind, extra ? labels.at(-1) : ""),
  );
  player = new Player(context, buffers, () => {
    plays.forEach((button, i) => {
      const on = player.playing && player.active === i;
      button.setAttribute("aria-pressed", on);
    });
    bar.tell();
  });
  note.addEventListener("input", keep);
  restore(draft, form, note);
  bar.start();
  keys = (key) => {
    const i = key === "r" && test.kind === "mushra" ? labels.length - 1 : labels.findIndex((label) => label.toLowerCase() === key);
    if (i >= 0) {
      choose(i);
      form.focus(i);
    } else if (test.kind === "acr" && key === "p") choose(0);
    else if (key === "enter") submit.click(); // nothing happens while something is missing
    else return form.key(key) || bar.key(key);
    return true;
  };
  check();
}

function restore(draft, form, note) {
  try {
    const kept = JSON.parse(localStorage.getItem(draft) ?? "null");
    if (kept) {
      note.value = kept.note;
      form.restore(kept.answer);
    }
  } catch {
    localStorage.removeItem(draft);
  }
}

function transport() {
  const toggle = el("button", { type: "button", className: "round", onclick: flip });
  const line = el("input", { type: "range", className: "line", min: 0, max: 1000, value: 0, "aria-label": "Position" });
  const clock = el("output", { className: "clock" });
  const from = el("button", { type: "button", className: "small", onclick: () => mark(0) }, "Loop from here");
  const to = el("button", { type: "button", className: "small", onclick: () => mark(1) }, "Loop to here");
  const whole = el("button", { type: "button", className: "small", onclick: () => mark(2) }, "Loop all");
  line.addEventListener("input", () => player.seek((line.value / 1000) * player.duration));
  function flip() {
    if (player.playing) player.pause();
    else player.choose(Math.max(0, player.active));
  }
  function mark(what) {
    const at = player.position;
    if (what === 0) player.loop(at, player.to > at + 0.2 ? player.to : player.duration);
    else if (what === 1) player.loop(player.from < at - 0.2 ? player.from : 0, at);
    else player.loop(0, player.duration);
    tell();
  }
  function tell() {
    toggle.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    toggle.classList.toggle("on", player.playing);
    line.style.setProperty("--from", `${(100 * player.from) / player.duration}%`);
    line.style.setProperty("--to", `${(100 * player.to) / player.duration}%`);
    place();
  }
  function place() {
    const at = player.position;
    line.value = (1000 * at) / player.duration;
    line.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${player.duration.toFixed(1)} seconds`);
    clock.textContent = `${at.toFixed(1)} / ${player.duration.toFixed(1)} s`;
  }
  function start() {
    const own = player;
    const tick = () => {
      if (player !== own) return;
      if (own.playing) place();
      requestAnimationFrame(tick);
    };
    tell();
    tick();
  }
  const key = (pressed) => {
    const what = { " ": flip, "[": () => mark(0), "]": () => mark(1), "\\": () => mark(2) }[pressed];
    if (what) what();
    return Boolean(what);
  };
  const loops = el("span", { className: "loops" }, from, to, whole);
  return { nodes: [toggle, line, clock, loops], start, tell, key };
}

function help(kind, extra) {
  const letters = kind === "acr" ? "P plays" : kind === "mushra" ? "A, B, C … play and choose the slider, R plays the reference" : `A, B${extra ? ", X" : ""} play`;
  const judging = { mushra: "arrow keys move the slider", ab: "1, 2, 3 choose", abx: "1, 2 choose", acr: "1 to 5 rate" }[kind];
  return el("p", { className: "keys quiet" }, `Keys: ${letters}; ${judging}; space pauses; Enter goes on; [ and ] set the loop, \\ clears it.`);
}

// forms: what is asked, for each kind of test

function ratings(labels, plays, keep) {
  const rated = new Set();
  const count = labels.length - 1;
  const columns = [];
  const sliders = [];
  for (let i = 0; i < count; i++) {
    const number = el("output", { className: "number" }, "–");
    const slider = el("input", { type: "range", min: 0, max: 100, value: 50, step: 1, className: "unset", "aria-label": `Score of ${labels[i]}`, "aria-valuetext": "not rated" });
    const settle = () => {
      rated.add(i);
      slider.classList.remove("unset");
      slider.style.setProperty("--value", `${slider.value}%`);
      slider.setAttribute("aria-valuetext", `${slider.value}, ${word(slider.value)}`);
      number.textContent = slider.value;
      keep();
    };
    slider.addEventListener("input", settle);
    slider.addEventListener("pointerup", settle);
    slider.settle = settle;
    sliders.push(slider);
    columns.push(el("div", { className: "column" }, plays[i], el("div", { className: "slot" }, slider), number));
  }
  const scale = el("div", { className: "scale", "aria-hidden": "true" }, ...[...WORDS].reverse().map((each) => el("span", {}, each)));
  const answer = () => sliders.map((slider) => Number(slider.value));
  return {
    node: el("section", { className: "card board", "aria-label": "Scores" }, scale, el("div", { className: "columns" }, ...columns)),
    answer,
    draft: () => sliders.map((slider, i) => (rated.has(i) ? Number(slider.value) : null)),
    missing: () => (rated.size < count ? `Still to rate: ${[...LETTERS.slice(0, count)].filter((_, i) => !rated.has(i)).join(", ")}` : ""),
    focus: (i) => i < count && sliders[i].focus(),
    key: () => false,
    restore: (kept) => kept.forEach((value, i) => {
      if (value !== null && sliders[i]) {
        sliders[i].value = value;
        sliders[i].settle();
      }
    }),
  };
}

function word(score) {
  return WORDS[Math.min(4, Math.floor(score / 20))];
}

function choice(legend, options, keep, plays, keyOf = (place) => String(place + 1)) {
  let chosen; // undefined: none yet
  const radios = options.map(([text, value], place) => {
    const radio = el("input", { type: "radio", name: "choice", value: String(value), "aria-keyshortcuts": keyOf(place) });
    radio.addEventListener("change", () => {
      chosen = value;
      keep();
    });
    return el("label", { className: "option" }, radio, el("span", {}, text));
  });
  return {
    node: el("section", { className: "card choose" }, el("div", { className: "pair" }, ...plays), el("fieldset", {}, el("legend", {}, legend), el("div", { className: "options" }, ...radios))),
    answer: () => chosen,
    draft: () => (chosen === undefined ? "" : chosen),
    missing: () => (chosen === undefined ? "Still to choose" : ""),
    focus: () => {},
    key: (pressed) => {
      const radio = radios.find((_, place) => keyOf(place) === pressed)?.firstElementChild;
      radio?.focus();
      radio?.click();
      return Boolean(radio);
    },
    restore: (kept) => {
      const i = kept === "" ? -1 : options.findIndex(([, value]) => value === kept);
      if (i >= 0) {
        radios[i].firstElementChild.checked = true;
        chosen = kept;
      }
    },
  };
}

function preference(labels, plays, keep) {
  return choice("I prefer", [["A", 0], ["No preference", null], ["B", 1]], keep, plays);
}

function identity(labels, plays, keep) {
  return choice("X is", [["A", 0], ["B", 1]], keep, plays.slice(0, 2));
}

function opinion(labels, plays, keep) {
  const form = choice("It sounds", WORDS.map((each, i) => [each, i + 1]).reverse(), keep, plays, (place) => String(WORDS.length - place));
  return { ...form, answer: () => [form.answer()] };
}

addEventListener("keydown", (event) => {
  const typing = event.target.matches("textarea, input[type=text]");
  const pressing = (event.key === " " && event.target.matches("button, input, summary")) || (event.key === "Enter" && event.target.matches("button, summary"));
  if (!player || typing || pressing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (keys(event.key.toLowerCase())) event.preventDefault();
});

(place === "join" ? welcome() : next()).catch((error) => {
  show(el("section", { className: "card text" }, el("h1", {}, "This did not work"), el("p", {}, error.message)));
});
