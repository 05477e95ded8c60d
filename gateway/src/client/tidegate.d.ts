/** The types of `tidegate.js`, the client of the Tidegate WebSocket gateway. */

/**
 * What a plugin and its clients say to each other. `tidegate types plugin.wasm` prints it for a plugin:
 *
 *     import { connect } from "/tidegate.js";
 *     import type { Messages } from "./chat.types";
 *     const gate = connect<Messages>("/rooms/tea");
 *
 * Without it every type and payload is allowed, and what comes is `unknown`.
 */
export interface Messages {
  /** What clients send, by `type`, with the `data` of the answer. */
  requests: Record<string, { payload: unknown; reply: unknown }>;
  /** What clients receive unasked, by `type`. */
  events: Record<string, unknown>;
}

/** What the gateway sends unasked. */
export interface Envelope<Type extends string = string, Payload = unknown> {
  type: Type;
  id: string;
  /** Milliseconds since 1970. */
  timestamp: number;
  payload: Payload;
}

/** `waiting` is for the next attempt; `closed` is for good. */
export type State = "connecting" | "open" | "waiting" | "closed";

/** What to do after a close: give up, wait until a crowd has spread, or try again with growing waits. */
export type Verdict = "stop" | "wait" | "retry";

/** Values of the query; `undefined` and `null` are left out. */
export type Query = Record<string, string | number | boolean | null | undefined>;

/** Options of `connect`. All waits are in milliseconds, all sizes in bytes, which of text means its length. */
export interface Options {
  /**
   * Subprotocols to offer, in order of preference. Default none. Browsers refuse a gateway that chooses none of them: if
   * WebSockets open without them only, the gate closes, and its `reason` says so.
   */
  protocols?: string | string[];
  /**
   * What the query carries, over what the URL has. A function is asked before each attempt, so a token can be a fresh
   * one; one that fails counts as a failed attempt. Default nothing.
   */
  query?: Query | (() => Query | Promise<Query>);
  /** How long a request may take, waiting for a connection included. Default 10 s: longer than anybody watches. */
  timeout?: number;
  /**
   * How long one attempt to connect may take, and the function `query` before it. Default 10 s: browsers would give a
   * silent host minutes.
   */
  connectTimeout?: number;
  /**
   * How long `close` waits for the other side. Default 5 s: what the gateway waits as well; on a dead network browsers
   * would wait a minute.
   */
  closeTimeout?: number;
  /**
   * How long `send` and `sendRaw` may wait for room or for a connection. Default 60 s: longer than a restart, and than
   * it takes to notice a dead network. Beyond it they reject with `timeout`.
   */
  sendTimeout?: number;
  /** Signs of life, by which a network that went away without a word is noticed. The gateway gives them. */
  alive?: {
    /**
     * How often to ask for one; the gateway allows 5 s (its `limits.signs`) to 60 s. Default 15 s: with `timeout` a dead connection is
     * noticed within 25 s, at the cost of some 30 bytes each time. 0 asks for none: then a dead network may go unnoticed
     * for minutes.
     */
    interval?: number;
    /**
     * How late one may be. Default 10 s: a phone that changes cells. After `online`, `offline` or a request without an
     * answer it is at most 3 s.
     */
    timeout?: number;
    /**
     * Bytes a second, below which a line is no line: as long as a large message takes at that rate, its silence is none.
     * Default 32 KiB/s: a bad phone's.
     */
    rate?: number;
  };
  /**
   * How many attempts in a row may fail, at least 1. Default no limit: a page that is left open over a night should be
   * there in the morning. At the limit the gate closes with 1006, and its `reason` says why the last one failed.
   */
  attempts?: number;
  /**
   * How long 403 and 404 are tried again. Default 30 s: while a service is deployed, whatever stands in front of it
   * answers so. Then they are believed, and the gate closes with them as `status`.
   */
  refusedFor?: number;
  /** Waits after a failure. The wait before attempt n is anywhere from 0 to the lesser of `base * 2^n` and `max`. */
  backoff?: {
    /** Default 500: most losses are short. */
    base?: number;
    /** Default 30 s: what a person accepts as "it is coming back". */
    max?: number;
    /** How long a connection must have lasted for the doubling to start over. Default 5 s: longer than a crash loop. */
    stable?: number;
  };
  /** Waits after a restart or an overload (1001, 1012, 1013): `wait`, then anywhere within `window`. */
  restart?: {
    /** Default 1 s: a gateway needs less to start. */
    wait?: number;
    /** Default 5 s: the gateway closes everybody within as much; grows as the backoff does. */
    window?: number;
  };
  /** What close codes mean, over the table in `tidegate.js`: `{ 4001: "retry" }`. Without an entry 4000-4999 stop. */
  codes?: Record<number, Verdict>;
  /**
   * How much the socket may hold before sends wait. Default 1 MiB: some frames of video, half a second of a slow line.
   */
  highWater?: number;
  /**
   * How much may wait beside the socket. Default 4 MiB: a minute's talk, not a phone's memory. Beyond it: `queue-full`.
   */
  queue?: number;
  /** How many requests may be unanswered. Default 1000: more is a loop without `await`. Beyond it: `queue-full`. */
  inFlight?: number;
  /**
   * Whether server-sent events are used: never, where WebSockets do not get through (the default), or only. What comes
   * is the same; sending needs `post`.
   */
  sse?: "fallback" | "never" | "only";
  /** How many WebSockets must fail in a row, none having ever opened, before the fallback. Default 3. */
  sseAfter?: number;
  /**
   * Whether server-sent events are accompanied by a POST to the same URL for each message. Default false: the plugin
   * must answer plain HTTP too.
   */
  post?: boolean;
  /**
   * Whether server-sent events and their POSTs carry cookies, as of `fetch`; WebSockets always do. Default
   * `"same-origin"`.
   */
  credentials?: RequestCredentials;
  /** A number from 0 to 1, exclusive. Default `Math.random`; tests give their own. */
  random?: () => number;
  /** Default the global one, which Node has from version 22. */
  WebSocket?: typeof WebSocket;
  /** Default the global one. */
  fetch?: typeof fetch;
}

