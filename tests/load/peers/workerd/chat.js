// On /rooms/NAME what plugins/chat does with a message, for workerd; on /plain/NAME the others get it as it came.
// A room is a Durable Object: sockets of different requests meet nowhere else.
import { DurableObject } from "cloudflare:workers";

export class Room extends DurableObject {
  sockets = new Set();

  fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const plain = pathname.startsWith("/plain/");
    const from = searchParams.get("username");
    const [client, socket] = Object.values(new WebSocketPair());
    socket.accept();
    this.sockets.add(socket);

    socket.addEventListener("message", ({ data: text }) => {
      const event = plain ? text : JSON.stringify({ type: "message", from, text });
      for (const other of this.sockets) {
        if (other !== socket) other.send(event);
      }
    });
    socket.addEventListener("close", () => this.sockets.delete(socket));
    return new Response(null, { status: 101, webSocket: client });
  }
}

export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    return env.ROOMS.get(env.ROOMS.idFromName(pathname)).fetch(request);
  },
};
