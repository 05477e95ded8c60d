// No wait is without a limit: a network that goes away without a word, a gateway that refuses, attempts that fail.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";
import { test } from "node:test";

import { connect, reconnectWait } from "../../gateway/src/client/tidegate.js";
import { pages } from "./browser.mjs";
import { Gateway } from "./gateway.mjs";
import { Network } from "./network.mjs";

const run = pages();

/** The shortest that a gateway grants, so that a test does not wait for long. */
const alive = { interval: 1_000, timeout: 2_000, rate: 64 << 10 };
const fast = { backoff: { base: 5, max: 20 }, restart: { wait: 5, window: 5 } };
/** A gate that does not outlive the test, whatever becomes of that. */
const dial = (t, url, options) => {
  const gate = connect(url, options);
  t.after(() => gate.close());
  return gate;
};
const next = (gate, type) => new Promise((resolve) => gate.addEventListener(type, resolve, { once: true }));
const until = async (condition) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
};

for (const sse of ["never", "only"]) {
  test(`a page whose network goes away without a word comes back, sse: "${sse}"`, async (t) => {
    const gateway = await Gateway.start(t);
    const network = await Network.start(t, gateway.address);
    const found = await run(t, Object.assign(gateway, { die: () => network.die() }), async ({ address, options }) => {
      const lasting = open(options);
      const breaks = [];
      lasting.addEventListener("reconnecting", () => breaks.push("broken"));
      const gate = tidegate.connect(address + "/rooms/tea", { ...fast, ...options });
      const reasons = [];
      gate.addEventListener("reconnecting", ({ code, reason }) => reasons.push(`${code}: ${reason}`));
      await next(gate, "open");
      for (let time = 0; time < 2; time += 1) {
        // Past some signs first: silence between two of them is none.
        await new Promise((resolve) => setTimeout(resolve, 2_500));
        const again = next(gate, "open");
        await die();
        await again;
      }
      return { reasons, breaks, states: [gate.state, lasting.state] };
    }, { address: network.address, options: { sse, alive } });
    assert.equal(found.reasons.length, 2);
    for (const reason of found.reasons) assert.match(reason, /^1006: no sign of life for \d+ ms$/);
    // One whose network was there all the time was never taken for a dead one.
    assert.deepEqual(found.breaks, []);
    assert.deepEqual(found.states, ["open", "open"]);
  });

  test(`without a browser it comes back as well, sse: "${sse}"`, async (t) => {
    const gateway = await Gateway.start(t);
    const network = await Network.start(t, gateway.address);
    const gate = dial(t, `${network.address}/rooms/tea`, { ...fast, sse, alive });
    await next(gate, "open");
    // The gateway has promised signs by then.
    if (sse === "never") await gate.request("echo", 1);
    else await new Promise((resolve) => setTimeout(resolve, 500));
    const again = next(gate, "open");
    network.die();
    await again;
  });
}

test("what speaks against the network has it looked at early", async (t) => {
  const gateway = await Gateway.start(t);
  const network = await Network.start(t, gateway.address);
  // Without `online` this took an hour.
  const patient = { interval: 1_000, timeout: 3_600_000 };
  await run(t, Object.assign(gateway, { die: () => network.die() }), async ({ address, alive }) => {
    const gate = tidegate.connect(address + "/rooms/tea", { ...fast, alive, sse: "never" });
    await gate.request("echo", 1);
    await die();
    const again = next(gate, "open");
    dispatchEvent(new Event("online"));
    await again;
    await die();
    const asked = next(gate, "open");
    await failure(gate.request("echo", 2, { timeout: 50 }));
    await asked;
  }, { address: network.address, alive: patient });
});

