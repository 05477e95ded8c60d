// Messages over one connection: requests, events, sends, subscriptions, other runtimes than a page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { pages } from "./browser.mjs";
import { Gateway } from "./gateway.mjs";

const run = pages();

test("a request is answered with its data, and many are not mixed up", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open({ query: { name: "ann", skipped: undefined } });
    const payloads = [1, "two", { three: [3] }, null, "ä€😀"];
    const answers = await Promise.all(payloads.map((payload) => gate.request("echo", payload)));
    const { query } = await gate.request("who");
    return { answers, query, state: gate.state, transport: gate.transport };
  });
  assert.deepEqual(found.answers, [1, "two", { three: [3] }, null, "ä€😀"]);
  assert.equal(found.query, "name=ann");
  assert.deepEqual([found.state, found.transport], ["open", "websocket"]);
});

test("a request that is refused fails with the handler's own code, message and details", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open();
    const refused = await failure(gate.request("refuse", { a: 1 }));
    // Nobody waits for the answer to a send.
    const error = next(gate, "error");
    await gate.send("refuse", 2);
    const { error: sent, requestId } = await error;
    return { refused, sent: [sent.details, requestId], after: await gate.request("echo", 3) };
  });
  assert.deepEqual(found.refused, {
    name: "TidegateError",
    code: "spoilt",
    message: "all in vain",
    details: { a: 1 },
  });
  assert.deepEqual(found.sent, [2, undefined]);
  assert.equal(found.after, 3);
});

test("a request ends by its timeout, by its signal, and when too many are unanswered", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open({ inFlight: 2 });
    const late = await failure(gate.request("never", null, { timeout: 30 }));
    const controller = new AbortController();
    const aborted = failure(gate.request("never", null, { signal: controller.signal, timeout: Infinity }));
    const lasting = gate.request("never");
    lasting.catch(() => {});
    const third = await failure(gate.request("echo", 1));
    controller.abort();
    const already = await failure(gate.request("never", null, { signal: controller.signal }));
    return { late, aborted: await aborted, third, already, after: await gate.request("echo", 4) };
  });
  assert.equal(found.late.code, "timeout");
  assert.equal(found.late.message, 'no answer to "never" within 30 ms');
  assert.equal(found.aborted.code, "aborted");
  assert.equal(found.already.code, "aborted");
  assert.equal(found.third.code, "queue-full");
  assert.equal(found.after, 4);
});

test("an event reaches its listeners and those of all, until they end", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open();
    const heard = [];
    const errors = [];
    addEventListener("error", (event) => {
      event.preventDefault();
      errors.push(event.error.message);
    });
    await gate.subscribe("subscribe", { topic: "tea" }).ready;
    gate.on("said", () => { throw new Error("a listener's own"); });
    const off = gate.on("said", (payload, { type, id, timestamp }) => heard.push([type, typeof id, timestamp <= Date.now(), payload]));
    gate.on("*", (payload, { type }) => heard.push(["*", type, payload]));
    const publish = (event, payload) => gate.request("publish", { topic: "tea", event, payload });
    await publish("said", "a");
    await publish("left", "b");
    off();
    await publish("said", "c");
    return { heard, errors };
  });
  assert.deepEqual(found.heard, [
    ["said", "string", true, "a"],
    ["*", "said", "a"],
    ["*", "left", "b"],
    ["*", "said", "c"],
  ]);
  assert.deepEqual(found.errors, ["a listener's own", "a listener's own"]);
});

test("events are iterated until the gate closes, and no more of them are kept than was said", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open();
    await gate.subscribe("subscribe", { topic: "tea" }).ready;
    const publish = (payload) => gate.request("publish", { topic: "tea", event: "said", payload });
    const [all, few] = [gate.events("said"), gate.events("said", { buffer: 2 })];
    const taken = [];
    const first = (async () => {
      for await (const payload of gate.events("said")) return payload;
    })();
    for (const payload of [1, 2, 3]) await publish(payload);
    gate.close();
    for await (const payload of all) taken.push(payload);
    const overflow = await failure((async () => {
      for await (const payload of few) taken.push(payload);
    })());
    return { taken, first: await first, overflow };
  });
  assert.deepEqual(found.taken, [1, 2, 3, 1, 2]);
  assert.equal(found.first, 1);
  assert.equal(found.overflow.code, "overflow");
});

test("text and bytes that are no envelope go out and come in as they are", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open();
    const came = [];
    gate.addEventListener("message", ({ data }) => came.push(typeof data === "string" ? data : [...new Uint8Array(data)]));
    await gate.sendRaw("plain");
    await gate.sendRaw("[1]");
    await gate.sendRaw(Uint8Array.of(7, 8));
    await gate.sendRaw(new Blob([Uint8Array.of(9)]));
    await gate.subscribe("subscribe", { topic: "tea" }).ready;
    await gate.request("binary", { topic: "tea" });
    const error = next(gate, "error");
    await gate.sendRaw("{ not JSON");
    return { came, code: (await error).error.code };
  });
  assert.deepEqual(found.came, ["plain", "[1]", [7, 8], [9], [0, 1, 254, 255]]);
  assert.equal(found.code, "invalid-json");
});

