// @ts-self-types="./tidegate.d.ts"
/**
 * The client of the Tidegate WebSocket gateway: one connection that stays, typed messages over it.
 *
 *     import { connect } from "/tidegate.js";
 *     const gate = connect("/rooms/tea", { query: { name: "ann" } });
 *     gate.on("said", ({ from, text }) => show(from, text));
 *     await gate.request("say", { text: "hello" });
 *
 * It needs `WebSocket`, `fetch` and `EventTarget` and no page: it runs in workers, Node 22, Bun and Deno as well.
 *
 * What goes over the connection, each message one JSON object:
 *
 *     request  { type, id, timestamp, payload }               milliseconds since 1970; `send` has no id
 *     answer   { type, requestId, success: true, data }
 *     refusal  { type, requestId, success: false, error: { code, message, details } }
 *     event    { type, id, timestamp, payload }
 *
 * What is no such object, binary messages among it, arrives as the event `message` of the gate.
 *
 * A connection that ends is made anew, or not, by its close code:
 *
 *     1000                          stop    it says that it is done
 *     1002 1003 1007 1009 1010      stop    we broke the protocol, and would again
 *     1008, 3000, 3003, 4000-4999   stop    we may not; 4000-4999 are the handler's own codes
 *     1001, 1012, 1013              wait    `restart.wait`, then anywhere in a window: everyone else waits as well
 *     all else: 1005 1006 1011 ...  retry   anywhere below a ceiling that doubles: `backoff`
 *
 * The option `codes` changes what a code means. A browser does not tell why an upgrade was refused (1006), but over
 * server-sent events the status shows: 204 and 4xx stop, 429 and 503 wait, and 405, 406, 408, 425 and 426 retry. So do
 * 403 and 404 for `refusedFor`: while a service is deployed, whatever stands in front of it answers with them.
 *
 * No wait is without a limit. A network that goes away without a word shows nowhere in a page, so the gateway is asked,
 * in the query, for signs of life: `tidegate-alive=INTERVAL.WORD`. The handler does not see that part of the query. The
 * signs begin with the word, which is another one for each connection; no message of a handler's does. The first one
 * says how often they come; from then on, a connection that shows none in time has ended (1006).
 *
 *     WORD every MILLISECONDS     the first
 *     WORD                        the others
 *     WORD coming BYTES           before a message that is so large that it takes its time
 *
 * In server-sent events they are comments: `: every MILLISECONDS` and `:`.
 */

/** Every option with its default; `tidegate.d.ts` says what each does and why it is so. */
const DEFAULTS = {
  protocols: [],
  query: {},
  timeout: 10_000,
  connectTimeout: 10_000,
  closeTimeout: 5_000,
  sendTimeout: 60_000,
  alive: { interval: 15_000, timeout: 10_000, rate: 32 << 10 },
  attempts: Infinity,
  refusedFor: 30_000,
  backoff: { base: 500, max: 30_000, stable: 5_000 },
  restart: { wait: 1_000, window: 5_000 },
  codes: {},
  highWater: 1 << 20,
  queue: 4 << 20,
  inFlight: 1_000,
  sse: "fallback",
  sseAfter: 3,
  post: false,
  credentials: "same-origin",
  random: Math.random,
};

/** The tables above, as far as a code or status differs from its neighbours. */
const CODES = Object.fromEntries([
  ...[1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003].map((code) => [code, "stop"]),
  ...[1001, 1012, 1013].map((code) => [code, "wait"]),
]);
const STATUSES = Object.fromEntries([
  ...[405, 406, 408, 425, 426].map((status) => [status, "retry"]),
  ...[403, 404].map((status) => [status, "doubt"]),
  ...[429, 503].map((status) => [status, "wait"]),
  [204, "stop"],
]);

/** How often to look whether a socket has taken what it holds, in milliseconds: there is no event for it. */
const LOOK_EVERY = 20;

/** How late a sign of life may be when there is reason to doubt that the network is there, in milliseconds. */
const DOUBTED = 3_000;

/** How late a timer is when the machine slept, or the page was not to run, in milliseconds. */
const OVERSLEPT = 1_000;

/** The longest that timers can wait; beyond it they fire at once. */
const TIMER_MAX = 2 ** 31 - 1;