test("a large message on a slow line is no silence", async (t) => {
  const gateway = await Gateway.start(t);
  const network = await Network.start(t, gateway.address);
  // A WebSocket shows nothing of a message until it is whole, and is told before; a stream shows what there is.
  for (const [sse, size, rate] of [["never", 800 << 10, 100 << 10], ["only", 60 << 10, 10 << 10]]) {
    network.slow(Infinity);
    const options = { ...fast, sse, alive, query: { topic: "tea" } };
    const gate = dial(t, `${network.address}/rooms/tea`, options);
    const breaks = [];
    gate.addEventListener("reconnecting", ({ reason }) => breaks.push(reason));
    const said = new Promise((resolve) => gate.on("said", resolve));
    await new Promise((resolve) => gate.on("welcome", resolve));
    network.slow(rate);
    const other = dial(t, `${gateway.address}/rooms/tea`);
    // Far longer than silence may last, and nothing else can come meanwhile.
    const payload = "x".repeat(size);
    await other.request("publish", { topic: "tea", event: "said", payload });
    assert.equal((await said).length, payload.length);
    assert.deepEqual(breaks, [], sse);
    await Promise.all([gate.close(), other.close()]);
  }
});

test("a handler that sends words like those of the signs is heard", async (t) => {
  const gateway = await Gateway.start(t);
  const gate = dial(t, gateway.url, { alive });
  const came = [];
  gate.addEventListener("message", ({ data }) => came.push(data));
  const { query } = await gate.request("who");
  assert.equal(query, "", "the handler sees nothing of it");
  for (const text of ["", "every 1", "coming 5", "abcdefgh every 1"]) await gate.sendRaw(text);
  await gate.request("echo", 1);
  assert.deepEqual(came, ["", "every 1", "coming 5", "abcdefgh every 1"]);
  await gate.close();
});

test("on a dead network it closes within its limit", async (t) => {
  const gateway = await Gateway.start(t);
  const network = await Network.start(t, gateway.address);
  const found = await run(t, Object.assign(gateway, { die: () => network.die() }), async (address) => {
    const gate = tidegate.connect(address + "/rooms/tea", { closeTimeout: 100 });
    await gate.request("echo", 1);
    await die();
    const lost = failure(gate.request("never"));
    const { code, reason, by } = await gate.close(3001, "enough");
    return { code, reason, by, lost: (await lost).code };
  }, network.address);
  assert.deepEqual(found, { code: 3001, reason: "enough", by: "client", lost: "closed" });
});

test("a send without a connection ends, and what was given up does not go out later", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open({ sendTimeout: 50 });
    await gate.request("echo", 1);
    const came = [];
    gate.addEventListener("message", ({ data }) => came.push(data));
    const lost = next(gate, "reconnecting");
    await kill();
    await lost;
    const { code } = await failure(gate.sendRaw("late"));
    await start();
    await gate.request("echo", 2, { timeout: 30_000 });
    return { code, came };
  });
  assert.deepEqual(found, { code: "timeout", came: [] });
});

