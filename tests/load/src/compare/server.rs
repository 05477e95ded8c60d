//! The servers that are compared.

use serde::{Deserialize, Serialize};

/// A server that takes part.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Server {
    /// This project, with its plugins `echo` and `chat`.
    Tidegate,
    /// Bun's own server.
    Bun,
    /// The framework Elysia on Bun.
    Elysia,
    /// The package ws on Node.
    Ws,
    /// workerd: V8 isolates, Durable Objects.
    Workerd,
    /// tokio-tungstenite as its examples use it.
    TokioTungstenite,
    /// Epoll without anything: what the kernel costs. It forwards, and makes no JSON.
    Floor,
}

impl Server {
    /// What the tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tidegate => "Tidegate",
            Self::Bun => "Bun",
            Self::Elysia => "Elysia",
            Self::Ws => "ws on Node",
            Self::Workerd => "workerd",
            Self::TokioTungstenite => "tokio-tungstenite",
            Self::Floor => "bare epoll (raw)",
        }
    }

    /// Whether it comes from npm.
    #[must_use]
    pub fn is_package(self) -> bool {
        matches!(self, Self::Bun | Self::Elysia | Self::Ws | Self::Workerd)
    }
}
