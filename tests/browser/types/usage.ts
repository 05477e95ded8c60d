// Uses of the client that must compile, and such that must not: each of these has a line that says so.

import { connect, Gate, TidegateError, reconnectWait } from "../../../gateway/src/client/tidegate.js";
import type { Cause, Envelope as Event, Options } from "../../../gateway/src/client/tidegate.js";
import type { Messages as Envelope } from "./envelope.gen.js";

// By hand, for all that types can be.
export interface Join {
  room: string;
  name?: string;
}
export interface Joined {
  members: string[];
}
export interface Messages {
  requests: {
    "join": { payload: Join; reply: Joined };
    "leave": { payload: null; reply: null };
  };
  events: {
    "joined": Joined;
    "left": string;
  };
}

const gate: Gate<Messages> = connect<Messages>("/rooms/tea", { query: () => ({ name: "ann", age: 3, none: undefined }) });

export async function right(signal: AbortSignal): Promise<number> {
  const joined: Joined = await gate.request("join", { room: "tea" }, { timeout: 1000, signal, retry: true });
  const left: null = await gate.request("leave");
  await gate.send("join", { room: "tea", name: "ann" });
  await gate.sendRaw(new Uint8Array(3));
  const off: () => void = gate.on("joined", ({ members }, event: Event<"joined", Joined>) => members.push(event.id));
  gate.on("*", (payload: Joined | string, { type }) => console.log(type, payload));
  for await (const name of gate.events("left", { buffer: 10 })) name.toUpperCase();
  const subscription = gate.subscribe("join", { room: "tea" }, { undo: "leave", undoPayload: null });
  const members: string[] = (await subscription.ready).members;
  await subscription.unsubscribe();
  gate.addEventListener("reconnecting", ({ wait, attempt, code }) => console.log(wait + attempt + code));
  gate.addEventListener("message", ({ data }) => (typeof data === "string" ? data.length : data.byteLength), { signal });
  const cause: Cause = await gate.close(3000, "bye");
  off();
  return joined.members.length + members.length + cause.code + Number(left);
}

export async function wrong(): Promise<void> {
  // @ts-expect-error: no such request
  await gate.request("jion", { room: "tea" });
  // @ts-expect-error: the payload is missing
  await gate.request("join");
  // @ts-expect-error: a field of another type
  await gate.request("join", { room: 1 });
  // @ts-expect-error: the reply is of another type
  const reply: string = await gate.request("join", { room: "tea" });
  // @ts-expect-error: no such message
  await gate.send("joined", { members: [] });
  // @ts-expect-error: no such event
  gate.on("join", () => {});
  // @ts-expect-error: the payload is of another type
  gate.on("left", (payload: number) => payload);
  // @ts-expect-error: no such event of the connection
  gate.addEventListener("opened", () => {});
  // @ts-expect-error: it is undone by a request
  gate.subscribe("join", { room: "tea" }, { undo: "left" });
  // @ts-expect-error: misspelt
  const options: Options = { timeuot: 1 };
  // @ts-expect-error: what a code means is one of three words
  connect("/", { codes: { 4001: "again" } });
  // @ts-expect-error: it is made by `connect`
  new Gate();
  console.log(reply, options);
}

// As `tidegate types` prints it, by `run`.
export async function generated(): Promise<number> {
  const gate = connect<Envelope>("/rooms/tea");
  await gate.subscribe("subscribe", { topic: "tea" }, { undo: "unsubscribe" }).ready;
  gate.on("welcome", (lastEventId: string | null) => console.log(lastEventId));
  await gate.send("never");
  // @ts-expect-error: a field is missing
  await gate.request("publish", { topic: "tea", event: "said" });
  const { connection } = await gate.request("who");
  return connection + (await gate.request("subscribers", { topic: "tea" }));
}

// Without types of messages everything may be said, and what comes must be looked at.
export async function untyped(): Promise<void> {
  const limits: Options = { attempts: 8, refusedFor: 0, sendTimeout: Infinity, closeTimeout: 100, alive: { interval: 5_000 } };
  const gate = connect(new URL("wss://example.com/rooms/tea"), { ...limits, sse: "never", random: () => 0.5 });
  await gate.request("anything");
  const reply: unknown = await gate.request("anything", { at: "all" });
  // @ts-expect-error: it is unknown
  reply.field;
  gate.on("anything", (payload) => {
    if (typeof payload === "string") payload.toUpperCase();
  });
  await gate.request("x").catch((error: unknown) => error instanceof TidegateError && error.code === "timeout");
  const wait: number | undefined = reconnectWait({ code: 1006 }, 0, {
    backoff: { base: 1, max: 2 },
    restart: { wait: 1, window: 2 },
    codes: {},
    random: Math.random,
  });
  console.log(wait);
}
