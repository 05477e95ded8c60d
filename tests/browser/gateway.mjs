// A gateway process of a test's own with the fixture `envelope`, on ports that the system picks.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The programs under test, as `run` names them. */
const { TIDEGATE, ENVELOPE } = process.env;

/** Processes that would outlive this one when it is ended from outside. */
const running = new Set();
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class Gateway {
  #folder;
  #child;
  #log = "";
  #reloads = 0;
  /** `http://127.0.0.1:PORT` of the public side, which stays over a restart, and of the admin side. */
  address;
  #admin;

  /** Starts a gateway that ends with the test `t`. */
  static async start(t) {
    const gateway = new Gateway();
    gateway.#folder = await mkdtemp(join(tmpdir(), "tidegate-browser-"));
    t.after(async () => {
      await gateway.kill();
      await rm(gateway.#folder, { recursive: true });
    });
    await copyFile(ENVELOPE, join(gateway.#folder, "plugin.wasm"));
    const config = `
      [server]
      drain_window = "0s"

      [[plugin]]
      name = "envelope"
      path = "plugin.wasm"
      watch = false
      # For large messages on a busy machine.
      limits = { deadline = "5s" }

      [[route]]
      path = "/rooms/{room}"
      plugins = ["envelope"]
      origins = "any"
      limits = { signs = "1s" }
    `;
    await writeFile(join(gateway.#folder, "tidegate.toml"), config);
    await gateway.start();
    return gateway;
  }

  /** Where the route is. */
  get url() {
    return `${this.address}/rooms/tea`;
  }

  /** Starts the process, the second time on the same port. */
  async start() {
    const listen = this.address?.replace("http://", "") ?? "127.0.0.1:0";
    const options = ["--listen", listen, "--admin", "127.0.0.1:0", "--config", join(this.#folder, "tidegate.toml")];
    this.#child = spawn(TIDEGATE, ["run", ...options], { stdio: ["ignore", "pipe", "pipe"] });
    const child = this.#child;
    running.add(child);
    child.once("exit", () => running.delete(child));
    child.stderr.on("data", (text) => (this.#log += text));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const address = async (what) => {
      const { value = "" } = await lines.next();
      if (!value.startsWith(what)) throw new Error(`the gateway did not start:\n${value}\n${this.#log}`);
      return value.slice(value.indexOf("http://"));
    };
    this.address = await address("listening on ");
    this.#admin = await address("admin on ");
  }

  /** Ends the process as a crash does; returns when it is gone. */
  async kill() {
    await this.#end("SIGKILL");
  }

  /** Ends the process as an operator does; returns when it is gone. */
  async drain() {
    await this.#end("SIGTERM");
  }

  async #end(signal) {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  /** Lets the process read and write nothing until `resume`. */
  pause() {
    this.#child.kill("SIGSTOP");
  }

  resume() {
    this.#child.kill("SIGCONT");
  }

  /** Puts the same plugin under another digest in place; returns when the next generation runs. */
  async reload() {
    this.#reloads += 1;
    const bytes = await readFile(ENVELOPE);
    // Section 0 is custom: its size, then its name with a length, then anything.
    const section = Uint8Array.of(0, 4, 2, "n".charCodeAt(0), "o".charCodeAt(0), this.#reloads);
    const [beside, component] = ["plugin.wasm.new", "plugin.wasm"].map((name) => join(this.#folder, name));
    await writeFile(beside, Buffer.concat([bytes, section]));
    await rename(beside, component);
    const response = await fetch(`${this.#admin}/plugins/envelope/reload`, { method: "POST" });
    const generation = { generation: this.#reloads + 1, plugin: "envelope" };
    assert.deepEqual(await response.json(), generation);
  }
}
