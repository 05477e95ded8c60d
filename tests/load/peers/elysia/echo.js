// What plugins/echo does, for Elysia on Bun.
import { Elysia } from "elysia";

new Elysia()
  .ws("/echo", {
    message(socket, message) {
      socket.send(message);
    },
  })
  .listen({ port: 0, hostname: "127.0.0.1" }, (server) => console.log(server.port));
