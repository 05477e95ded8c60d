//! The plugins in `plugins/`, each with real clients through a gateway, and with a reload in the middle.

mod auth;
mod chat;
mod echo;
mod gallery;
mod heartbeat;
mod modules;
mod token;
