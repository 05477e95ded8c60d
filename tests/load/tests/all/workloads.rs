//! The workloads pass the floor server, and fail where it does something else than they ask for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use clap::Parser;
use tidegate_load::floor::Floor;
use tidegate_load::report::Report as _;
use tidegate_load::{chat, connect, echo, fanout, idle};

use crate::fake::{Fake, Fault};

struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let mut floor = Floor::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = floor.address().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Some(std::thread::spawn(move || floor.run(&stopped).unwrap()));
        Self {
            address,
            stop,
            thread,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The options the command line would make of `arguments`.
fn parse<A: clap::Args>(arguments: &[&str]) -> A {
    #[derive(Parser)]
    struct Line<A: clap::Args> {
        #[command(flatten)]
        arguments: A,
    }
    Line::parse_from(["test"].iter().chain(arguments)).arguments
}

const SHORT: [&str; 4] = ["--seconds", "0.5", "--warmup", "0.1"];

fn short<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &SHORT].concat()
}

#[test]
fn echo_passes_at_every_depth_and_size() {
    let server = Server::start();
    let url = server.url("/any/path?query");
    for more in [
        ["--in-flight", "1", "--size", "20"],
        ["--in-flight", "16", "--size", "1024"],
        ["--in-flight", "4", "--size", "300000"],
        ["--rate", "2000", "--size", "64"],
    ] {
        let arguments = [&["--url", &url, "--connections", "4"], &more[..]].concat();
        let report = echo::run(&parse(&short(&arguments))).unwrap();
        assert_eq!(report.failures(), [""; 0], "{more:?}");
        assert!(report.messages > 0, "{report:?}");
    }
}

#[test]
fn echo_ends_early_after_its_messages() {
    let server = Server::start();
    let url = server.url("/");
    let arguments = [
        "--url",
        &url,
        "--seconds",
        "60",
        "--messages",
        "500",
        "--warmup",
        "0",
    ];
    let report = echo::run(&parse(&arguments)).unwrap();
    assert!(
        report.messages >= 500 && report.cost.seconds < 30.0,
        "{report:?}"
    );
}

#[test]
fn echo_notices_answers_that_differ() {
    let server = Server::start();
    let url = server.url("/generation");
    let report = echo::run(&parse(&short(&["--url", &url]))).unwrap();
    assert!(
        report.wrong >= report.messages && report.messages > 0,
        "{report:?}"
    );
}

#[test]
fn echo_notices_lost_messages_and_connections() {
    // The fake's prefix makes every answer wrong; what is asked here is only what is missing.
    let run = |fault| {
        let fake = Fake::start(fault);
        let url = format!("ws://{}/", fake.address);
        let arguments = ["--url", &url, "--rate", "1000", "--connections", "4"];
        echo::run(&parse(&short(&arguments))).unwrap()
    };
    assert_eq!(run(Fault::None).lost, 0);
    assert_eq!(run(Fault::Lose).lost, 1);
    assert_eq!(run(Fault::CloseSocket).dropped.len(), 1);
}

#[test]
fn fanout_reaches_all_subscribers() {
    let server = Server::start();
    let (subscribe, publish) = (server.url("/sub"), server.url("/pub"));
    for in_flight in ["1", "16"] {
        let arguments = [
            "--subscribe-url",
            &subscribe,
            "--publish-url",
            &publish,
            "--in-flight",
            in_flight,
        ];
        let report = fanout::run(&parse(&short(&arguments))).unwrap();
        assert_eq!(report.failures(), [""; 0]);
        // The publishes under way when counting began bring deliveries that were counted before.
        let least = (report.publishes - in_flight.parse::<u64>().unwrap()) * 64;
        assert!(
            report.publishes > 16 && report.deliveries >= least,
            "{report:?}"
        );
    }
    let room = server.url("/rooms/a");
    let report = fanout::run(&parse(&short(&["--subscribe-url", &room]))).unwrap();
    assert_eq!(report.failures(), [""; 0]);
    assert_eq!(report.to_publisher, 0);
}

#[test]
fn fanout_notices_deliveries_that_do_not_come() {
    let server = Server::start();
    let (subscribe, publish) = (server.url("/sub"), server.url("/elsewhere"));
    let arguments = ["--subscribe-url", &subscribe, "--publish-url", &publish];
    let report = fanout::run(&parse(&short(&arguments))).unwrap();
    assert_eq!((report.publishes, report.lost), (0, 64));
    assert!(!report.failures().is_empty());
}

#[test]
fn chat_reaches_every_member_of_its_room_only() {
    let server = Server::start();
    let url = server.url("/rooms/{room}");
    let arguments = ["--url", &url, "--rooms", "4", "--members", "8"];
    let report = chat::run(&parse(&short(&arguments))).unwrap();
    assert_eq!(report.failures(), [""; 0]);
    assert!(report.deliveries > 0, "{report:?}");
}

#[test]
fn chat_notices_deliveries_into_other_rooms_and_missing_ones() {
    let server = Server::start();
    let one_room = server.url("/rooms/same?{room}");
    let arguments = ["--url", &one_room, "--rooms", "2", "--members", "4"];
    let report = chat::run(&parse(&short(&arguments))).unwrap();
    assert!(report.wrong > 0, "{report:?}");
    let nobody = server.url("/pub?{room}");
    let arguments = ["--url", &nobody, "--rooms", "2", "--members", "4"];
    let report = chat::run(&parse(&short(&arguments))).unwrap();
    assert_eq!((report.deliveries, report.lost), (0, 24));
}

#[test]
fn connect_passes_and_a_refusal_is_shown() {
    let server = Server::start();
    let report = connect::run(&parse(&short(&["--url", &server.url("/")]))).unwrap();
    assert_eq!(report.failures(), [""; 0]);
    assert!(report.connects > 10, "{report:?}");

    let fake = Fake::start(Fault::SilentClose);
    let url = format!("ws://{}/", fake.address);
    let report = connect::run(&parse(&short(&["--url", &url]))).unwrap();
    assert!(report.connects == 0 && report.wrong > 0, "{report:?}");
}

#[test]
fn nobody_listening_is_an_error_that_says_so() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = echo::run(&parse(&["--url", &format!("ws://{free}/")])).unwrap_err();
    assert!(error.to_string().contains("refused"), "{error:#}");
}

#[test]
fn idle_measures_at_four_points_and_echoes() {
    let server = Server::start();
    let (url, pid) = (server.url("/"), std::process::id().to_string());
    let arguments = [
        "--url",
        &url,
        "--connections",
        "80",
        "--then-echo",
        "--rest",
        "0.05",
        "--pid",
        &pid,
    ];
    let report = idle::run(&parse(&arguments)).unwrap();
    assert_eq!(report.failures(), [""; 0]);
    let counts: Vec<_> = report
        .samples
        .iter()
        .map(|sample| sample.connections)
        .collect();
    assert_eq!(counts, [0, 20, 40, 80]);
    assert!(report.rss_after_echo_bytes.is_some());
}
