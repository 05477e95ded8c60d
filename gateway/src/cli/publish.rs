//! `tidegate publish`: a message to a topic of a running gateway, through its admin API.

use crate::supervise;
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::net::TcpStream;

use super::Error;

/// The largest message that an admin API can be told to take.
const MESSAGE_MAX: u64 = 1 << 30;
/// Answers are a line of JSON. What is longer comes from something that is no gateway.
const ANSWER_MAX: usize = 64 << 10;
/// A gateway answers at once; one that has not by then will not.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The arguments.
#[derive(clap::Args)]
pub struct Publish {
    /// The topic's name.
    topic: String,
    /// The plugin whose topic it is; not needed for a topic that `[[topic]]` shares, or where there is only one plugin.
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// The message; `-` reads it from stdin, as it is.
    message: String,
    /// The gateway's admin address.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    admin: String,
    /// The gateway's `admin.token`.
    #[arg(long, env = "TIDEGATE_ADMIN__TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Sends a binary message instead of text.
    #[arg(long)]
    binary: bool,
}

/// What the gateway says.
#[derive(Deserialize)]
#[serde(untagged)]
enum PublishAnswer {
    Taken { subscribers: u32 },
    Refused { error: String },
}

/// Publishes, and says to how many.
pub fn run(publish: &Publish) -> Result<(), Error> {
    let message = match publish.message.as_str() {
        "-" => read(std::io::stdin().lock())?,
        text => text.to_owned().into(),
    };
    let subscribers = super::run::runtime()?.block_on(async {
        let sent = tokio::time::timeout(TIMEOUT, send(publish, message)).await;
        sent.with_context(|| format!("{} did not answer within {TIMEOUT:?}", publish.admin))?
    })?;
    super::say(&format!(
        "published to {subscribers} of {:?}",
        publish.topic
    ));
    Ok(())
}

fn read(input: impl Read) -> anyhow::Result<Bytes> {
    let mut message = Vec::new();
    let read = input.take(MESSAGE_MAX + 1).read_to_end(&mut message);
    read.context("failed to read the message from stdin")?;
    if message.len() as u64 > MESSAGE_MAX {
        bail!("the message on stdin is over {MESSAGE_MAX} bytes, more than any gateway takes");
    }
    Ok(message.into())
}

async fn send(publish: &Publish, message: Bytes) -> anyhow::Result<u32> {
    let admin = &publish.admin;
    let socket = TcpStream::connect(admin).await.with_context(|| {
        format!("failed to connect to {admin}: name the gateway's admin address with --admin")
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .with_context(|| format!("failed to speak to {admin}"))?;
    // It ends with the answer, and what goes wrong with it is in that.
    supervise::passing("the request", connection);
    let answer = sender.send_request(request(publish, message)?).await;
    let answer = answer.with_context(|| format!("no answer from {admin}: is it an admin API?"))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
    let body = body.map_err(|error| anyhow!("half an answer from {admin}: {error}"))?;
    match serde_json::from_slice(&body.to_bytes()) {
        Ok(PublishAnswer::Taken { subscribers }) => Ok(subscribers),
        Ok(PublishAnswer::Refused { error }) if status == StatusCode::UNAUTHORIZED => {
            bail!("{admin} wants a token: {error}: give it with --token or TIDEGATE_ADMIN__TOKEN")
        }
        Ok(PublishAnswer::Refused { error }) => bail!("{admin} refused it with {status}: {error}"),
        Err(_) => bail!("{admin} answered {status}, not as an admin API does: check --admin"),
    }
}

fn request(publish: &Publish, message: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
    let topic = utf8_percent_encode(&publish.topic, NON_ALPHANUMERIC);
    let plugin = publish.plugin.as_ref().map_or_else(String::new, |plugin| {
        format!("&plugin={}", utf8_percent_encode(plugin, NON_ALPHANUMERIC))
    });
    let binary = if publish.binary { "&binary" } else { "" };
    let mut request = Request::post(format!("/publish?topic={topic}{plugin}{binary}"))
        .header(header::HOST, &publish.admin);
    if let Some(token) = &publish.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request
        .body(Full::new(message))
        .context("failed to make a request of --admin and --token")
}
