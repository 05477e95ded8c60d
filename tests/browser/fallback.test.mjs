// Server-sent events of a real gateway, where WebSockets do not get through.

import assert from "node:assert/strict";
import { createServer, request as ask } from "node:http";
import { once } from "node:events";
import { test } from "node:test";

import { pages } from "./browser.mjs";
import { Gateway } from "./gateway.mjs";

const run = pages();

/** A proxy before a gateway that knows HTTP and no WebSocket. Returns where it is. */
async function proxy(t, gateway) {
  const server = createServer((request, response) => {
    const { method, url, headers } = request;
    const passed = ask(gateway.address + url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.on("error", () => response.destroy()).pipe(response);
    });
    passed.on("error", () => response.destroy());
    response.on("close", () => passed.destroy());
    request.pipe(passed);
  });
  server.on("upgrade", (_, socket) => socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

test("a page behind such a proxy receives all the same, with its last id after a crash", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async (address) => {
    const options = { ...fast, sseAfter: 1, query: { topic: "tea" } };
    const gate = tidegate.connect(address + "/rooms/tea", options);
    const welcomes = gate.events("welcome");
    const welcome = async () => (await welcomes.next()).value;
    const seen = [await welcome(), gate.transport];
    // A WebSocket beside it, for this one can say nothing.
    const other = open();
    const said = gate.events("said");
    const message = next(gate, "message");
    await other.request("publish", { topic: "tea", event: "said", payload: "ä\nb", id: "41" });
    await other.request("binary", { topic: "tea" });
    seen.push((await said.next()).value, ...new Uint8Array((await message).data));
    const refused = await failure(gate.send("echo"));
    const lost = next(gate, "reconnecting");
    await kill();
    await lost;
    await start();
    seen.push(await welcome());
    return { seen, refused: refused.code };
  }, await proxy(t, gateway));
  assert.deepEqual(found.seen, [null, "sse", "ä\nb", 0, 1, 254, 255, "41"]);
  assert.equal(found.refused, "receive-only");
});

test("a drain says so in the stream", async (t) => {
  const gateway = await Gateway.start(t);
  const code = await run(t, gateway, async () => {
    const gate = open({ sse: "only" });
    await next(gate, "open");
    const lost = next(gate, "reconnecting");
    await drain();
    const { code } = await lost;
    const again = next(gate, "open");
    await start();
    await again;
    return code;
  });
  assert.equal(code, 1001);
});

test("a reload is not noticed", async (t) => {
  const gateway = await Gateway.start(t);
  const found = await run(t, gateway, async () => {
    const gate = open({ sse: "only", query: { topic: "tea" } });
    const heard = [];
    gate.addEventListener("reconnecting", () => heard.push("reconnecting"));
    gate.on("said", (payload) => heard.push(payload));
    // It is open when the stream begins, and subscribed when the handler has said so.
    await new Promise((resolve) => gate.on("welcome", resolve));
    const other = open();
    const say = (payload) => other.request("publish", { topic: "tea", event: "said", payload });
    const last = new Promise((resolve) => gate.on("said", (payload) => payload === 3 && resolve()));
    await say(1);
    await reload();
    await say(2);
    await reload();
    await say(3);
    await last;
    return { heard, generation: (await other.request("who")).generation };
  });
  assert.deepEqual(found, { heard: [1, 2, 3], generation: 3 });
});
