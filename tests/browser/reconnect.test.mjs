// What happens when the connection ends: by its close code, with waits that are spread, and what is done after it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { reconnectWait } from "../../gateway/src/client/tidegate.js";
import { pages } from "./browser.mjs";
import { Gateway } from "./gateway.mjs";

const run = pages();

test("after a crash it reconnects, subscribes, and sends what waited, in that order", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open();
    const states = [];
    gate.addEventListener("statechange", ({ state }) => states.push(state));
    const heard = [];
    gate.on("said", (payload) => heard.push(payload));
    await gate.subscribe("subscribe", { topic: "tea" }).ready;
    const lost = failure(gate.request("never"));
    const reconnecting = next(gate, "reconnecting");
    await kill();
    const { code } = await reconnecting;
    // The subscription comes first, else nobody would hear this.
    const waiting = gate.request("publish", { topic: "tea", event: "said", payload: "after" }, { timeout: 30_000 });
    await start();
    await waiting;
    return { states, heard, lost: (await lost).code, code };
  });
  assert.equal(found.states[0], "open");
  assert.equal(found.states[1], "waiting");
  assert.equal(found.states.at(-1), "open");
  assert.equal(found.code, 1006);
  assert.equal(found.lost, "closed");
  assert.deepEqual(found.heard, ["after"]);
});

test("a request that may be repeated is answered by the next process", async (t) => {
  const gateway = await Gateway.start(t);
  const answer = await run(t, gateway, async () => {
    const gate = open();
    await gate.request("echo", 0);
    // It is on its way, and nobody reads it before the end.
    await pause();
    const answer = gate.request("echo", "twice", { retry: true, timeout: 30_000 });
    await kill();
    await start();
    return answer;
  });
  assert.equal(answer, "twice");
});

for (const code of [1000, 1008, 3000, 4001]) {
  test(`${code} is the end`, async (t) => {
    const gateway = await Gateway.start(t);
    const found = await run(t, gateway, async (code) => {
      const gate = open();
      const closes = [];
      gate.addEventListener("close", ({ code, reason, by }) => closes.push({ code, reason, by }));
      gate.addEventListener("reconnecting", () => closes.push("reconnecting"));
      const subscription = gate.subscribe("never", null);
      const request = failure(gate.request("never"));
      gate.send("close", { code, reason: "go away" });
      const { status, ...cause } = await gate.closed;
      const codes = [(await request).code, (await failure(subscription.ready)).code, (await failure(gate.send("echo"))).code];
      return { cause, closes, codes, state: gate.state };
    }, code);
    const cause = { code, reason: "go away", by: "server" };
    assert.deepEqual(found, { cause, closes: [cause], codes: ["closed", "closed", "closed"], state: "closed" });
  });
}

for (const [code, options, wait] of [
  [1012, {}, 1000 + 2500],
  [1013, {}, 1000 + 2500],
  [1001, {}, 1000 + 2500],
  [1011, {}, 250],
  [3008, {}, 250],
  [4001, { codes: { 4001: "retry" } }, 250],
  [1000, { codes: { 1000: "wait" }, restart: { wait: 10_000 } }, 10_000 + 2500],
]) {
  test(`after ${code} ${JSON.stringify(options)} it waits ${wait} ms, unless the network comes back before`, async (t) => {
    const gateway = await Gateway.start(t);
    const found = await run(t, gateway, async ({ code, options }) => {
      const gate = open({ backoff: {}, restart: {}, random: () => 0.5, ...options });
      const { connection } = await gate.request("who");
      const reconnecting = next(gate, "reconnecting");
      await gate.send("close", { code });
      const { wait, attempt, code: seen } = await reconnecting;
      const state = gate.state;
      dispatchEvent(new Event("online"));
      const other = await gate.request("who");
      return { wait, attempt, seen, state, isOther: other.connection !== connection };
    }, { code, options });
    assert.deepEqual(found, { wait, attempt: 1, seen: code, state: "waiting", isOther: true });
  });
}

test("a drain of the gateway is waited out", async (t) => {
  const gateway = await Gateway.start(t);
  const code = await run(t, gateway, async () => {
    const gate = open();
    await gate.request("echo", 1);
    const reconnecting = next(gate, "reconnecting");
    await drain();
    const { code } = await reconnecting;
    await start();
    await gate.request("echo", 2, { timeout: 30_000 });
    return code;
  });
  assert.equal(code, 1001);
});