test("sends wait while a gateway does not read, and arrive when it does", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open({ highWater: 1 << 18, queue: 64 << 20 });
    await gate.request("echo", 0);
    await pause();
    let handed = 0;
    // More than the kernel's buffers and the browser's together.
    const payload = "x".repeat(1 << 20);
    const sends = Array.from({ length: 40 }, () => gate.send("never", payload).then(() => (handed += 1)));
    await new Promise((resolve) => setTimeout(resolve, 500));
    const stalled = handed;
    await resume();
    await Promise.all(sends);
    return { stalled, handed, after: await gate.request("echo", "last") };
  });
  assert.ok(found.stalled > 0 && found.stalled < 40, `${found.stalled}`);
  assert.deepEqual([found.handed, found.after], [40, "last"]);
});

test("what waits for a connection is bounded, keeps its order, and is rejected by close", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open({ queue: 1000 });
    const came = [];
    gate.addEventListener("message", ({ data }) => came.push(data.length));
    const sends = [400, 500].map((length) => gate.sendRaw("x".repeat(length)));
    const full = await failure(gate.sendRaw("x".repeat(101)));
    // One that is given up makes room again.
    const controller = new AbortController();
    const request = failure(gate.request("echo", "", { signal: controller.signal }));
    controller.abort();
    const aborted = await request;
    await Promise.all([...sends, gate.sendRaw("x".repeat(99))]);
    // Larger than the queue, and none of its business while there is room.
    await gate.sendRaw("x".repeat(2000));
    await gate.request("echo", 1);
    const other = open();
    const waiting = failure(other.send("echo"));
    const cause = await other.close(3001, "enough");
    const later = await failure(other.send("echo"));
    return { came, full, aborted, waiting: await waiting, later, cause, state: other.state };
  });
  assert.equal(found.full.code, "queue-full");
  assert.equal(found.aborted.code, "aborted");
  assert.deepEqual(found.came, [400, 500, 99, 2000]);
  assert.deepEqual([found.waiting.code, found.later.code, found.state], ["closed", "closed", "closed"]);
  assert.deepEqual([found.cause.code, found.cause.reason, found.cause.by], [3001, "enough", "client"]);
});

test("a subscription ends with its undo, and fails as its request does", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open();
    const subscription = gate.subscribe("subscribe", { topic: "tea" }, { undo: "unsubscribe" });
    const counts = [await subscription.ready, await gate.request("subscribers", { topic: "tea" })];
    await subscription.unsubscribe();
    counts.push(await gate.request("subscribers", { topic: "tea" }));
    const told = next(gate, "subscribefailed");
    const refused = await failure(gate.subscribe("nonsense", 1).ready);
    const { request, payload } = await told;
    return { counts, refused, told: [request, payload] };
  });
  assert.deepEqual(found.counts, [null, 1, 0]);
  assert.equal(found.refused.code, "unknown-type");
  assert.deepEqual(found.told, ["nonsense", 1]);
});

test("a reload in the middle is not noticed", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open();
    const events = [];
    await gate.subscribe("subscribe", { topic: "tea" }).ready;
    gate.on("said", (number) => events.push(number));
    gate.addEventListener("reconnecting", () => events.push("reconnecting"));
    const seen = [];
    let [count, over] = [0, false];
    const asking = (async () => {
      while (!over) {
        await gate.request("publish", { topic: "tea", event: "said", payload: (count += 1) });
        seen.push(await gate.request("who"));
      }
    })();
    await reload();
    await reload();
    over = true;
    await asking;
    seen.push(await gate.request("who"));
    return { seen, events, count };
  });
  const generations = found.seen.map(({ generation }) => generation);
  assert.deepEqual([generations[0], generations.at(-1)], [1, 3]);
  assert.deepEqual(generations, generations.toSorted());
  assert.equal(new Set(found.seen.map(({ connection }) => connection)).size, 1);
  assert.deepEqual(found.events, Array.from({ length: found.count }, (_, index) => index + 1));
});

test("it runs in a worker", async (t) => {
  const gateway = await Gateway.start(t);
  const answer = await run(t, gateway, async (address) => {
    const source = `
      import { connect } from "${address}/tidegate.js";
      const gate = connect("${address}/rooms/tea");
      postMessage(await gate.request("echo", "from a worker"));
    `;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const worker = new Worker(url, { type: "module" });
    worker.addEventListener("error", ({ message }) => console.error(message));
    return (await next(worker, "message")).data;
  }, gateway.address);
  assert.equal(answer, "from a worker");
});

test("it runs without a browser", async (t) => {
  const gateway = await Gateway.start(t);
  const { connect } = await import("../../gateway/src/client/tidegate.js");
  const gate = connect(gateway.url);
  assert.equal(await gate.request("echo", "from Node"), "from Node");
  const cause = await gate.close();
  assert.deepEqual(cause, { code: 1000, reason: "", status: undefined, by: "client" });
});
