//! The plugins in `plugins/`, each with real clients through a gateway, and with a reload in the middle.

mod chat;
mod collab;
mod echo;
mod envelope;
mod presence;
mod pubsub;
mod registry;
mod rooms;
mod events;
mod live;
mod rpc;
