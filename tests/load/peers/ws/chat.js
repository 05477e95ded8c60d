// On /rooms/NAME what plugins/chat does with a message, for ws on Node; on /plain/NAME the others get it as it came.
import { WebSocketServer } from "ws";

const rooms = new Map();

const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket, request) => {
  const { pathname, searchParams } = new URL(request.url, "ws://localhost");
  const plain = pathname.startsWith("/plain/");
  const from = searchParams.get("username");
  if (!rooms.has(pathname)) rooms.set(pathname, new Set());
  const room = rooms.get(pathname);
  room.add(socket);

  socket.on("message", (message) => {
    const text = message.toString();
    const event = plain ? text : JSON.stringify({ type: "message", from, text });
    for (const other of room) {
      if (other !== socket) other.send(event);
    }
  });
  socket.on("close", () => room.delete(socket));
});
