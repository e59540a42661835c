// The connection: a snapshot, then changes without holes. What is missing is asked for, never guessed.
import { io } from "../vendor/socket.io.esm.min.js";
import { prefix, socketPath } from "./page.js";
import { learn } from "./clock.js";

const PATIENCE = 20000; // ms of silence after which "reconnecting" is called "disconnected"; the tries go on
const LATE = 5000; // ms that the server's ping may be late before it is said
const READ = 20; // s on the screen after which a restart counts as read

// words: connecting, connected, reconnecting, resyncing, offline, disconnected. Connected: what is known is how it stands.
export class Live {
  word = "connecting";
  restarted = null; // when the server was started anew (ISO 8601), until that is read
  lastHeard = Date.now();
  #current = false; // whether this connection has told how it stands
  #seen = 0; // s for which the restart was on the screen
  #beat = null; // ms between two pings of the server, once two have come
  #fresh = false; // whether the next connection asks for everything

  constructor(state, { onChange, onWord }) {
    Object.assign(this, { state, onChange, onWord });
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

  // To be called each second that the page is looked at: silence is said, and named by how long it lasts.
  tick() {
    if (this.restarted && (this.#seen += 1) > READ) this.read();
    if (this.word === "connected" && this.#beat && Date.now() - this.lastHeard > this.#beat + LATE) this.#miss("reconnecting");
    else if (this.word === "reconnecting" && this.age * 1000 > PATIENCE) this.#miss("disconnected");
    else if (this.word !== "connected") this.onWord(this);
  }

  // The restart was read: it is no longer said.
  read() {
    this.restarted = null;
    this.onWord(this);
  }

  // Resolves to the ack {status, body}; rejects when nobody answers in time.
  ask(event, body) {
    return this.socket.timeout(5000).emitWithAck(event, body);
  }

  // Asks for everything again, over a new connection.
  resync(all) {
    this.#fresh = all;
    this.#current = false;
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
    socket.on("connect", () => this.#onConnect());
    socket.on("disconnect", (reason) => this.#onDisconnect(reason));
    socket.on("connect_error", () => this.#onRefusal());
    socket.io.on("ping", () => this.#onPing());
    addEventListener("offline", () => this.#say("offline")); // the socket tries on: a server on this machine needs no network
    addEventListener("online", () => this.#onOnline());
  }

  #onSnapshot(body) {
    this.#fresh = false;
    if (this.state.snapshot(body)) this.#restart(body.started_at);
    this.#hear(true);
    this.onChange();
  }

  #onChanges(body) {
    if (!this.state.changes(body)) return this.resync(this.word === "resyncing" || body.epoch !== this.state.epoch);
    this.#hear(true);
    this.onChange();
  }

  #restart(at) {
    this.restarted = at;
    this.#seen = 0;
  }

  // There is a way to the server again; its first frame tells what was missed.
  #onConnect() {
    this.lastHeard = Date.now();
    if (this.word !== "connecting") this.#say("resyncing");
  }

  #onPing() {
    this.#beat = Math.max(this.#beat ?? 0, Date.now() - this.lastPing || 0) || null;
    this.lastPing = Date.now();
    this.#hear();
  }

  #onDisconnect(reason) {
    this.lastPing = undefined;
    this.#current = false;
    if (reason !== "io client disconnect") this.#miss("reconnecting");
    if (reason === "io server disconnect") this.socket.connect();
  }

  // The server answered and will not have us (a wrong token), or it does not answer at all.
  #onRefusal() {
    if (!this.socket.active) this.#say("disconnected");
    else if (this.word !== "disconnected") this.#miss(this.word === "connecting" ? "connecting" : "reconnecting");
  }

  #onOnline() {
    this.#say("reconnecting");
    this.socket.disconnect().connect();
  }

  #hear(current = this.#current) {
    this.#current = current;
    this.lastHeard = Date.now();
    if (current) this.#say("connected");
  }

  // The server is not heard, and where the browser knows why, that is said.
  #miss(word) {
    this.#say(navigator.onLine ? word : "offline");
  }

  #say(word) {
    if (word === "connected" && ["reconnecting", "resyncing"].includes(this.word)) this.#setClock();
    this.word = word;
    this.onWord(this);
  }

  async #setClock() {
    const sentAt = Date.now();
    const response = await fetch(`${prefix}/healthz`).catch(() => null);
    if (response) learn(response, sentAt);
  }
}
