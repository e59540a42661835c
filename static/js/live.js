// The connection: a snapshot, then changes without holes. What is missing is asked for, never guessed.
import { io } from "../vendor/socket.io.esm.min.js";
import { prefix, socketPath } from "./page.js";
import { learn } from "./clock.js";

const PATIENCE = 20000; // ms of silence after which "reconnecting" is called "disconnected"; the tries go on
const LATE = 5000; // ms that the server's ping may be late before it is said

// words: connecting, connected, reconnecting, resyncing, disconnected.
export class Live {
  word = "connecting";
  lastHeard = Date.now();
  #beat = null; // ms between two pings of the server, once two have come
  #fresh = false; // whether the next connection asks for everything

  constructor(state, { onChange, onWord, onRestart }) {
    Object.assign(this, { state, onChange, onWord, onRestart });
    const auth = (give) => give(this.#since());
    this.socket = io("/queue", { path: socketPath, auth, transports: ["websocket", "polling"], reconnectionDelay: 250, reconnectionDelayMax: 4000, autoConnect: false });
    this.#listen();
    this.socket.connect();
    this.#setClock();
  }

  // Age of the last sign of life, in seconds.
  get age() {
    return (Date.now() - this.lastHeard) / 1000;
  }

  // To be called each second: silence is said, and named by how long it lasts.
  tick() {
    if (this.word === "connected" && this.#beat && Date.now() - this.lastHeard > this.#beat + LATE) this.#say("reconnecting");
    else if (this.word === "reconnecting" && this.age * 1000 > PATIENCE) this.#say("disconnected");
    else if (this.word !== "connected") this.onWord(this);
  }

  // Resolves to the ack {status, body}; rejects when nobody answers in time.
  ask(event, body) {
    return this.socket.timeout(5000).emitWithAck(event, body);
  }

  // Asks for everything again, over a new connection.
  resync(all) {
    this.#fresh = all;
    this.#say("resyncing");
    this.socket.disconnect().connect();
  }

  #since() {
    const { epoch, seq } = this.state;
    return epoch === null || this.#fresh ? {} : { since: { epoch, seq } };
  }

  #listen() {
    const { socket } = this;
    socket.on("snapshot", (body) => this.#onSnapshot(body));
    socket.on("changes", (body) => this.#onChanges(body));
    socket.on("warnings", (body) => {
      this.state.warn(body);
      this.onChange();
    });
    socket.on("connect", () => this.#hear(socket.recovered));
    socket.on("disconnect", (reason) => this.#onDisconnect(reason));
    socket.on("connect_error", () => this.#onRefusal());
    socket.io.on("ping", () => this.#onPing());
    addEventListener("offline", () => this.#say("disconnected"));
    addEventListener("online", () => socket.disconnect().connect());
  }

  #onSnapshot(body) {
    this.#fresh = false;
    if (this.state.snapshot(body)) this.onRestart();
    this.#hear();
    this.onChange();
  }

  #onChanges(body) {
    if (!this.state.changes(body)) return this.resync(this.word === "resyncing" || body.epoch !== this.state.epoch);
    this.#hear();
    this.onChange();
  }

  #onPing() {
    this.#beat = Math.max(this.#beat ?? 0, Date.now() - this.lastPing || 0) || null;
    this.lastPing = Date.now();
    this.#hear();
  }

  #onDisconnect(reason) {
    this.lastPing = undefined;
    if (this.word !== "resyncing") this.#say("reconnecting");
    if (reason === "io server disconnect") this.socket.connect();
  }

  // The server answered and will not have us (a wrong token), or it does not answer at all.
  #onRefusal() {
    if (!this.socket.active) this.#say("disconnected");
    else if (this.word !== "disconnected") this.#say(this.word === "connecting" ? "connecting" : "reconnecting");
  }

  #hear() {
    this.lastHeard = Date.now();
    this.#say("connected");
  }

  #say(word) {
    if (word === "connected" && this.word === "reconnecting") this.#setClock();
    this.word = word;
    this.onWord(this);
  }

  async #setClock() {
    const sentAt = Date.now();
    const response = await fetch(`${prefix}/healthz`).catch(() => null);
    if (response) learn(response, sentAt);
  }
}