/** Why a gate has closed. */
export interface Cause {
  /** The close code (RFC 6455 section 7.4); 1006 where there was none. */
  code: number;
  reason: string;
  /** The HTTP status that server-sent events were refused with. */
  status?: number;
  by: "client" | "server";
}

/** The codes of this client's own errors. */
export type ErrorCode =
  | "timeout" | "closed" | "aborted" | "queue-full" | "overflow" | "receive-only" | "http" | "unknown";

/** What requests, sends and subscriptions are rejected with. */
export class TidegateError extends Error {
  constructor(code: string, message: string, details?: unknown, options?: ErrorOptions);
  readonly name: "TidegateError";
  /** The handler's own code, or an `ErrorCode`. */
  readonly code: ErrorCode | (string & {});
  /** Whatever the handler said beside, such as the name of a field. */
  readonly details: unknown;
}

/** What happens to the connection, for `addEventListener`. What the gateway says is heard by `on`. */
export interface GateEventMap {
  /** A connection is there: the first, or another. */
  open: Event;
  statechange: Event & { readonly state: State };
  /** The connection was lost, or an attempt has failed: the next one is in `wait` milliseconds. */
  reconnecting: Event & {
    readonly wait: number;
    readonly attempt: number;
    readonly code: number;
    readonly reason: string;
    readonly status?: number;
  };
  /** It has closed for good. */
  close: Event & Cause;
  /** Something came that is no envelope: text or bytes. */
  message: Event & { readonly data: string | ArrayBuffer };
  /** The handler refused a message of `send`, or a request that nobody waits for any more. */
  error: Event & { readonly error: TidegateError; readonly requestId?: string | null };
  /** A subscription was refused, for the first time or after a reconnect, or got no answer in time. */
  subscribefailed: Event & { readonly error: TidegateError; readonly request: string; readonly payload: unknown };
}

/** A subscription that outlives connections. */
export interface Subscription<Reply> {
  /**
   * Resolves with the first answer. Rejects when that is an error, when there is none in time, or when the gate closes.
   */
  readonly ready: Promise<Reply>;
  /** Does not ask again, and sends the request that undoes it, if there is one and a connection to undo it on. */
  unsubscribe(): Promise<void>;
}

/** Options of one request. */
export interface RequestOptions {
  /** Milliseconds; `Infinity` for no limit. Default that of the gate. */
  timeout?: number;
  /** Gives the request up. The handler does not hear of it. */
  signal?: AbortSignal;
  /**
   * Whether it is sent again, with the same id, when the connection is lost before the answer. The handler may see it
   * twice. Default false: it is rejected with `closed`.
   */
  retry?: boolean;
}

