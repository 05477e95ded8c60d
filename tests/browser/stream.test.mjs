// Server-sent events: the parser, and the client over them beside a server that says what a test wants.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { test } from "node:test";

import { connect, eventStream } from "../../gateway/src/client/tidegate.js";

/** What a parser makes of these pieces. */
function parse(pieces, id) {
  const events = [];
  const push = eventStream((event) => events.push(event), id);
  for (const piece of pieces) push(piece);
  return events;
}

test("a stream is parsed the same wherever it is cut", () => {
  const stream = [
    ": a comment",
    "data: one",
    "",
    "event: said\nid: 7\ndata:  two \ndata:{\"three\": 3}\ndata",
    "",
    "event: nothing to tell",
    "",
    "retry: 10\nunknown: field\n:\ndata: ä€😀\nid: with \0 it is none",
    "",
    "id\ndata: without an id again",
    "",
    "data: not ended",
  ].join("\n");
  const expected = [
    { type: "message", data: "one", id: "0" },
    { type: "said", data: ' two \n{"three": 3}\n', id: "7" },
    { type: "message", data: "ä€😀", id: "7" },
    { type: "message", data: "without an id again", id: "" },
  ];
  for (const end of ["\n", "\r\n", "\r"]) {
    const text = stream.replaceAll("\n", end);
    assert.deepEqual(parse([text], "0"), expected);
    assert.deepEqual(parse([...text], "0"), expected);
    for (let cut = 0; cut <= text.length; cut += 1) {
      assert.deepEqual(parse([text.slice(0, cut), "", text.slice(cut)], "0"), expected, `${JSON.stringify(end)} ${cut}`);
    }
  }
});

test("an event that ends with a return is given at once", () => {
  assert.equal(parse(["data: one\r\r"]).length, 1);
});

