// Chromium, and pages in it that have the client of a gateway.

import { createServer } from "node:http";
import { once } from "node:events";
import { after, before } from "node:test";

import { chromium } from "playwright-core";

/** How long a page may take for what must happen. Far longer than it ever takes. */
const PATIENCE = 30_000;

// From another origin than the gateway's: a page needs an origin, and it must outlive the gateway.
const PAGE = `<!doctype html><title>client</title><script type="module">
  const gateway = new URLSearchParams(location.search).get("gateway");
  const { connect } = globalThis.tidegate = await import(gateway + "/tidegate.js");
  // Fast, so that a test of something else does not wait for it.
  globalThis.fast = { backoff: { base: 20, max: 100 }, restart: { wait: 20, window: 20 } };
  globalThis.open = (options) => connect(gateway + "/rooms/tea", { ...fast, ...options });
  globalThis.next = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
  globalThis.failure = (promise) => promise.then(
    (value) => { throw new Error("it did not fail: " + JSON.stringify(value)); },
    ({ name, code, message, details }) => ({ name, code, message, details }),
  );
  document.title = "ready";
</script>`;

/**
 * For the tests of one file: returns `run(t, gateway, body, argument)`, which runs the function `body` in a new page and
 * returns what it returns. Beside the module `tidegate` it finds there `open(options)`, which connects to the
 * gateway, `next(target, type)`, a promise of an event, and `failure(promise)`, the error it is rejected with.
 */
export function pages() {
  let [browser, server] = [];
  before(async () => {
    server = createServer((_, response) => response.setHeader("content-type", "text/html").end(PAGE));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"];
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
  });
  after(async () => {
    await browser?.close();
    server.closeAllConnections();
    server.close();
  });
  return async (t, gateway, body, argument) => {
    const page = await browser.newPage();
    t.after(() => page.close());
    page.setDefaultTimeout(PATIENCE);
    const { promise: late, timer } = patience(t.name);
    t.after(() => clearTimeout(timer));
    page.on("pageerror", (error) => console.error("in the page:", error));
    const { port } = server.address();
    await page.goto(`http://127.0.0.1:${port}/?gateway=${encodeURIComponent(gateway.address)}`);
    await page.waitForFunction(() => document.title === "ready");
    // What the page asks of the process it is connected to.
    for (const name of ["kill", "drain", "start", "pause", "resume", "reload", "die"]) {
      if (name in gateway) await page.exposeFunction(name, (...given) => gateway[name](...given));
    }
    return Promise.race([page.evaluate(body, argument), late]);
  };
}

/** Rejects when it has run out. */
function patience(name) {
  let timer;
  const promise = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`"${name}" still waits after ${PATIENCE} ms`)), PATIENCE);
  });
  // The page may have failed before.
  promise.catch(() => {});
  return { promise, timer };
}
