//! The plugins in `plugins/`, each with real clients through a gateway, and with a reload in the middle.

mod auth;
mod chat;
mod collab;
mod echo;
mod envelope;
mod events;
mod gallery;
mod heartbeat;
mod live;
mod modules;
mod presence;
mod pubsub;
mod quiz;
mod registry;
mod rooms;
mod rpc;
mod token;