/** What requests, sends and subscriptions are rejected with. `code` is the handler's own, or one of ours. */
export class TidegateError extends Error {
  name = "TidegateError";

  constructor(code, message, details, options) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}

/** Tells a connection that was lost from a handler that answers with a code "closed" of its own. */
class Lost extends TidegateError {
  constructor() {
    super("closed", "the connection is closed");
  }
}

/** Opens a connection to `url`, which may be relative to the page, and keeps it open until `close`. */
export function connect(url, options = {}) {
  return new Gate(url, options);
}

/** How long to wait, in milliseconds, before the next attempt; `undefined` is never. */
export function reconnectWait({ code, status, refused = 0, retryAfter = 0 }, failures, options) {
  const { backoff, restart, codes, random, refusedFor = DEFAULTS.refusedFor } = options;
  const byStatus = status && (STATUSES[status] ?? (status >= 400 && status < 500 ? "stop" : "retry"));
  const verdict = byStatus ?? codes[code] ?? CODES[code] ?? (code >= 4000 ? "stop" : "retry");
  if (verdict === "stop" || (verdict === "doubt" && refused >= refusedFor)) return undefined;
  const ceiling = Math.min(backoff.max, backoff.base * 2 ** failures);
  const wait = verdict === "wait" ? restart.wait + random() * Math.max(restart.window, ceiling) : random() * ceiling;
  return wait + Math.min(retryAfter, backoff.max);
}

/**
 * A parser of server-sent events: call it with text as it comes, cut anywhere. Each event is given to `onEvent` as
 * `{ type, data, id }`, where `id` is the last one that came, at first the one given; each comment to `onComment`.
 */
export function eventStream(onEvent, id = "", onComment = () => {}) {
  let [rest, cut, type, data] = ["", false, "", []];
  const line = (text) => {
    if (text === "") {
      if (data.length > 0) onEvent({ type: type || "message", data: data.join("\n"), id });
      [type, data] = ["", []];
      return;
    }
    const [, field, value] = /^([^:]*)(?:: ?)?([^]*)$/.exec(text);
    if (text[0] === ":") onComment(text.slice(1).trim());
    else if (field === "data") data.push(value);
    else if (field === "event") type = value;
    else if (field === "id" && !value.includes("\0")) id = value;
  };
  return (text) => {
    if (text === "") return;
    // The end of a line may be cut in two; its second half is no line of its own.
    const lines = text.slice(cut && text[0] === "\n" ? 1 : 0).split(/\r\n|\n|\r/);
    cut = text.endsWith("\r");
    lines[0] = rest + lines[0];
    rest = lines.pop();
    lines.forEach(line);
  };
}

/** One connection that stays. Made by `connect`. */
export class Gate extends EventTarget {
  #options;
  #url;
  #state = "connecting";
  #transport;
  /** Which transports have ever opened: where a WebSocket has, nothing on the way refuses them. */
  #worked = { websocket: false, sse: false };
  #lastEventId = "";
  /** Whether the connection that there is shows signs of life. */
  #pulse;
  /** Whether the gateway has ever promised such signs: then it is to do so each time. */
  #isPromised = false;
  /** Since when every status that was seen is one to be doubted. */
  #refusedSince;
  /** Set by `close`, with its arguments. */
  #closing;
  /** Ends a wait for what the page computes. */
  #interrupt = deferred();
  #closed = deferred();
  /** Ends the wait for the next attempt. */
  #wake = () => {};
  /** Functions by the type of event they hear. */
  #listeners = new Map();
  /** Messages not handed to the transport yet, and their size. */
  #queue = [];
  #queued = 0;
  #looking;
  /** Requests without an answer, by id. */
  #pending = new Map();
  #subscriptions = new Set();
  #prefix = randomWord();
  #count = 0;

  constructor(url, options) {
    super();
    const { backoff, restart, alive, ...rest } = options;
    this.#options = { ...DEFAULTS, WebSocket: globalThis.WebSocket, fetch: globalThis.fetch, ...rest };
    this.#options.backoff = { ...DEFAULTS.backoff, ...backoff };
    this.#options.restart = { ...DEFAULTS.restart, ...restart };
    this.#options.alive = { ...DEFAULTS.alive, ...alive };
    this.#url = new URL(url, globalThis.location?.href);
    // What should not happen, such as a runtime without WebSocket, ends the gate and does not leave it hanging.
    this.#run().catch((error) => this.#finish({ code: 1006, reason: String(error) }));
  }

