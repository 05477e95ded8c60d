// What plugins/echo does, for Bun.
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request, server) {
    server.upgrade(request);
  },
  websocket: {
    message(socket, message) {
      socket.send(message);
    },
  },
});
console.log(server.port);
