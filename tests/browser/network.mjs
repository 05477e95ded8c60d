// A network between a client and a gateway, which can go away without a word, or be slow.

import net from "node:net";
import { once } from "node:events";

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Network {
  #pairs = [];
  #server;
  #rate = Infinity;

  /** Stands before `address`, `http://HOST:PORT`, until the test `t` ends. */
  static async start(t, address) {
    const network = new Network();
    const { hostname, port } = new URL(address);
    network.#server = net.createServer((client) => network.#join(client, net.connect(port, hostname)));
    await once(network.#server.listen(0, "127.0.0.1"), "listening");
    t.after(() => {
      network.#server.close();
      for (const { client, gateway } of network.#pairs) [client, gateway].forEach((socket) => socket.destroy());
    });
    return network;
  }

  get address() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** What there is forwards nothing any more, and closes nothing either. New connections get through. */
  die() {
    for (const pair of this.#pairs) pair.isDead = true;
  }

  /** From now on no more than `rate` bytes a second come through to the client. */
  slow(rate) {
    this.#rate = rate;
  }

  #join(client, gateway) {
    const pair = { client, gateway, isDead: false };
    this.#pairs.push(pair);
    for (const socket of [client, gateway]) {
      socket.setNoDelay(true).on("error", () => {});
    }
    client.on("data", (data) => pair.isDead || gateway.write(data));
    client.on("close", () => pair.isDead || gateway.destroy());
    this.#forward(pair);
  }

  async #forward(pair) {
    const { client, gateway } = pair;
    try {
      for await (const data of gateway) {
        // In pieces, and one after another, as a thin line has them.
        const step = this.#rate === Infinity ? data.length : Math.ceil(this.#rate / 20);
        for (let at = 0; at < data.length && !pair.isDead; at += step) {
          client.write(data.subarray(at, at + step));
          if (this.#rate !== Infinity) await wait(50);
        }
      }
    } catch {
      // A reset is an end too.
    }
    if (!pair.isDead) client.destroy();
  }
}