  /** `connecting`, `open`, `waiting` (for the next attempt) or `closed`. */
  get state() {
    return this.#state;
  }

  /** `websocket` or `sse` while open. */
  get transport() {
    return this.#state === "open" ? this.#transport?.name : undefined;
  }

  /** The subprotocol that the gateway chose, or "". */
  get protocol() {
    return this.#transport?.protocol ?? "";
  }

  /** Resolves with `{ code, reason, status, by }` when the gate has closed for good. */
  get closed() {
    return this.#closed.promise;
  }

  /** Calls `listener(payload, event)` for each event of that type, or of any with "*". Returns what ends that. */
  on(type, listener) {
    // A wrapper, so that a function given twice is called twice and each end ends one.
    const call = (event) => listener(event.payload, event);
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(call);
    return () => this.#listeners.get(type).delete(call);
  }

  /** The payloads of a type of event, for `for await`, until the gate has closed. */
  events(type, { buffer = 1_000 } = {}) {
    const waiting = [];
    let [wake, ended, overflow] = [() => {}, false, false];
    const off = this.on(type, (payload) => {
      overflow ||= waiting.length >= buffer;
      if (!overflow) waiting.push(payload);
      wake();
    });
    this.closed.then(() => wake((ended = true)));
    const payloads = async function* () {
      try {
        for (;;) {
          while (waiting.length > 0) yield waiting.shift();
          if (overflow) throw new TidegateError("overflow", `${buffer} events "${type}" were not taken in time`);
          if (ended) return;
          await new Promise((resolve) => (wake = resolve));
        }
      } finally {
        off();
      }
    };
    return payloads();
  }

  /** Sends a message that has no answer. Resolves when the socket has room for more: await it to keep its pace. */
  async send(type, payload) {
    // Without an id a handler with nothing to tell does not answer.
    return this.sendRaw(envelope(undefined, type, payload));
  }

  /** Sends text or bytes as they are. Resolves as `send` does. */
  async sendRaw(data) {
    const { sendTimeout } = this.#options;
    const sent = deferred();
    const settle = (error) => (error ? sent.reject(error) : sent.resolve());
    const item = { data, size: sizeOf(data), handed: () => (item.isHanded = true), settle };
    this.#enqueue(item);
    if (item.isHanded) return sent.promise;
    const late = () => {
      if (item.isHanded) return;
      this.#unqueue(item);
      settle(new TidegateError("timeout", `not sent within ${sendTimeout} ms`));
    };
    const timer = startTimer(late, sendTimeout);
    return sent.promise.finally(() => clearTimeout(timer));
  }

