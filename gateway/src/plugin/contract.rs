//! The WIT contract (`wit/`) in Rust types; `exports`: what a component exports of it.
//!
//! Written by hand rather than generated: parameters borrow from the connection's read buffer and
//! messages a guest sends are read in place in its memory, which generated bindings would copy.
//! wasmtime checks every one of these types against the component when an instance starts.

use std::marker::PhantomData;

use wasmtime::Store;
use wasmtime::component::{
    ComponentNamedList, ComponentType, Func, Instance, Lift, Lower, TypedFunc, WasmList, WasmStr,
};

mod exports;

pub use exports::ContractError;
pub(super) use exports::{Exports, Function};

/// Versions the gateway speaks; wasmtime matches any 0.1.x to it.
pub(super) const VERSION: &str = "0.1.0";
/// What plugins import.
pub(super) const HOST: &str = "tidegate:plugin/host@0.1.0";
/// The standard's interface for log lines.
pub(super) const LOGGING: &str = "wasi:logging/logging@0.1.0-draft";

type Fields<'a> = Vec<(&'a str, &'a [u8])>;

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Request<'a> {
    pub(super) path: &'a str,
    pub(super) params: Vec<(&'a str, &'a str)>,
    pub(super) query: Option<&'a str>,
    pub(super) headers: Fields<'a>,
    pub(super) peer: &'a str,
    pub(super) subprotocols: Vec<&'a str>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Accept {
    pub(super) subprotocol: Option<String>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) state: Vec<u8>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Reject {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

/// A message on its way into a guest.
#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum Inbound<'a> {
    #[component(name = "text")]
    Text(&'a str),
    #[component(name = "binary")]
    Binary(&'a [u8]),
}

impl Inbound<'_> {
    /// The number of the message's bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// A message a guest sends, still in its memory.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum Outbound {
    #[component(name = "text")]
    Text(WasmStr),
    #[component(name = "binary")]
    Binary(WasmList<u8>),
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct CloseFrame<'a> {
    pub(super) code: u16,
    pub(super) reason: &'a str,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum CloseCause<'a> {
    #[component(name = "peer")]
    Peer(CloseFrame<'a>),
    #[component(name = "lost")]
    Lost(&'a str),
    #[component(name = "idle")]
    Idle,
    #[component(name = "slow-consumer")]
    SlowConsumer,
    #[component(name = "protocol-error")]
    ProtocolError(&'a str),
    #[component(name = "failed")]
    Failed(&'a str),
    #[component(name = "kicked")]
    Kicked(CloseFrame<'a>),
    #[component(name = "drained")]
    Drained,
}

/// How a guest wants a message sent.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct SendOptions {
    pub(super) compress: bool,
    #[component(name = "event-id")]
    pub(super) event_id: Option<WasmStr>,
}

/// How a guest wants a message published.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct PublishOptions {
    pub(super) except: Option<u64>,
    pub(super) compress: bool,
    #[component(name = "event-id")]
    pub(super) event_id: Option<WasmStr>,
}

/// When a guest wants a timer to fire, in milliseconds.
#[derive(ComponentType, Lift, Clone, Copy)]
#[component(record)]
pub(super) struct TimerOptions {
    pub(super) delay: u64,
    pub(super) every: Option<u64>,
    pub(super) keep: bool,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum TimerError {
    #[component(name = "not-this-connection")]
    NotThisConnection,
    #[component(name = "invalid-name")]
    InvalidName,
    #[component(name = "too-often")]
    TooOften,
    #[component(name = "too-many")]
    TooMany,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Delivery {
    #[component(name = "sent")]
    Sent,
    #[component(name = "queued")]
    Queued,
    #[component(name = "dropped")]
    Dropped,
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only guests make one")]
pub(super) enum Verdict {
    #[component(name = "next")]
    Next,
    #[component(name = "done")]
    Done,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum TopicError {
    #[component(name = "not-this-connection")]
    NotThisConnection,
    #[component(name = "invalid-topic")]
    InvalidTopic,
    #[component(name = "too-many")]
    TooMany,
    #[component(name = "not-granted")]
    NotGranted,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum PublishError {
    #[component(name = "invalid-topic")]
    InvalidTopic,
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "not-granted")]
    NotGranted,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum StateError {
    #[component(name = "not-this-connection")]
    NotThisConnection,
    #[component(name = "too-large")]
    TooLarge,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum CloseError {
    #[component(name = "too-many")]
    TooMany,
    #[component(name = "invalid-code")]
    InvalidCode,
    #[component(name = "invalid-reason")]
    InvalidReason,
}

/// How much a log line matters.
#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only guests make one")]
pub(super) enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    /// Our log has nothing above an error.
    #[component(name = "critical")]
    Critical,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Member {
    pub(super) connection: u64,
    pub(super) label: String,
}

/// The types of one exported function.
pub(super) trait Signature {
    type Params<'a>: ComponentNamedList + Lower + Send + Sync;
    type Results: ComponentNamedList + Lift + Send + Sync + 'static;
}

macro_rules! signatures {
    ($($name:ident($($param:ty),*) -> $result:ty;)*) => {$(
        pub(super) struct $name;
        impl Signature for $name {
            type Params<'a> = ($($param,)*);
            type Results = ($result,);
        }
    )*};
}

signatures! {
    OnOpen(u64, Request<'a>) -> Result<(), String>;
    OnMessage(u64, Inbound<'a>) -> Result<Verdict, String>;
    OnMessages(u64, &'a [u8], &'a [u32]) -> Result<(), String>;
    OnUpgrade(Request<'a>) -> Result<Accept, Reject>;
    OnDrain(u64) -> Result<(), String>;
    OnTimer(Option<u64>, &'a str) -> Result<(), String>;
    OnClose(u64, CloseCause<'a>) -> Result<(), String>;
    MigrateState(&'a [u8], u64) -> Result<Vec<u8>, String>;
    OnLoad() -> Result<(), String>;
    Describe() -> String;
}

/// An exported function of an instance whose types have been checked.
pub(super) struct Export<S> {
    func: Func,
    signature: PhantomData<fn() -> S>,
}

impl<S: Signature> Export<S> {
    /// Finds and checks the function; an error names what differs.
    pub(super) fn new<T>(
        store: &mut Store<T>,
        instance: &Instance,
        function: &Function,
    ) -> Result<Self, ContractError> {
        let signature = |error: wasmtime::Error| ContractError::Signature {
            function: function.name,
            difference: format!("{error:#}"),
        };
        let func =
            instance
                .get_func(&mut *store, function.index)
                .ok_or(ContractError::Missing {
                    function: function.name,
                })?;
        func.typed::<S::Params<'static>, S::Results>(&*store)
            .map_err(signature)?;
        Ok(Self {
            func,
            signature: PhantomData,
        })
    }

    /// The function, callable with parameters that borrow.
    #[expect(
        unsafe_code,
        reason = "a typed function can't be stored with borrowed parameters"
    )]
    pub(super) fn typed<'a>(&self) -> TypedFunc<S::Params<'a>, S::Results> {
        // SAFETY: `new` has checked this very function against `S::Params<'static>` and
        // `S::Results`. The check looks at component types, in which lifetimes do not exist, so it
        // holds for `S::Params<'a>` too.
        unsafe { TypedFunc::new_unchecked(self.func) }
    }
}
