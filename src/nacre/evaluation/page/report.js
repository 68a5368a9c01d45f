"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const make = (tag, words = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(words)) key in made ? (made[key] = value) : made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const state = { metric: data.leading, asked: data.asked[Math.floor(data.asked.length / 2)], sort: "rank", up: true, all: false };
  const FEW = 10; // clips that are shown before one asks for all
  const body = $("clip-table").tBodies[0], head = $("clip-table").tHead;

  // One player: every version of the open clip starts from the same place.
  const player = { context: null, source: null, gain: null, buffers: [], now: 0, last: 1, at: 0, began: 0, playing: false, panel: null };
  const place = () => player.playing ? Math.min(player.at + player.context.currentTime - player.began, length()) : player.at;
  const length = () => player.buffers[0] ? player.buffers[0].duration : 0;
  const bytes = (id) => Uint8Array.from(atob($(id).textContent), (letter) => letter.charCodeAt(0)).buffer;

  function silence() {
    if (!player.source) return;
    const { source, gain, context } = player;
    source.onended = null;
    gain.gain.setTargetAtTime(0, context.currentTime, 0.004);
    source.stop(context.currentTime + 0.03);
    player.source = null;
  }

  function start() {
    const { context } = player;
    const source = new AudioBufferSourceNode(context, { buffer: player.buffers[player.now] });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setTargetAtTime(1, context.currentTime, 0.004);
    source.connect(gain).connect(context.destination);
    source.onended = () => { player.at = 0; player.playing = false; player.source = null; show(); };
    source.start(0, player.at);
    Object.assign(player, { source, gain, began: context.currentTime, playing: true });
  }

  async function toggle() {
    player.context ??= new AudioContext();
    await player.context.resume();
    if (player.playing) { player.at = place(); silence(); player.playing = false; }
    else { if (player.at >= length() - 0.01) player.at = 0; start(); tick(); }
    show();
  }

  function choose(number) {
    if (!player.buffers[number]) return;
    const at = place();
    if (player.now) player.last = player.now;
    player.now = number;
    player.at = at;
    if (player.playing) { silence(); start(); }
    show();
    draw();
  }

  function seek(seconds) {
    player.at = Math.max(0, Math.min(seconds, length()));
    if (player.playing) { silence(); start(); }
    show();
  }

  function show() {
    const { panel } = player;
    if (!panel) return;
    const seconds = place();
    panel.querySelectorAll("[data-version]").forEach((b, i) => b.setAttribute("aria-pressed", i === player.now));
    panel.querySelector(".play").textContent = player.playing ? "❚❚ Pause" : "► Play";
    const slider = panel.querySelector("input");
    slider.value = seconds;
    slider.setAttribute("aria-valuetext", `${seconds.toFixed(1)} of ${length().toFixed(1)} seconds`);
    panel.querySelector("output").textContent = `${seconds.toFixed(1)} / ${length().toFixed(1)} s`;
    Object.assign(panel.dataset, { position: seconds, playing: player.playing, version: player.now });
  }

  function tick() { show(); if (player.playing) requestAnimationFrame(tick); }

  // Spectrograms, drawn from the sounds themselves.
  const SIZE = 512, WIDE = 640, FLOOR = -80;
  const HEAT = [[8, 8, 32], [64, 16, 104], [152, 40, 112], [224, 88, 72], [248, 168, 72], [252, 248, 200]];
  const GAP = [[20, 90, 180], [120, 175, 230], [248, 248, 246], [240, 150, 110], [180, 30, 40]];
  const mix = (table, part) => {
    const at = Math.max(0, Math.min(1, part)) * (table.length - 1), i = Math.min(Math.floor(at), table.length - 2);
    return table[i].map((c, k) => c + (table[i + 1][k] - c) * (at - i));
  };

  function spectrum(re, im) { // in place, of SIZE samples
    for (let i = 1, j = 0; i < SIZE; i++) {
      let bit = SIZE >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
    }
    for (let n = 2; n <= SIZE; n <<= 1) for (let k = 0; k < n / 2; k++) {
      const c = Math.cos(-2 * Math.PI * k / n), s = Math.sin(-2 * Math.PI * k / n);
      for (let i = k; i < SIZE; i += n) {
        const j = i + n / 2, a = re[j] * c - im[j] * s, b = re[j] * s + im[j] * c;
        re[j] = re[i] - a; im[j] = im[i] - b; re[i] += a; im[i] += b;
      }
    }
  }

  function levels(buffer) { // decibels, WIDE columns of SIZE / 2 rows
    if (buffer.levels) return buffer.levels;
    const wave = buffer.getChannelData(0), found = new Float32Array(WIDE * SIZE / 2);
    for (let x = 0; x < WIDE; x++) {
      const re = new Float32Array(SIZE), im = new Float32Array(SIZE);
      const from = Math.round(x * Math.max(0, wave.length - SIZE) / (WIDE - 1));
      for (let i = 0; i < SIZE; i++) re[i] = (wave[from + i] || 0) * (0.5 - 0.5 * Math.cos(2 * Math.PI * i / SIZE));
      spectrum(re, im);
      for (let y = 0; y < SIZE / 2; y++) found[x * SIZE / 2 + y] = 10 * Math.log10(re[y] ** 2 + im[y] ** 2 + 1e-9);
    }
    return (buffer.levels = found);
  }

  function paint(canvas, colour) {
    canvas.width = WIDE; canvas.height = SIZE / 2;
    const pen = canvas.getContext("2d"), picture = pen.createImageData(WIDE, SIZE / 2);
    for (let x = 0; x < WIDE; x++) for (let y = 0; y < SIZE / 2; y++) {
      const [r, g, b] = colour(x * SIZE / 2 + SIZE / 2 - 1 - y), i = 4 * (y * WIDE + x);
      picture.data.set([r, g, b, 255], i);
    }
    pen.putImageData(picture, 0, 0);
  }

  function draw() {
    const canvases = player.panel.querySelectorAll("canvas");
    if (!player.buffers[0]) return;
    const original = levels(player.buffers[0]), now = levels(player.buffers[player.now]);
    const top = original.reduce((a, b) => Math.max(a, b), -200);
    const heat = (of) => (i) => mix(HEAT, (of[i] - top - FLOOR) / -FLOOR);
    const audible = (i) => Math.max(now[i], top + FLOOR) - Math.max(original[i], top + FLOOR);
    paint(canvases[0], heat(original));
    paint(canvases[1], heat(now));
    paint(canvases[2], (i) => mix(GAP, 0.5 + audible(i) / 60));
    const name = player.panel.querySelectorAll("[data-version]")[player.now].getAttribute("aria-label");
    canvases[1].previousSibling.textContent = name;
    canvases[2].previousSibling.textContent = `Difference: red has more, blue less (±30 dB)`;
  }

  async function open(clip, cell) {
    silence();
    Object.assign(player, { playing: false, at: 0, now: 0, last: 1, buffers: [] });
    const shown = [{ name: "Original", short: "Original", sound: clip.original, codec: -1 }];
    for (const v of clip.versions) shown.push({ name: `${data.codecs[v.codec]} ${v.kbps.toFixed(1)} kbps`, short: v.kbps.toFixed(1), sound: v.sound, file: v.file, codec: v.codec });
    const heard = shown.filter((each) => each.sound);
    const panel = make("div", { className: "panel" });
    cell.append(panel);
    if (!clip.original || heard.length < 2) {
      panel.append(make("p", {}, clip.failed || "The sounds of this clip are not in the page; they are files beside it:"));
      for (const each of shown) if (each.file) panel.append(make("a", { href: each.file }, each.file));
      player.panel = null;
      return;
    }
    const versions = make("div", { role: "group", "aria-label": "Versions", className: "versions" });
    heard.forEach((each, i) => {
      if (!i || each.codec !== heard[i - 1].codec) versions.append(make("div", {}, ...(i ? [make("span", { className: "who" }, mark(each.codec), data.codecs[each.codec])] : [])));
      versions.lastChild.append(make("button", { type: "button", "data-version": i, "aria-label": each.name, "aria-pressed": i === 0, onclick: () => choose(i) }, each.short));
    });
    [...versions.children].slice(1).forEach((line) => line.append("kbps"));
    const slider = make("input", { type: "range", min: 0, max: clip.seconds, step: 0.01, value: 0, "aria-label": "Place in the clip", oninput: () => seek(+slider.value) });
    const play = make("button", { type: "button", className: "play", onclick: toggle }, "► Play");
    const pictures = make("div", { className: "pictures" });
    for (const name of ["Original", "Original", "Difference"]) {
      const canvas = make("canvas", { role: "img", onclick: (e) => seek(e.offsetX / canvas.clientWidth * length()) });
      canvas.setAttribute("aria-label", `Spectrogram, 0 to ${clip.rate / 2000} kHz`);
      pictures.append(make("figure", {}, make("figcaption", {}, name), canvas));
    }
    panel.append(versions, make("div", { className: "bar-row" }, play, slider, make("output", {}, "")), pictures);
    player.panel = panel;
    const decoder = new OfflineAudioContext(1, 1, clip.rate);
    const buffers = await Promise.all(heard.map((each) => decoder.decodeAudioData(bytes(each.sound))));
    if (player.panel !== panel) return;
    player.buffers = buffers;
    panel.dataset.ready = true;
    show();
    draw();
  }

  // The table of clips.
  const mark = (codec) => document.querySelectorAll(".legend svg")[codec].cloneNode(true);
  const version = (clip, codec) => clip.versions.find((v) => v.codec === codec && v.asked === state.asked);
  const figure = (clip, codec) => { const v = version(clip, codec); return v && state.metric in v.figures ? +v.figures[state.metric] : NaN; };
  const value = (clip, key) => key === "rank" ? clip.rank : key === "name" ? clip.name : key === "seconds" ? clip.seconds : figure(clip, key);

  function compare(a, b) {
    const [one, other] = [value(a, state.sort), value(b, state.sort)];
    if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other) || a.rank - b.rank;
    const sign = typeof one === "string" ? one.localeCompare(other) : one < other ? -1 : one > other ? 1 : 0;
    return (state.up ? sign : -sign) || a.rank - b.rank;
  }

  function render() {
    silence();
    Object.assign(player, { panel: null, playing: false, buffers: [] });
    const columns = [["rank", "worst first"], ["name", "clip"], ["seconds", "seconds"], ...data.codecs.map((label, i) => [i, label])];
    const sorted = [...data.clips].sort(compare), few = state.all ? sorted : sorted.slice(0, FEW);
    $("more").hidden = few.length === sorted.length;
    $("more").textContent = `Show all ${sorted.length} clips`;
    head.replaceChildren(make("tr", {}, ...columns.map(([key, label]) => {
      const order = state.sort === key ? (state.up ? "ascending" : "descending") : "none";
      const press = () => { state.up = state.sort === key ? !state.up : true; state.sort = key; render(); head.querySelectorAll("button")[columns.findIndex((c) => c[0] === key)].focus(); };
      return make("th", { scope: "col", "aria-sort": order }, make("button", { type: "button", onclick: press }, ...(typeof key === "number" ? [mark(key), label] : [label])));
    })));
    body.replaceChildren(...few.map((clip) => {
      const name = make("button", { type: "button", className: "open", "aria-expanded": false }, clip.name);
      const row = make("tr", {}, make("td", {}, String(clip.rank + 1)), make("th", { scope: "row" }, name), make("td", {}, clip.seconds ? clip.seconds.toFixed(1) : "–"));
      name.onclick = () => {
        const opened = name.getAttribute("aria-expanded") === "true";
        body.querySelectorAll(".detail").forEach((each) => each.remove());
        body.querySelectorAll(".open").forEach((each) => each.setAttribute("aria-expanded", false));
        silence(); player.playing = false; player.panel = null;
        if (opened) return;
        name.setAttribute("aria-expanded", true);
        const cell = make("td", { colSpan: columns.length });
        row.after(make("tr", { className: "detail" }, cell));
        open(clip, cell);
      };
      if (clip.failed && !clip.versions.length) row.append(make("td", { className: "bad", colSpan: data.codecs.length }, clip.failed));
      else data.codecs.forEach((_, i) => { const f = figure(clip, i); row.append(make("td", {}, Number.isNaN(f) ? "–" : f.toFixed(2))); });
      return row;
    }));
  }

  data.clips.forEach((clip, i) => { clip.rank = i; });
  for (const m of data.metrics) $("metric").append(make("option", { value: m.key, selected: m.key === state.metric }, `${m.name}${m.unit ? ` (${m.unit})` : ""}, ${m.better} is better`));
  for (const asked of data.asked) $("asked").append(make("option", { value: asked, selected: asked === state.asked }, `${asked / 1000} kbps`));
  $("metric").onchange = () => { state.metric = $("metric").value; render(); };
  $("asked").onchange = () => { state.asked = +$("asked").value; render(); };
  $("more").onclick = () => { state.all = true; render(); };
  document.addEventListener("keydown", (e) => {
    if (!player.panel || e.ctrlKey || e.metaKey || e.altKey || e.target.tagName === "SELECT") return;
    const step = e.target.tagName === "INPUT" ? 0 : { ArrowLeft: -1, ArrowRight: 1 }[e.key] || 0;
    if (step) { choose(player.now + step); e.preventDefault(); }
    else if (e.key === "0") choose(player.now ? 0 : player.last);
    else if (e.key >= "1" && e.key <= "9") choose(+e.key - 1);
    else if (e.key.toLowerCase() === "p") toggle();
  });
  render();
})();
