//! The command line; one file a command.

pub mod check;
pub mod check_plugin;
pub mod compile_worker;
pub mod dev;
pub mod publish;
pub mod run;
pub mod types;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigErrors};
use crate::excerpt::excerpt;
use crate::{log, supervise};

/// What `sysexits.h` calls a configuration error: restarting will not help.
const EXIT_CONFIG: u8 = 78;
/// Everything else that keeps a command from its work.
const EXIT_FAILURE: u8 = 1;

/// A WebSocket gateway whose handlers are WebAssembly components, reloaded while clients stay
/// connected.
#[derive(Parser)]
#[command(name = "tidegate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the gateway with a configuration file.
    Run {
        /// The configuration.
        #[arg(long, default_value = "tidegate.toml")]
        config: PathBuf,
        /// The public address, instead of the configuration's.
        #[arg(long)]
        listen: Option<SocketAddr>,
        /// The admin address, instead of the configuration's.
        #[arg(long)]
        admin: Option<SocketAddr>,
    },
    /// Builds a plugin, runs it, and swaps it on every save, with a console page at `/`.
    Dev {
        /// The plugin's folder: the one with its Cargo.toml.
        folder: PathBuf,
        /// The public address, instead of 127.0.0.1:8080 or that of the folder's tidegate.toml.
        #[arg(long)]
        listen: Option<SocketAddr>,
    },
    /// Publishes a message to a topic of a running gateway, through its admin API.
    Publish(publish::Publish),
    /// Says all that is wrong with a configuration.
    Check {
        /// The configuration.
        #[arg(long, default_value = "tidegate.toml")]
        config: PathBuf,
    },
    /// Says whether a component is a plugin for this gateway, and what is missing or wrong.
    CheckPlugin {
        /// The component.
        plugin: PathBuf,
    },
    /// Prints the messages of a plugin as TypeScript types.
    Types {
        /// The component.
        plugin: PathBuf,
    },
    /// Compiles the component on its stdin; gateways start it.
    #[command(hide = true)]
    CompileWorker(compile_worker::CompileWorker),
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Runs the command the arguments ask for. The process exits with 0 if it did its work, 78 for a
/// configuration that is wrong, 70 if a part of it has died, 1 for all else, and 2 for wrong
/// arguments.
pub fn main() -> ExitCode {
    let command = Arguments::parse().command;
    if let Command::CompileWorker(arguments) = &command {
        // Its exit code says whether the component or the machine is to blame.
        return compile_worker::run(arguments);
    }
    let result = supervise::catch(|| perform(command));
    let result = result.unwrap_or_else(|why| supervise::die("the command", &why));
    let code = match &result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Config(_)) => EXIT_CONFIG.into(),
        Err(Error::Other(_)) => EXIT_FAILURE.into(),
    };
    if let Err(error) = result {
        // Its lines are its own, but not all of its words.
        error
            .to_string()
            .lines()
            .for_each(|line| log::print(&excerpt(line)));
    }
    log::flush();
    code
}

fn perform(command: Command) -> Result<(), Error> {
    match command {
        Command::Run {
            config,
            listen,
            admin,
        } => run::run(&config, listen, admin),
        Command::Dev { folder, listen } => dev::run(&folder, listen),
        Command::Publish(publish) => publish::run(&publish),
        Command::Check { config } => check::run(&config),
        Command::CheckPlugin { plugin } => check_plugin::run(&plugin),
        Command::Types { plugin } => types::run(&plugin),
        Command::CompileWorker(_) => Err(anyhow::anyhow!("it has an exit code of its own").into()),
    }
}

/// The program that compiles components: this one. It is found by the process, so that a new build
/// in its place does not matter.
fn program() -> &'static std::path::Path {
    std::path::Path::new("/proc/self/exe")
}

/// Says a line to people, on stdout. Nobody may be there: `tidegate run | true` goes on to serve.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The process's environment. What is not UTF-8 can't be one of our variables' values.
fn environment() -> impl Iterator<Item = (String, String)> {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (lossy(name), lossy(value)))
}

/// Reads a configuration, lays environment and flags over it, and checks it.
fn load_config(
    path: &std::path::Path,
    change: impl FnOnce(&mut Config),
) -> Result<Config, ConfigErrors> {
    let mut config = Config::load(path, environment())?;
    change(&mut config);
    config.check()?;
    Ok(config)
}