  /** Sends a request and resolves with the `data` of its answer. */
  async request(type, payload, { timeout = this.#options.timeout, signal, retry = false } = {}) {
    const { inFlight } = this.#options;
    if (signal?.aborted) throw aborted(type, signal);
    if (this.#pending.size >= inFlight) throw new TidegateError("queue-full", `${inFlight} requests are unanswered`);
    const [id, answer] = [this.#nextId(), deferred()];
    const data = envelope(id, type, payload);
    const call = { answer, retry, sent: false };
    const handed = () => (call.sent = true);
    // A call that is asked again meanwhile does not fail with the way it went before.
    const settle = (error) => error && call.sent && answer.reject(error);
    call.item = { data, size: sizeOf(data), handed, settle };
    const late = () => {
      answer.reject(new TidegateError("timeout", `no answer to "${type}" within ${timeout} ms`));
      this.#pulse?.doubt();
    };
    const timer = startTimer(late, timeout);
    const abort = () => answer.reject(aborted(type, signal));
    signal?.addEventListener("abort", abort);
    this.#pending.set(id, call);
    try {
      this.#enqueue(call.item);
      return await answer.promise;
    } finally {
      this.#pending.delete(id);
      this.#unqueue(call.item);
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Makes a request now and after every reconnect, before anything that was sent meanwhile. */
  subscribe(type, payload, { undo, undoPayload = payload, timeout } = {}) {
    const ready = deferred();
    // Who wants to know awaits it, or listens to `subscribefailed`.
    ready.promise.catch(() => {});
    let isAnswered = false;
    const ask = async () => {
      try {
        ready.resolve(await this.request(type, payload, { timeout }));
        isAnswered = true;
      } catch (error) {
        // The next connection asks again, and so it does for what was taken before and is refused now.
        if (error instanceof Lost || !this.#subscriptions.has(subscription)) return;
        if (!isAnswered) this.#subscriptions.delete(subscription);
        ready.reject(error);
        this.#emit("subscribefailed", { error, request: type, payload });
      }
    };
    const subscription = { ask, ready };
    this.#subscriptions.add(subscription);
    if (this.#state === "open") ask();
    else if (this.#state === "closed") ready.reject(new Lost());
    return {
      ready: ready.promise,
      unsubscribe: async () => {
        if (!this.#subscriptions.delete(subscription)) return;
        ready.reject(new TidegateError("aborted", `"${type}" was given up before it was answered`));
        // Without a connection there is nothing to undo.
        if (undo !== undefined && this.#state === "open") await this.request(undo, undoPayload, { timeout });
      },
    };
  }

  /**
   * Closes for good, within `closeTimeout`. What was handed to the socket goes out first; what waits is rejected.
   */
  close(code = 1000, reason = "") {
    if (this.#closing === undefined && this.#state !== "closed") {
      // First, because it throws for a code that only the browser may send.
      this.#transport?.close(code, reason);
      this.#closing = { code, reason };
      this.#interrupt.resolve();
      this.#wake();
    }
    return this.closed;
  }

  /** One attempt after another until there is to be no more. */
  async #run() {
    const changed = ({ type }) => {
      if (type === "online") this.#wake();
      this.#pulse?.doubt();
    };
    for (const type of ["online", "offline"]) globalThis.addEventListener?.(type, changed);
    this.closed.then(() => {
      for (const type of ["online", "offline"]) globalThis.removeEventListener?.(type, changed);
    });
    const { attempts, backoff } = this.#options;
    for (let failures = 0; ; ) {
      const end = this.#judged(await this.#attempt(failures));
      const hasLasted = end.lasted >= backoff.stable;
      if (hasLasted) failures = 0;
      const wait = this.#closing || end.isFinal ? undefined : reconnectWait(end, failures, this.#options);
      if (wait === undefined) return this.#finish(end);
      if (!hasLasted && failures + 1 >= attempts) {
        const { reason } = end;
        return this.#finish({ ...end, reason: `gave up after ${attempts} attempts in a row${reason && `: ${reason}`}` });
      }
      failures += 1;
      this.#enter("waiting");
      this.#emit("reconnecting", { wait, attempt: failures, code: end.code, reason: end.reason, status: end.status });
      await this.#sleep(wait);
      if (this.#closing) return this.#finish(end);
      this.#enter("connecting");
    }
  }

  /** An end, with how long in a row we have been refused with a status that is to be doubted. */
  #judged(end) {
    const { status } = end;
    if (STATUSES[status] === "doubt") this.#refusedSince ??= performance.now();
    else if (status !== undefined) this.#refusedSince = undefined;
    if (this.#refusedSince === undefined || status === undefined) return end;
    const refused = performance.now() - this.#refusedSince;
    if (refused < this.#options.refusedFor) return { ...end, refused };
    const seconds = (refused / 1000).toFixed(0);
    return { ...end, refused, reason: `${end.reason} for ${seconds} s: look at the path, and at who may connect` };
  }

  /** From the first try to the end of the connection, if there was one. */
  async #attempt(failures) {
    const { sse, sseAfter, protocols } = this.#options;
    let url;
    try {
      url = await this.#address();
    } catch (error) {
      return { code: 1006, reason: `the function "query" failed: ${error}`, lasted: 0 };
    }
    if (sse !== "only" && !this.#closing) {
      const end = await this.#hold(new Socket(url, this.#options));
      const isRefused = !this.#worked.websocket && (this.#worked.sse || failures + 1 >= sseAfter);
      const isSuspect = isRefused && protocols.length > 0 && !this.#closing;
      if (isSuspect && (await this.#opensWithout(url)) && !this.#closing) {
        // Once more: the gateway may have come up in between.
        const again = await this.#hold(new Socket(url, this.#options));
        return this.#worked.websocket ? again : { ...again, reason: notChosen(protocols), isFinal: true };
      }
      // At once after a WebSocket failed: else the gateway may have come up in between, and the lesser way would win.
      if (sse !== "fallback" || !isRefused) return end;
    }
    if (this.#closing) return { code: 1006, reason: "", lasted: 0 };
    return this.#hold(new Stream(url, this.#options, this.#lastEventId));
  }

  /** Whether a WebSocket opens when no subprotocol is offered: browsers do not tell why one with some has failed. */
  async #opensWithout(url) {
    const socket = new Socket(url, { ...this.#options, protocols: [] });
    let hasOpened = false;
    const open = () => {
      hasOpened = true;
      socket.close(1000, "");
    };
    this.#transport = socket;
    await socket.run({ open, message: () => {}, pulse: new Pulse(this.#options.alive, () => {}) });
    this.#transport = undefined;
    return hasOpened;
  }

  async #address() {
    const { query, connectTimeout } = this.#options;
    const url = new URL(this.#url);
    const values = typeof query === "function" ? await this.#within(query(), connectTimeout) : query;
    for (const [name, value] of Object.entries(values ?? {})) {
      if (value !== undefined && value !== null) url.searchParams.set(name, value);
    }
    return url;
  }

  /** What a promise of the page's comes to, if it does within that time; nothing once the gate closes. */
  async #within(promise, limit) {
    const late = deferred();
    const timer = startTimer(() => late.reject(new Error(`no answer within ${limit} ms`)), limit);
    try {
      return await Promise.race([promise, late.promise, this.#interrupt.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Uses a transport until its end. */
  async #hold(transport) {
    const { alive } = this.#options;
    const pulse = new Pulse(alive, (silence) => transport.abandon(`no sign of life for ${silence} ms`));
    this.#transport = transport;
    this.#pulse = pulse;
    let opened;
    const end = await transport.run({
      open: () => {
        opened = performance.now();
        this.#worked[transport.name] = true;
        this.#refusedSince = undefined;
        if (this.#isPromised) pulse.count(alive.interval);
        this.#opened();
      },
      message: (data) => this.#receive(data),
      id: (id) => (this.#lastEventId = id),
      pulse,
    });
    this.#isPromised ||= pulse.isCounting;
    pulse.stop();
    this.#transport = undefined;
    this.#pulse = undefined;
    clearTimeout(this.#looking);
    this.#rejectSent();
    return { ...end, lasted: opened === undefined ? 0 : performance.now() - opened };
  }

  #opened() {
    if (this.#closing) return;
    const waiting = this.#takeQueue();
    // Nobody is told before the subscriptions are out: a listener may send.
    this.#state = "open";
    for (const { ask } of this.#subscriptions) ask();
    for (const item of waiting) this.#push(item);
    this.#flush();
    this.#emit("statechange", { state: "open" });
    this.#emit("open");
  }

  /** What was sent may or may not have arrived. Only who said so is asked again. */
  #rejectSent() {
    const again = [];
    for (const call of this.#pending.values()) {
      if (!call.sent) continue;
      if (call.retry && !this.#closing) again.push(call);
      else call.answer.reject(new Lost());
    }
    const waiting = this.#takeQueue();
    for (const call of again) call.sent = false;
    for (const item of [...again.map(({ item }) => item), ...waiting]) this.#push(item);
  }

  #finish({ code, reason, status }) {
    const by = this.#closing ? "client" : "server";
    const cause = { code, reason, status, ...this.#closing, by };
    this.#enter("closed");
    for (const item of this.#takeQueue()) item.settle(new Lost());
    for (const { answer } of this.#pending.values()) answer.reject(new Lost());
    for (const { ready } of this.#subscriptions) ready.reject(new Lost());
    this.#emit("close", cause);
    this.#closed.resolve(cause);
  }

  #enqueue(item) {
    if (this.#closing || this.#state === "closed") throw new Lost();
    const { queue } = this.#options;
    const goesOut = this.#queue.length === 0 && this.#hasRoom();
    if (!goesOut && this.#queued + item.size > queue) {
      throw new TidegateError("queue-full", `more than ${queue} bytes wait to be sent: await each send`);
    }
    this.#push(item);
    this.#flush();
  }

  #push(item) {
    this.#queue.push(item);
    this.#queued += item.size;
  }

  #takeQueue() {
    const items = this.#queue;
    [this.#queue, this.#queued] = [[], 0];
    return items;
  }

  #unqueue(item) {
    const index = this.#queue.indexOf(item);
    if (index >= 0) this.#queued -= this.#queue.splice(index, 1)[0].size;
  }

  #hasRoom() {
    return this.#state === "open" && this.#transport?.bufferedAmount <= this.#options.highWater;
  }

  #flush() {
    clearTimeout(this.#looking);
    while (this.#queue.length > 0 && this.#hasRoom()) {
      const item = this.#queue.shift();
      this.#queued -= item.size;
      item.handed?.();
      try {
        Promise.resolve(this.#transport.send(item.data, item.size)).then(() => item.settle(), item.settle);
      } catch (error) {
        item.settle(error);
      }
    }
    if (this.#queue.length > 0 && this.#state === "open") this.#looking = setTimeout(() => this.#flush(), LOOK_EVERY);
  }

  #receive(data) {
    const message = typeof data === "string" && data.startsWith("{") ? parse(data) : undefined;
    if (typeof message?.success === "boolean") this.#answered(message);
    else if (typeof message?.type === "string") this.#happened(message);
    else this.#emit("message", { data });
  }

  #answered({ requestId, success, data, error }) {
    const call = this.#pending.get(requestId);
    if (success) return call?.answer.resolve(data);
    const refusal = new TidegateError(error?.code ?? "unknown", error?.message ?? "refused", error?.details);
    // A message of `send` that the handler refuses, or an answer that comes too late.
    if (call === undefined) this.#emit("error", { error: refusal, requestId });
    else call.answer.reject(refusal);
  }

  #happened(event) {
    for (const type of [event.type, "*"]) {
      for (const call of this.#listeners.get(type) ?? []) {
        try {
          call(event);
        } catch (error) {
          // Nobody's mistake but the listener's: the others still hear the event.
          (globalThis.reportError ?? rethrow)(error);
        }
      }
    }
  }

  #enter(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#emit("statechange", { state });
  }

  #emit(type, fields) {
    this.dispatchEvent(Object.assign(new Event(type), fields));
  }

  #sleep(wait) {
    // A listener of what came before may have closed the gate.
    if (this.#closing) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => resolve(clearTimeout(timer));
    });
  }

  #nextId() {
    this.#count += 1;
    return `${this.#prefix}-${this.#count}`;
  }
}

/** Notices when a connection shows no sign of life any more. It costs a timer now and then, and nothing per message. */
class Pulse {
  #options;
  #dead;
  /** How often signs come; nothing until the gateway has promised them. */
  #every;
  #heard = performance.now();
  /** How long what was announced may take. */
  #coming = 0;
  #isDoubted = false;
  #hasOverslept = false;
  #timer;

  /** Calls `dead` with how long nothing was heard, in milliseconds, when that was for too long. */
  constructor(options, dead) {
    this.#options = options;
    this.#dead = dead;
  }

  /** What to ask the gateway for, as a part of the query; nothing if signs are not wanted. */
  wish(word) {
    const { interval } = this.#options;
    return interval > 0 ? `tidegate-alive=${Math.round(interval)}.${word}` : "";
  }

  get isCounting() {
    return this.#every !== undefined;
  }

  /** Counts silence from now on: the gateway gives a sign that often. */
  count(every) {
    this.#every = every;
    this.#heard = performance.now();
    this.#look();
  }

  /** Something came, a sign or anything else. */
  heard() {
    this.#heard = performance.now();
    this.#coming = 0;
    this.#isDoubted = this.#hasOverslept = false;
  }

  /** A message of as many bytes has been announced: nothing else comes before it has. */
  expect(bytes) {
    this.#coming = (bytes / this.#options.rate) * 1000;
  }

  /** Heeds what the gateway says about its signs. */
  heed(words) {
    const [, word, value] = /^(every|coming) (\d+)$/.exec(words) ?? [];
    if (word === "every" && this.#options.interval > 0) this.count(Number(value));
    else if (word === "coming") this.expect(Number(value));
  }

  /** Something speaks against the network: the next sign is not waited for as long. */
  doubt() {
    if (!this.isCounting) return;
    this.#isDoubted = true;
    this.#look(performance.now() + DOUBTED);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#dead = () => {};
  }

  /** Looks now, at `earliest` to judge, and again when the next sign is overdue. */
  #look(earliest = 0) {
    clearTimeout(this.#timer);
    const { timeout } = this.#options;
    const late = this.#isDoubted ? Math.min(DOUBTED, timeout) : timeout;
    const now = performance.now();
    const due = Math.max(this.#heard + this.#every + late + this.#coming, earliest);
    if (now < due) return this.#wait(due);
    const dead = this.#dead;
    this.stop();
    dead(Math.round(now - this.#heard));
  }

  #wait(due) {
    const look = () => {
      const slept = performance.now() - due;
      if (slept < OVERSLEPT || this.#hasOverslept) return this.#look();
      // Who slept has not heard, though something may have come: it has its turn first, but once.
      this.#hasOverslept = true;
      this.#look(performance.now() + DOUBTED);
    };
    this.#timer = setTimeout(look, Math.min(due - performance.now(), TIMER_MAX));
  }
}

/** A WebSocket. */
class Socket {
  name = "websocket";
  #socket;
  #options;
  #word = randomWord();
  #ended = deferred();
  #timer;

  constructor(url, options) {
    const { WebSocket, protocols, alive } = options;
    const address = withWish(url, new Pulse(alive).wish(this.#word));
    address.protocol = address.protocol.replace(/^http/, "ws");
    this.#options = options;
    this.#socket = new WebSocket(address.href, protocols);
    this.#socket.binaryType = "arraybuffer";
  }

  get protocol() {
    return this.#socket.protocol;
  }

  get bufferedAmount() {
    return this.#socket.bufferedAmount;
  }

  run({ open, message, pulse }) {
    const [socket, word] = [this.#socket, this.#word];
    const { connectTimeout } = this.#options;
    // Browsers give a silent host minutes.
    this.#timer ??= startTimer(() => this.abandon(`no connection within ${connectTimeout} ms`), connectTimeout);
    socket.onopen = () => {
      this.#stopTimer();
      open();
    };
    socket.onmessage = ({ data }) => {
      pulse.heard();
      if (typeof data === "string" && data.startsWith(word)) pulse.heed(data.slice(word.length).trim());
      else message(data);
    };
    socket.onclose = ({ code, reason }) => this.#ended.resolve({ code, reason });
    // A `close` follows at once, but not in Node 20 and 22 after an attempt that failed.
    socket.onerror = () => setTimeout(() => this.#ended.resolve({ code: 1006, reason: "" }));
    return this.#ended.promise.finally(() => this.#stopTimer());
  }

  send(data) {
    this.#socket.send(data);
  }

  close(code, reason) {
    this.#socket.close(code, reason);
    const { closeTimeout } = this.#options;
    this.#stopTimer();
    this.#timer = startTimer(() => this.abandon(`no end within ${closeTimeout} ms of closing`), closeTimeout);
  }

  /** Ends without waiting for the other side, which would take a browser a minute or more. */
  abandon(reason) {
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    // What closes before it has opened fails, and in Node says so to whoever listens, or ends the process.
    socket.onerror = () => {};
    this.#ended.resolve({ code: 1006, reason });
    socket.terminate ? socket.terminate() : socket.close();
  }

  #stopTimer() {
    clearTimeout(this.#timer);
  }
}

/**
 * Server-sent events, read by `fetch` because `EventSource` can neither set header fields nor tell the status. An event
 * `binary` is a message in base64; `close` carries the close code and reason as JSON. It sends by POST, if at all.
 */
class Stream {
  name = "sse";
  bufferedAmount = 0;
  #url;
  #options;
  #lastEventId;
  #abort = new AbortController();
  /** Why we gave it up. */
  #given;
  #message;
  /** The end of the last POST: they go one after another, so that they arrive in order. */
  #posted = Promise.resolve();

  constructor(url, options, lastEventId) {
    this.#url = new URL(url);
    this.#url.protocol = this.#url.protocol.replace(/^ws/, "http");
    this.#options = options;
    this.#lastEventId = lastEventId;
  }

  async run({ open, message, id, pulse }) {
    this.#message = message;
    let end = { code: 1006, reason: "the stream ended" };
    try {
      const response = await this.#get(pulse);
      if (response.status !== 200) return this.#refused(response);
      if (!response.headers.get("content-type")?.startsWith("text/event-stream")) throw "the answer is no event stream";
      open();
      const happened = (event) => {
        id(event.id);
        if (event.type !== "close") return message(event.type === "binary" ? fromBase64(event.data) : event.data);
        end = { ...end, ...parse(event.data) };
        this.close();
      };
      const receive = eventStream(happened, this.#lastEventId, (comment) => pulse.heed(comment));
      const [reader, decoder] = [response.body.getReader(), new TextDecoder()];
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        pulse.heard();
        receive(decoder.decode(part.value, { stream: true }));
      }
    } catch (error) {
      // After a `close` it is our own abort.
      if (end.code === 1006) end.reason = this.#given ?? String(error);
    }
    this.close();
    return end;
  }

  async #get(pulse) {
    const headers = { accept: "text/event-stream" };
    if (this.#lastEventId) headers["last-event-id"] = this.#lastEventId;
    const { fetch, credentials, connectTimeout } = this.#options;
    const timer = startTimer(() => this.abandon(`no connection within ${connectTimeout} ms`), connectTimeout);
    const url = withWish(this.#url, pulse.wish(randomWord()));
    const answer = fetch(url, { headers, credentials, signal: this.#abort.signal, cache: "no-store" });
    return answer.finally(() => clearTimeout(timer));
  }

  #refused({ status, headers }) {
    this.close();
    const retryAfter = 1000 * Number(headers.get("retry-after"));
    return { code: 1006, reason: `the gateway answered ${status}`, status, retryAfter: retryAfter || 0 };
  }

  send(data, size) {
    if (!this.#options.post) {
      throw new TidegateError("receive-only", "only server-sent events get through here, and the option `post` is off");
    }
    this.bufferedAmount += size;
    const posted = this.#posted.then(() => this.#post(data)).finally(() => (this.bufferedAmount -= size));
    this.#posted = posted.catch(() => {});
    return posted;
  }

  async #post(data) {
    const type = typeof data === "string" ? "application/json" : "application/octet-stream";
    const { fetch, timeout, credentials } = this.#options;
    const signal = AbortSignal.timeout(Math.min(timeout, TIMER_MAX));
    const request = { method: "POST", headers: { "content-type": type }, body: data, credentials, signal };
    const response = await fetch(this.#url, request).catch((cause) => {
      throw new TidegateError("http", `the POST failed: ${cause}`, undefined, { cause });
    });
    const { status, ok, headers } = response;
    // The answer to a request may come here as well as in the stream.
    if (headers.get("content-type")?.includes("json")) this.#message(await response.text());
    else if (!ok) throw new TidegateError("http", `the gateway answered ${status}`, { status });
  }

  close() {
    this.#abort.abort();
  }

  abandon(reason) {
    this.#given ??= reason;
    this.close();
  }
}

/** Letters and digits that nobody guesses. Unlike `crypto.randomUUID` this is there on pages without TLS too. */
function randomWord() {
  const digits = Array.from(crypto.getRandomValues(new Uint32Array(3)), (part) => part.toString(36).padStart(7, "0"));
  return digits.join("");
}

/** The address with one more part of the query, and what stands there left as it is. */
function withWish(url, wish) {
  const address = new URL(url);
  address.hash = "";
  if (wish !== "") address.search += (address.search === "" ? "?" : "&") + wish;
  return address;
}

/** A timer; none for what is longer than timers can wait, such as `Infinity`. */
function startTimer(call, wait) {
  return wait <= TIMER_MAX ? setTimeout(call, wait) : undefined;
}

function notChosen(protocols) {
  const offered = JSON.stringify([protocols].flat());
  return `a WebSocket opens, but not with one of ${offered}: the plugin is to choose one of the subprotocols in on-upgrade`;
}

function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}

function envelope(id, type, payload) {
  return JSON.stringify({ type, id, timestamp: Date.now(), payload });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Bytes, or for text the least that it can be. */
function sizeOf(data) {
  return data.byteLength ?? data.size ?? data.length;
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;
}

function aborted(type, signal) {
  return new TidegateError("aborted", `"${type}" was aborted`, undefined, { cause: signal.reason });
}

function rethrow(error) {
  queueMicrotask(() => {
    throw error;
  });
}
