// On /rooms/NAME what plugins/chat does with a message, for Bun; on /plain/NAME the others get it as it came.
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request, server) {
    const url = new URL(request.url);
    const [, kind, room] = url.pathname.split("/");
    const name = url.searchParams.get("username");
    server.upgrade(request, { data: { plain: kind === "plain", room, name } });
  },
  websocket: {
    open(socket) {
      socket.subscribe(socket.data.room);
    },
    message(socket, text) {
      const { plain, room, name } = socket.data;
      socket.publish(room, plain ? text : JSON.stringify({ type: "message", from: name, text }));
    },
  },
});
console.log(server.port);
