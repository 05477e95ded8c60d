// On /rooms/NAME what plugins/chat does with a message, for Elysia on Bun; on /plain/NAME the others get it as it came.
import { Elysia } from "elysia";

new Elysia()
  .ws("/rooms/:room", {
    open(socket) {
      socket.subscribe(socket.data.params.room);
    },
    message(socket, text) {
      const { params, query } = socket.data;
      socket.publish(params.room, { type: "message", from: query.username, text });
    },
  })
  .ws("/plain/:room", {
    open(socket) {
      socket.subscribe(socket.data.params.room);
    },
    message(socket, text) {
      socket.publish(socket.data.params.room, text);
    },
  })
  .listen({ port: 0, hostname: "127.0.0.1" }, (server) => console.log(server.port));
