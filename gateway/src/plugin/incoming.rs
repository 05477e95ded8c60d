//! Plain HTTP requests to a guest (`wasi:http/incoming-handler`).
//!
//! The response is held until the call has returned: only then is it known that the event came to
//! `ok`, and nothing of it may be seen before it has taken effect (G10).

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body as _;
use hyper::{Request, Response, http};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::Resource;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

use super::call::call;
use super::context::Context;
use super::contract::{Export, Signature};
use super::pace::Pace;
use crate::handler::Failure;
use crate::pieces::Pieces;

/// `handle` of the guest.
pub(super) struct OnRequest;

impl Signature for OnRequest {
    type Params<'a> = (
        Resource<HostIncomingRequest>,
        Resource<HostResponseOutparam>,
    );
    type Results = ();
}

/// Has the guest answer a request.
pub(super) async fn respond(
    store: &mut Store<Context>,
    export: &Export<OnRequest>,
    request: Request<Bytes>,
    pace: &Pace,
) -> Result<Response<Bytes>, Failure> {
    let budget = store.data().budget.with(request.body().len());
    let max = store.data().limits.effects;
    let (out, set) = oneshot::channel();
    let mut http = store.data_mut().http();
    let full = |error: wasmtime::Error| Failure::Trap(error.to_string());
    let request = http.new_incoming_request(Scheme::Http, request.map(Full::new));
    let request = request.map_err(full)?;
    let out = http.new_response_outparam(out).map_err(full)?;
    let mut reply = Reply::new(set, max);
    {
        let mut call = pin!(call(store, export, (request, out), budget, pace));
        let called = poll_fn(|context| {
            let called = call.as_mut().poll(context);
            // Behind the call: the guest may wait for room for more of the body.
            reply.take(context);
            called
        });
        called.await?;
    }
    let response = reply.finish().map_err(Failure::of_handler)?;
    let cost = store.data().event().effects.cost() + response.body().len();
    match cost > max {
        true => Err(Failure::Handler(too_large(max))),
        false => Ok(response),
    }
}

fn too_large(max: usize) -> String {
    format!(
        "the response and the effects of its event are larger than {max} bytes: raise `limits.effects` of the plugin if they have to be"
    )
}

type Answer = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// What the guest has answered so far.
struct Reply {
    set: oneshot::Receiver<Answer>,
    max: usize,
    state: State,
}

enum State {
    /// Nothing.
    Waiting,
    /// The head, and some of the body.
    Begun {
        parts: http::response::Parts,
        rest: Pin<Box<HyperOutgoingBody>>,
        body: Pieces,
    },
    /// All of it.
    Whole(Response<Bytes>),
    /// There will be none.
    Failed(String),
}

impl Reply {
    fn new(set: oneshot::Receiver<Answer>, max: usize) -> Self {
        Self {
            set,
            max,
            state: State::Waiting,
        }
    }

    /// Takes what the guest has written, so that there is room for more.
    fn take(&mut self, context: &mut TaskContext<'_>) {
        if matches!(self.state, State::Waiting)
            && let Poll::Ready(answer) = Pin::new(&mut self.set).poll(context)
        {
            self.state = State::begin(answer);
        }
        if let State::Begun { .. } = self.state {
            let state = std::mem::replace(&mut self.state, State::Waiting);
            self.state = state.take(context, self.max);
        }
    }

    /// The call has returned.
    fn finish(mut self) -> Result<Response<Bytes>, String> {
        self.take(&mut TaskContext::from_waker(Waker::noop()));
        match self.state {
            State::Whole(response) => Ok(response),
            State::Failed(why) => Err(why),
            State::Begun { .. } => {
                Err("`handle` returned before its response was whole".to_owned())
            }
            State::Waiting => Err("`handle` returned without a response".to_owned()),
        }
    }
}

impl State {
    fn begin(answer: Result<Answer, oneshot::error::RecvError>) -> Self {
        match answer {
            Ok(Ok(response)) => {
                let status = response.status().as_u16();
                if !(200..600).contains(&status) {
                    let why = format!("status {status} of the response is not one of 200 to 599");
                    return Self::Failed(why);
                }
                let (parts, rest) = response.into_parts();
                Self::Begun {
                    parts,
                    rest: Box::pin(rest),
                    body: Pieces::default(),
                }
            }
            Ok(Err(ErrorCode::InternalError(Some(why)))) => Self::Failed(why),
            Ok(Err(code)) => Self::Failed(format!("{code:?}")),
            Err(_) => Self::Failed("`handle` dropped the response before it was set".to_owned()),
        }
    }

    fn take(self, context: &mut TaskContext<'_>, max: usize) -> Self {
        let Self::Begun {
            parts,
            mut rest,
            mut body,
        } = self
        else {
            return self;
        };
        loop {
            match rest.as_mut().poll_frame(context) {
                Poll::Pending => {
                    return Self::Begun { parts, rest, body };
                }
                Poll::Ready(None) => {
                    return Self::Whole(Response::from_parts(parts, body.join()));
                }
                Poll::Ready(Some(Err(_))) => {
                    return Self::Failed("the response's body was given up".to_owned());
                }
                // Trailers are for whoever asks for them, and a browser does not.
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data()
                        && !body.add(piece, max)
                    {
                        return Self::Failed(too_large(max));
                    }
                }
            }
        }
    }
}
