//! `tidegate-load`: arguments, pinning, exit codes; no logic.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use tidegate_load::{
    chat, compare, connect, cpu, echo, fanout, floor, growth, idle, naive, posts, report, soak,
    stall, swap, timers,
};

/// Load generator and swap checker for WebSocket servers on this machine.
///
/// The exit code is 0 if the run passed, 1 if the server was at fault, 2 if the run could not be made.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Run on this CPU only.
    #[arg(long, global = true)]
    pin: Option<usize>,
    /// Print one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Echoed messages: rate, latency, CPU a message.
    Echo(echo::Options),
    /// One publisher, many subscribers: rate, latency of the last delivery, CPU a delivery.
    Fanout(fanout::Options),
    /// Rooms in which everybody publishes: CPU a delivery.
    Chat(chat::Options),
    /// Memory of connections that say nothing.
    Idle(idle::Options),
    /// POST requests that a plugin publishes: rate, latency, CPU a request.
    Posts(posts::Options),
    /// Handshake, close handshake, again: CPU a connection.
    Connect(connect::Options),
    /// Checks that swaps lose, repeat, reorder and drop nothing.
    Swap(swap::Arguments),
    /// Checks that a thousand swaps leave nothing behind.
    Soak(soak::Arguments),
    /// Tidegate beside Bun, Elysia, ws, workerd and others: tables and charts.
    Compare(compare::Options),
    /// Tidegate's cost per message as connections, subscribers and topics grow.
    Growth(growth::Options),
    /// Tidegate's memory, latency and drops when some subscribers stop reading.
    Stall(stall::Options),
    /// What timers that are far from due cost Tidegate.
    Timers(timers::Options),
    /// The cheapest possible server, to compare with.
    Floor(FloorArguments),
    /// The server one writes first, to compare with: tokio-tungstenite with its default settings.
    Naive(NaiveArguments),
}

#[derive(clap::Args)]
struct FloorArguments {
    /// Where to listen; with port 0 the port found is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// End after this many seconds.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

#[derive(clap::Args)]
struct NaiveArguments {
    /// Where to listen; with port 0 the port found is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<bool> {
    if let Some(cpu) = cli.pin {
        cpu::pin(&[cpu])?;
    }
    let json = cli.json;
    match cli.command {
        Command::Echo(options) => report::print("echo", &echo::run(&options)?, json),
        Command::Fanout(options) => report::print("fanout", &fanout::run(&options)?, json),
        Command::Chat(options) => report::print("chat", &chat::run(&options)?, json),
        Command::Idle(options) => report::print("idle", &idle::run(&options)?, json),
        Command::Connect(options) => report::print("connect", &connect::run(&options)?, json),
        Command::Posts(options) => report::print("posts", &posts::run(&options)?, json),
        Command::Swap(arguments) => report::print("swap", &swap::run(arguments.options()?)?, json),
        Command::Soak(arguments) => report::print("soak", &arguments.run()?, json),
        Command::Compare(options) => report::print("compare", &compare::run(&options)?, json),
        Command::Growth(options) => report::print("growth", &growth::run(&options)?, json),
        Command::Stall(options) => report::print("stall", &stall::run(&options)?, json),
        Command::Timers(options) => report::print("timers", &timers::run(&options)?, json),
        Command::Floor(arguments) => serve(&arguments),
        Command::Naive(arguments) => naive::serve(arguments.listen).map(|()| true),
    }
}

fn serve(arguments: &FloorArguments) -> Result<bool> {
    let mut floor = floor::Floor::bind(arguments.listen)?;
    println!("{}", floor.address()?.port());
    std::io::stdout()
        .flush()
        .context("failed to print the port")?;
    let stop = Arc::new(AtomicBool::new(false));
    let seconds = Duration::from_secs(arguments.seconds);
    let timer = Arc::clone(&stop);
    std::thread::spawn(move || {
        std::thread::sleep(seconds);
        timer.store(true, Ordering::Relaxed);
    });
    floor.run(&stop)?;
    Ok(true)
}
