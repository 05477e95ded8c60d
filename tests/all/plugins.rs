//! The plugins in `plugins/`, each with real clients through a gateway, and with a reload in the middle.

mod chat;
mod echo;
mod quiz;