type Requests<M extends Messages> = M["requests"];
type RequestName<M extends Messages> = keyof Requests<M> & string;
type EventName<M extends Messages> = keyof M["events"] & string;

/** A payload that may be nothing need not be given. */
type With<Payload, Options> = undefined extends Payload
  ? [payload?: Payload, options?: Options]
  : null extends Payload
    ? [payload?: Payload, options?: Options]
    : [payload: Payload, options?: Options];

/** One connection that stays. */
export class Gate<M extends Messages = Messages> extends EventTarget {
  private constructor();

  readonly state: State;
  /** What carries the messages while the state is `open`. */
  readonly transport: "websocket" | "sse" | undefined;
  /** The subprotocol that the gateway chose, or "". */
  readonly protocol: string;
  /** Resolves when the gate has closed for good; never rejects. */
  readonly closed: Promise<Cause>;

  /** Calls `listener` for each event of that type. Returns the function that ends that. */
  on<T extends EventName<M>>(
    type: T,
    listener: (payload: M["events"][T], event: Envelope<T, M["events"][T]>) => void,
  ): () => void;
  /** Calls `listener` for each event. */
  on(type: "*", listener: (payload: M["events"][EventName<M>], event: Envelope) => void): () => void;

  /**
   * The payloads of a type of event, from now until the gate has closed. At most `buffer` (default 1000) wait to be
   * taken; then the iteration fails with `overflow`.
   */
  events<T extends EventName<M>>(type: T, options?: { buffer?: number }): AsyncIterableIterator<M["events"][T]>;

  /**
   * Sends a message that has no answer. Resolves when it was handed to the socket: at once while that holds less than
   * `highWater`, later while it holds more or there is no connection. Rejects with `queue-full`, `closed`, or after
   * `sendTimeout` with `timeout`.
   */
  send<T extends RequestName<M>>(type: T, ...rest: With<Requests<M>[T]["payload"], never>): Promise<void>;

  /** Sends text or bytes as they are; resolves and rejects as `send` does. */
  sendRaw(data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer> | Blob): Promise<void>;

  /** Sends a request; resolves with the `data` of its answer, rejects with a `TidegateError`. */
  request<T extends RequestName<M>>(
    type: T,
    ...rest: With<Requests<M>[T]["payload"], RequestOptions>
  ): Promise<Requests<M>[T]["reply"]>;

  /**
   * Makes a request now and after every reconnect, before anything that was sent meanwhile. `undo` is the request that
   * `unsubscribe` makes, with the same payload or `undoPayload`.
   */
  subscribe<T extends RequestName<M>, U extends RequestName<M> = RequestName<M>>(
    type: T,
    payload: Requests<M>[T]["payload"],
    options?: { undo?: U; undoPayload?: Requests<M>[U]["payload"]; timeout?: number },
  ): Subscription<Requests<M>[T]["reply"]>;

  /**
   * Closes for good, within `closeTimeout`; what was handed to the socket goes out first. The code is 1000 (the default) or 3000-4999, the
   * reason at most 123 bytes; on a WebSocket others throw.
   */
  close(code?: number, reason?: string): Promise<Cause>;

  addEventListener<T extends keyof GateEventMap>(
    type: T,
    listener: (event: GateEventMap[T]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<T extends keyof GateEventMap>(
    type: T,
    listener: (event: GateEventMap[T]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** Opens a connection to `url`, which may be relative to the page, and keeps it open until `close`. */
export function connect<M extends Messages = Messages>(url: string | URL, options?: Options): Gate<M>;

/** How an attempt or a connection ended. */
export interface End {
  code: number;
  /** The HTTP status, where one could be seen. */
  status?: number;
  /** What the header field `Retry-After` said, in milliseconds. */
  retryAfter?: number;
  /** For how long in a row the status was 403 or 404, in milliseconds. */
  refused?: number;
}

/** How long to wait, in milliseconds, after `failures` in a row before this one; `undefined` is never. */
export function reconnectWait(
  end: End,
  failures: number,
  options: {
    backoff: { base: number; max: number };
    restart: { wait: number; window: number };
    codes: Record<number, Verdict>;
    random: () => number;
    refusedFor?: number;
  },
): number | undefined;

/** A parser of server-sent events and the comments between them: call it with text as it comes, cut anywhere. */
export function eventStream(
  onEvent: (event: { type: string; data: string; id: string }) => void,
  id?: string,
  onComment?: (text: string) => void,
): (text: string) => void;