test("waits double up to a maximum, anywhere below it, and a restart's are never short", () => {
  const options = { backoff: { base: 500, max: 30_000 }, restart: { wait: 1000, window: 5000 }, codes: {} };
  const wait = (end, failures, random) => reconnectWait(end, failures, { ...options, random: () => random });
  const ceilings = [0, 1, 2, 5, 6, 50, 5000].map((failures) => wait({ code: 1006 }, failures, 1));
  assert.deepEqual(ceilings, [500, 1000, 2000, 16_000, 30_000, 30_000, 30_000]);
  for (const failures of [0, 3, 5000]) assert.equal(wait({ code: 1006 }, failures, 0), 0);
  for (const code of [1001, 1012, 1013]) {
    assert.deepEqual([0, 0.5, 1].map((random) => wait({ code }, 0, random)), [1000, 3500, 6000]);
    assert.equal(wait({ code }, 10, 1), 31_000);
  }
  for (const code of [1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003, 4000, 4999]) {
    assert.equal(wait({ code }, 0, 1), undefined, String(code));
  }
  for (const code of [1005, 1006, 1011, 1014, 1015, 3001, 3999]) assert.equal(wait({ code }, 0, 1), 500, String(code));
  for (const status of [204, 400, 401, 410]) assert.equal(wait({ code: 1006, status }, 0, 1), undefined);
  for (const status of [405, 406, 408, 425, 426, 500, 502]) assert.equal(wait({ code: 1006, status }, 0, 1), 500);
  assert.equal(wait({ code: 1006, status: 503, retryAfter: 2000 }, 0, 0), 3000);
  assert.equal(wait({ code: 1006, status: 429, retryAfter: 1e9 }, 0, 0), 31_000);
});

test("the doubling goes on over connections that do not last, and starts over after one that did", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const attempts = async (stable) => {
      const gate = open({ backoff: { base: 1, max: 8, stable } });
      const seen = [];
      gate.addEventListener("reconnecting", ({ attempt }) => seen.push(attempt));
      while (seen.length < 3) {
        await gate.request("echo", 1);
        const lost = next(gate, "reconnecting");
        await gate.send("close", { code: 1011 });
        await lost;
      }
      gate.close();
      return seen;
    };
    return [await attempts(60_000), await attempts(0)];
  });
  assert.deepEqual(found, [[1, 2, 3], [1, 1, 1]]);
});

test("the query is asked for before each attempt, and one that fails is an attempt that failed", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    let count = 0;
    const query = async () => {
      count += 1;
      if (count === 1) throw new Error("no token");
      return { token: count };
    };
    const gate = open({ query });
    const { reason } = await next(gate, "reconnecting");
    const first = await gate.request("who");
    await gate.send("close", { code: 1011 });
    await next(gate, "reconnecting");
    return { reason, queries: [first.query, (await gate.request("who")).query] };
  });
  assert.match(found.reason, /no token/);
  assert.deepEqual(found.queries, ["token=2", "token=3"]);
});

test("closing ends a wait, an attempt and a connection", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const waits = { backoff: { base: 1e9, max: 1e9 }, random: () => 0.9 };
    const waiting = open(waits);
    await waiting.request("echo", 1);
    const lost = next(waiting, "reconnecting");
    await waiting.send("close", { code: 1011 });
    await lost;
    // From within what it tells.
    const told = open(waits);
    told.addEventListener("reconnecting", () => told.close());
    await told.request("echo", 1);
    told.send("close", { code: 1011 });
    const connecting = open();
    const asking = open({ query: () => new Promise((resolve) => setTimeout(resolve, 50, {})) });
    const connected = open();
    await connected.request("echo", 1);
    let refusal;
    try {
      connected.close(1001);
    } catch (error) {
      refusal = error.name;
    }
    const after = await connected.request("echo", 2);
    const causes = await Promise.all([waiting, connecting, asking, connected].map((gate) => gate.close()));
    causes.push(await told.closed);
    return { refusal, after, causes: causes.map(({ code, by }) => `${code} by the ${by}`) };
  });
  assert.deepEqual([found.refusal, found.after], ["InvalidAccessError", 2]);
  assert.deepEqual(new Set(found.causes), new Set(["1000 by the client"]));
});