/** A server that gives each WebSocket and each stream what `refuse` writes, until that returns true. */
async function refusing(t, refuse) {
  const server = createServer((_, response) => response.destroy());
  const answer = (request, socket) => refuse(request, socket.on("error", () => {}));
  server.on("upgrade", answer);
  server.removeAllListeners("request");
  server.on("request", (request, response) => answer(request, response.socket));
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

const refusal = (status) => `HTTP/1.1 ${status} no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`;

for (const status of [403, 404]) {
  test(`${status} is doubted for a while, and then believed`, async (t) => {
    let asked = 0;
    const address = await refusing(t, (_, socket) => {
      asked += 1;
      socket.end(refusal(status));
    });
    const gate = dial(t, address, { ...fast, sseAfter: 1, refusedFor: 500 });
    const { code, reason, status: seen, by } = await gate.closed;
    assert.deepEqual({ code, seen, by }, { code: 1006, seen: status, by: "server" });
    assert.match(reason, new RegExp(`^the gateway answered ${status} for \\d+ s: look at the path`));
    assert.ok(asked > 4, `${asked}`);
  });
}

test("a page that is opened while the ingress answers 404 is there once the gateway is", async (t) => {
  const gateway = await Gateway.start(t);
  const network = await Network.start(t, gateway.address);
  let asked = 0;
  const ingress = await refusing(t, (_, socket) => {
    asked += 1;
    socket.end(refusal(404));
  });
  let address = ingress;
  // The address is the page's own matter; here it changes under the same client.
  const WebSocket = class extends globalThis.WebSocket {
    constructor(url, protocols) {
      super(url.replace(ingress.slice(7), address.slice(7)), protocols);
    }
  };
  const fetch = (url, init) => globalThis.fetch(String(url).replace(ingress, address), init);
  const gate = dial(t, `${ingress}/rooms/tea`, { ...fast, WebSocket, fetch });
  await until(() => asked > 12);
  assert.equal(gate.state === "closed", false);
  address = network.address;
  await next(gate, "open");
  await gate.close();
});

test("waits for a 404 are counted from the first one, and anew after a connection", () => {
  const options = { backoff: { base: 500, max: 30_000 }, restart: { wait: 1000, window: 5000 }, codes: {}, random: () => 1 };
  const wait = (status, refused) => reconnectWait({ code: 1006, status, refused }, 0, { ...options, refusedFor: 30_000 });
  for (const status of [403, 404]) {
    assert.deepEqual([wait(status, 0), wait(status, 29_999), wait(status, 30_000)], [500, 500, undefined]);
  }
  assert.equal(wait(401, 0), undefined);
});

test("no more attempts are made in a row than were given", async (t) => {
  let asked = 0;
  const address = await refusing(t, (_, socket) => {
    asked += 1;
    socket.destroy();
  });
  const gate = dial(t, address, { ...fast, sse: "never", attempts: 3 });
  const { code, reason, by } = await gate.closed;
  assert.deepEqual({ code, by, asked }, { code: 1006, by: "server", asked: 3 });
  assert.match(reason, /^gave up after 3 attempts in a row/);
});

test("the end of a connection that lasted is no attempt that failed", async (t) => {
  const gateway = await Gateway.start(t);
  const gate = dial(t, gateway.url, { ...fast, backoff: { ...fast.backoff, stable: 0 }, attempts: 1 });
  for (let time = 0; time < 3; time += 1) {
    await gate.request("echo", 1);
    const again = next(gate, "open");
    await gate.send("close", { code: 1011 });
    await again;
  }
  await gate.close();
});

test("a query that is never there is an attempt that failed, and no obstacle to closing", async (t) => {
  const gate = dial(t, "http://127.0.0.1:9/", { ...fast, connectTimeout: 50, query: () => new Promise(() => {}) });
  assert.match((await next(gate, "reconnecting")).reason, /"query" failed: Error: no answer within 50 ms/);
  await gate.close();
  const patient = dial(t, "http://127.0.0.1:9/", { connectTimeout: 3_600_000, query: () => new Promise(() => {}) });
  assert.equal((await patient.close()).by, "client");
});

test("a host that takes the connection and says nothing is given up", async (t) => {
  const address = await refusing(t, () => {});
  for (const sse of ["never", "only"]) {
    const gate = dial(t, address, { ...fast, sse, connectTimeout: 100 });
    assert.match((await next(gate, "reconnecting")).reason, /^no connection within 100 ms/);
    await gate.close();
  }
});

test("a page whose subprotocols are not chosen is told so, and does not try for ever", async (t) => {
  const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const gateway = await Gateway.start(t);
  // A gateway that grants every upgrade and chooses nothing.
  const address = await refusing(t, (request, socket) => {
    const key = request.headers["sec-websocket-key"];
    if (key === undefined) return socket.end(refusal(426));
    const accept = createHash("sha1").update(key + GUID).digest("base64");
    socket.write(`HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`);
    // To whatever the page says first, a close frame with 1000.
    socket.once("data", () => socket.end(Buffer.of(0x88, 2, 0x03, 0xe8)));
  });
  const found = await run(t, gateway, async (address) => {
    const causes = [];
    for (const sse of ["never", "fallback"]) {
      const gate = tidegate.connect(address, { ...fast, sse, protocols: ["chat.v2", "chat.v1"] });
      causes.push(await gate.closed);
    }
    return causes.map(({ code, reason, by }) => ({ code, reason, by }));
  }, address);
  for (const { code, reason, by } of found) {
    assert.deepEqual({ code, by }, { code: 1006, by: "server" });
    assert.match(reason, /not with one of \["chat.v2","chat.v1"\].*on-upgrade/);
  }
});