/** A server that answers each request as `answers` says, in turn; it keeps what it was asked. */
async function serve(t, ...answers) {
  const asked = [];
  let count = 0;
  const server = createServer(async (request, response) => {
    const body = (await request.toArray()).join("");
    const { method, url, headers } = request;
    asked.push({ method, url, accept: headers.accept, last: headers["last-event-id"], body });
    count += 1;
    await answers[Math.min(count, answers.length) - 1](response, body);
  });
  // A proxy that knows no WebSocket.
  server.on("upgrade", (request, socket) => {
    asked.push({ method: "upgrade" });
    socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { asked, url: `ws://127.0.0.1:${server.address().port}/rooms/tea` };
}

const events = (text, isOver) => (response) => {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" }).write(text);
  if (isOver) response.end();
};
const status = (code, fields) => (response) => response.writeHead(code, fields).end("no");
const said = (payload) => `data: ${JSON.stringify({ type: "said", id: "e", timestamp: 1, payload })}\n`;
const fast = { backoff: { base: 5, max: 20 }, restart: { wait: 5, window: 5 }, timeout: 10_000 };
const next = (gate, type) => new Promise((resolve) => gate.addEventListener(type, resolve, { once: true }));
const first = (gate, type) => new Promise((resolve) => gate.on(type, resolve));

test("events and binary messages come in, and the last id goes out with the next attempt", async (t) => {
  const binary = `event: binary\ndata: ${Buffer.of(0, 255).toString("base64")}\n\n`;
  const { asked, url } = await serve(t, events(`id: a-1\n${said(1)}\n${binary}`, true), events(`${said(2)}\n`));
  const gate = connect(url, { ...fast, sse: "only", query: { name: "ann" } });
  const [one, bytes] = await Promise.all([first(gate, "said"), next(gate, "message")]);
  assert.equal(one, 1);
  assert.deepEqual([...new Uint8Array(bytes.data)], [0, 255]);
  assert.equal(await first(gate, "said"), 2);
  assert.deepEqual([gate.state, gate.transport], ["open", "sse"]);
  // The gateway takes its part of the query out, and each attempt has a word of its own.
  for (const request of asked) request.url = request.url.replace(/&tidegate-alive=15000\.[a-z0-9]{21}$/, "");
  const request = { method: "GET", url: "/rooms/tea?name=ann", accept: "text/event-stream", body: "" };
  assert.deepEqual(asked, [{ ...request, last: undefined }, { ...request, last: "a-1" }]);
  const cause = await gate.close();
  assert.equal(cause.by, "client");
});

test("a close event and a refusal are honoured as close codes are", async (t) => {
  const closing = await serve(t, events('event: close\ndata: {"code":1008,"reason":"not you"}\n\n'));
  const gate = connect(closing.url, { ...fast, sse: "only" });
  assert.deepEqual(await gate.closed, { code: 1008, reason: "not you", status: undefined, by: "server" });
  assert.equal(closing.asked.length, 1);

  const refusing = await serve(t, status(503, { "retry-after": "0" }), status(500), status(401));
  const refused = connect(refusing.url, { ...fast, sse: "only" });
  const cause = { code: 1006, reason: "the gateway answered 401", status: 401, by: "server" };
  assert.deepEqual(await refused.closed, cause);
  assert.equal(refusing.asked.length, 3);
});

test("what is no stream is tried again", async (t) => {
  const { asked, url } = await serve(t, (response) => response.end("a page"), events(`${said(1)}\n`));
  const gate = connect(url, { ...fast, sse: "only" });
  assert.match((await next(gate, "reconnecting")).reason, /no event stream/);
  assert.equal(await first(gate, "said"), 1);
  assert.equal(asked.length, 2);
  await gate.close();
});

test("without `post` nothing can be sent", async (t) => {
  const { url } = await serve(t, events(""));
  const gate = connect(url, { ...fast, sse: "only" });
  const { ready } = gate.subscribe("subscribe", 1);
  for (const promise of [gate.send("a"), gate.request("b"), ready]) await assert.rejects(promise, { code: "receive-only" });
  await gate.close();
});

/** The answer to a request. */
const answer = ({ id, type }, data) => JSON.stringify({ type, requestId: id, success: true, data });

test("with `post` each message is one, in order, and its answer may come either way", async (t) => {
  let stream;
  const { asked, url } = await serve(
    t,
    (response) => events("")((stream = response)),
    async (response) => {
      // Time for the next one to overtake this.
      await new Promise((resolve) => setTimeout(resolve, 50));
      response.writeHead(204).end();
    },
    (response, body) => response.setHeader("content-type", "application/json").end(answer(JSON.parse(body), "here")),
    (response, body) => {
      stream.write(`data: ${answer(JSON.parse(body), "there")}\n\n`);
      response.writeHead(202).end();
    },
    status(413),
  );
  const gate = connect(url, { ...fast, sse: "only", post: true });
  const sent = gate.send("one", 1);
  const answers = await Promise.all([gate.request("two"), gate.request("three")]);
  await sent;
  assert.deepEqual(answers, ["here", "there"]);
  await assert.rejects(gate.send("four"), { code: "http", details: { status: 413 } });
  const types = asked.filter(({ method }) => method === "POST").map(({ body }) => JSON.parse(body).type);
  assert.deepEqual(types, ["one", "two", "three", "four"]);
  await gate.close();
});

test("a request whose POST is under way when the stream ends fails, or is asked again", async (t) => {
  for (const retry of [false, true]) {
    let stream;
    const open = (response) => events("")((stream = response));
    const { url } = await serve(
      t,
      open,
      (response) => {
        stream.end();
        setTimeout(() => response.writeHead(204).end(), 200);
      },
      open,
      (response, body) => response.setHeader("content-type", "application/json").end(answer(JSON.parse(body), "again")),
    );
    const gate = connect(url, { ...fast, sse: "only", post: true });
    const answered = gate.request("one", {}, { retry });
    if (retry) assert.equal(await answered, "again");
    else await assert.rejects(answered, { code: "closed" });
    await gate.close();
  }
});

test("where WebSockets never get through, the fallback does, and at once the next time", async (t) => {
  const { asked, url } = await serve(t, events(`${said(1)}\n`, true), events(`${said(2)}\n`));
  const gate = connect(url, { ...fast, sseAfter: 2 });
  await first(gate, "said");
  await first(gate, "said");
  const methods = asked.map(({ method }) => method);
  assert.deepEqual(methods, ["upgrade", "upgrade", "GET", "upgrade", "GET"]);
  await gate.close();

  const never = await serve(t, events(""));
  const stubborn = connect(never.url, { ...fast, sse: "never", sseAfter: 1 });
  for (let attempt = 0; attempt < 4; attempt += 1) await next(stubborn, "reconnecting");
  await stubborn.close();
  assert.ok(never.asked.every(({ method }) => method === "upgrade"));
});
