using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "chat", worker = (
    modules = [(name = "chat.js", esModule = embed "chat.js")],
    compatibilityDate = "2026-11-01",
    durableObjectNamespaces = [(className = "Room", uniqueKey = "room")],
    durableObjectStorage = (inMemory = void),
    bindings = [(name = "ROOMS", durableObjectNamespace = "Room")],
  ))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "chat")],
);
