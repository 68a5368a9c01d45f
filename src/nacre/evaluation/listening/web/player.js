// All sounds of a page play at once, from one start time and in one loop; only one of them is let through. So a
// switch keeps its place to the sample, and takes the 5 ms of a cross-fade.

const FADE = 0.005; // seconds
const AHEAD = 0.03; // seconds between the order to start and the start

export class Player {
  constructor(context, buffers, told) {
    this.context = context;
    this.buffers = buffers;
    this.told = told; // called when something changed: playing, active
    this.active = -1;
    this.playing = false;
    this.place = 0; // seconds, while it stands still
    this.from = 0;
    this.to = this.duration;
    this.voices = [];
  }

  get duration() {
    return Math.min(...this.buffers.map((each) => each.duration));
  }

  get position() {
    if (!this.playing) return this.place;
    const heard = Math.max(0, this.context.currentTime - this.began) + this.offset;
    const span = this.to - this.from;
    return heard < this.to ? heard : this.from + ((heard - this.from) % span);
  }

  async choose(index) {
    this.active = index;
    if (!this.playing) return this.play();
    const now = this.context.currentTime;
    this.voices.forEach(({ gain }, i) => {
      gain.cancelScheduledValues(now);
      gain.setValueAtTime(gain.value, now);
      gain.linearRampToValueAtTime(i === index ? 1 : 0, now + FADE);
    });
    this.told();
  }

  async play() {
    if (this.active < 0) this.active = this.buffers.length - 1;
    const context = this.context;
    if (context.state !== "running") await context.resume();
    this.silence();
    const place = this.place;
    this.offset = place >= this.from && place < this.to ? place : this.from;
    this.began = context.currentTime + AHEAD;
    this.voices = this.buffers.map((buffer, i) => {
      const source = new AudioBufferSourceNode(context, { buffer, loop: true, loopStart: this.from, loopEnd: this.to });
      const node = new GainNode(context, { gain: i === this.active ? 1 : 0 });
      source.connect(node).connect(context.destination);
      source.start(this.began, this.offset);
      return { source, gain: node.gain };
    });
    this.playing = true;
    this.told();
  }

  pause() {
    this.place = this.position;
    this.silence();
    this.playing = false;
    this.told();
  }

  seek(seconds) {
    this.place = Math.min(Math.max(0, seconds), this.duration);
    if (this.playing) {
      this.playing = false;
      this.play();
    }
    this.told();
  }

  loop(from, to) {
    const place = this.position;
    if (to - from < 0.2) return; // seconds: shorter is a buzz
    [this.from, this.to] = [from, to];
    this.seek(place >= from && place < to ? place : from);
  }

  silence() {
    for (const { source } of this.voices) {
      source.stop();
      source.disconnect();
    }
    this.voices = [];
  }
}

export async function load(context, urls, told) {
  let done = 0;
  const decoded = await Promise.all(
    urls.map(async (url) => {
      const reply = await fetch(url);
      if (!reply.ok) throw new Error(`a sound did not come (${reply.status})`);
      const buffer = await context.decodeAudioData(await reply.arrayBuffer());
      told((done += 1), urls.length);
      return buffer;
    }),
  );
  return decoded;
}
