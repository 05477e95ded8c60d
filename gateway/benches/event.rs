//! What one event costs, from host to host: `cargo bench --bench event`. The times are
//! CPU time of the shard's thread, which a busy machine disturbs less than the clock.
//!
//! - a call of the guest `echo` with its answer in the effects, deadline and memory limit on;
//! - an empty call: `chat` hearing that its outbox has drained, which it ignores;
//! - reads and writes of the store in memory, by the fixture `store`: an event that opens a bucket,
//!   reads and writes, and one get and one set of an event with a hundred of each;
//! - one publish to 1,000 subscribers, written to 1,000 real sockets.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tidegate::config::{self, Config, RouteLimits};
use tidegate::connection::{self, Driver};
use tidegate::counters::Counters;
use tidegate::directory::Directory;
use tidegate::effects::{Effect, Effects, Options};
use tidegate::event::Event;
use tidegate::handler::Handler;
use tidegate::message::{Message, Seat};
use tidegate::outbox::Oversize;
use tidegate::pending::Pending;
use tidegate::plugin::{Engine, Guest, Pool, Registry, Sizes, builder};
use tidegate::shard::{Encoding, Link, Shard};
use tidegate::store::Store;
use tidegate::topic::{Topic, TopicOwner};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

const SUBSCRIBERS: usize = 1000;

fn runtime() -> LocalRuntime {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime can be made")
}

/// Builds the plugins and returns the folder of their components.
fn plugins() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    builder::ensure_target(&workspace).expect("the wasm target can be added");
    let built = Command::new(env!("CARGO"))
        .current_dir(&workspace)
        .args([
            "build",
            "--release",
            "--target",
            "wasm32-wasip2",
            "-p",
            "echo",
            "-p",
            "chat",
            "-p",
            "guests",
            "--lib",
            "--example",
            "pass",
            "--example",
            "store",
        ])
        .status();
    assert!(built.expect("cargo can be run").success());
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| workspace.join("target"))
        .join("wasm32-wasip2/release")
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A shard of its own thread.
fn shard() -> Rc<Shard> {
    let (link, _mailbox) = Link::new(1 << 20);
    let counters = Arc::new(Counters::default());
    let directory = Arc::new(Directory::new(1));
    let pending = Pending::new(usize::MAX);
    let oversize = Oversize::new(usize::MAX);
    let links = Box::new([link]);
    let shard = Shard::new(0, links, directory, pending, oversize, counters);
    let shard = shard.expect("sockets can be watched");
    shard.start();
    // No connection has a guest here: what is driven is the end of each turn.
    tokio::task::spawn_local(connection::drive(Driver::<Guest>::new(shard.clone())));
    shard
}

async fn guest(shard: &Rc<Shard>, plugin: &str) -> Guest {
    chain(shard, plugin, 1).await
}

/// A chain of so many plugins of the same component.
async fn chain(shard: &Rc<Shard>, component: &str, length: usize) -> Guest {
    let folder = plugins();
    let file = format!("{component}.wasm");
    let path = [folder.join(&file), folder.join("examples").join(&file)]
        .into_iter()
        .find(|path| path.is_file());
    let plugin = |index| {
        let mut plugin = config::Plugin {
            name: format!("{component}-{index}"),
            path: path.clone().expect("it was built"),
            ..config::Plugin::default()
        };
        plugin.grants.store = vec!["rooms".to_owned()];
        plugin
    };
    let mut config = Config {
        plugins: (0..length).map(plugin).collect(),
        ..Config::default()
    };
    config.engine.cache = config::Cache::Off;
    let memory = config.plugins[0].limits.memory;
    let sizes = Sizes {
        instances: 16,
        kept: 0,
        shards: 1,
        memory,
        total_memory: config.engine.memory,
    };
    let engine = Engine::new(sizes);
    let engine = engine.expect("the engine starts");
    let store = Store::open(&config).expect("a store in memory can be had");
    let program = Path::new(env!("CARGO_BIN_EXE_tidegate"));
    let registry = Registry::new(engine, program, &config, store);
    let registry = registry.expect("the loader starts");
    for index in 0..length {
        let loaded = registry.reload(index, false).await;
        loaded.expect("the plugin loads");
    }
    let pools = registry.plugins().iter().map(Pool::new).collect();
    Guest::new(shard.clone(), pools)
}

/// Opens a connection of the shard; returns it with the client's end.
async fn connect(shard: &Shard) -> (Seat, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (server, _) = accepted.expect("a client has connected");
    let server = server.into_std().expect("it is registered");
    let seat = shard.admit(
        server,
        Arc::new(RouteLimits::default()),
        [0].into(),
        Encoding::Plain,
    );
    let seat = seat.expect("its socket can be watched");
    let client = client
        .expect("the listener accepts")
        .into_std()
        .expect("it is registered");
    (seat, client)
}

fn guest_call(criterion: &mut Criterion) {
    let runtime = runtime();
    let shard = runtime.block_on(async { shard() });
    let echo = runtime.block_on(guest(&shard, "echo"));
    let chat = runtime.block_on(guest(&shard, "chat"));
    let (seat, _client) = runtime.block_on(connect(&shard));
    let mut group = criterion.benchmark_group("guest call");
    let mut event = Box::new(Event {
        seat: Some(seat),
        ..Event::default()
    });
    for (name, text) in [
        ("echo 20 B", "a".repeat(20)),
        ("echo 1 KiB", "a".repeat(1024)),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(async {
                    let begun = cpu_time();
                    for _ in 0..times {
                        let message = [Message::Text(&text)];
                        let batch = echo.messages(&mut event, &message).await;
                        batch.last.expect("echo answers");
                        assert_eq!(event.effects.list().len(), 1);
                        event.effects.clear();
                    }
                    cpu_time() - begun
                })
            });
        });
    }
    for length in [1, 3] {
        let chain = runtime.block_on(chain(&shard, "pass", length));
        group.bench_function(format!("chain of {length}"), |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(async {
                    let begun = cpu_time();
                    for _ in 0..times {
                        let batch = chain.messages(&mut event, &[Message::Text("a")]).await;
                        batch.last.expect("all pass it on");
                    }
                    cpu_time() - begun
                })
            });
        });
    }
    group.bench_function("no-op", |bencher| {
        bencher.iter_custom(|times| {
            runtime.block_on(async {
                let begun = cpu_time();
                for _ in 0..times {
                    chat.drain(&mut event).await.expect("chat ignores it");
                }
                cpu_time() - begun
            })
        });
    });
    group.finish();
}

fn store(criterion: &mut Criterion) {
    const PAIRS: u64 = 100;
    let runtime = runtime();
    let shard = runtime.block_on(async { shard() });
    let guest = runtime.block_on(guest(&shard, "examples/store"));
    let (seat, _client) = runtime.block_on(connect(&shard));
    let mut group = criterion.benchmark_group("store");
    let mut event = Box::new(Event {
        seat: Some(seat),
        ..Event::default()
    });
    for (name, pairs) in [("event with open, get and set", 1), ("get+set", PAIRS)] {
        let text = format!("get-set {pairs}");
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(async {
                    let events = times.div_ceil(pairs);
                    let begun = cpu_time();
                    for _ in 0..events {
                        let message = [Message::Text(&text)];
                        let batch = guest.messages(&mut event, &message).await;
                        batch.last.expect("the store does as it is told");
                    }
                    (cpu_time() - begun).mul_f64(times as f64 / (events * pairs) as f64)
                })
            });
        });
    }
    group.finish();
}

/// What is published to.
const ROOM: Topic<'static> = Topic {
    owner: TopicOwner::SHARED,
    name: "room",
};

fn publish(criterion: &mut Criterion) {
    let runtime = runtime();
    let shard = runtime.block_on(async { shard() });
    let clients = runtime.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..SUBSCRIBERS {
            let (seat, client) = connect(&shard).await;
            let mut effects = Effects::default();
            effects.push(Effect::Subscribe {
                owner: ROOM.owner,
                topic: ROOM.name.into(),
                label: None,
            });
            shard.apply(Some(seat), 0, &effects);
            clients.push(client);
        }
        clients
    });
    std::thread::spawn(move || read_all(clients));
    let mut effects = Effects::default();
    effects.publish(
        ROOM,
        Message::Text(&"a".repeat(64)),
        None,
        Options::default(),
    );
    let mut group = criterion.benchmark_group("publish");
    group
        .measurement_time(Duration::from_secs(10))
        .sample_size(20);
    group.bench_function("64 B to 1,000", |bencher| {
        bencher.iter_custom(|times| {
            runtime.block_on(async {
                let begun = cpu_time();
                for _ in 0..times {
                    shard.apply(None, 0, &effects);
                    // The turn ends behind this task: all is written then.
                    tokio::task::yield_now().await;
                }
                cpu_time() - begun
            })
        });
    });
    group.finish();
}

/// Reads what comes, on a thread of its own, until the benchmark ends.
fn read_all(clients: Vec<std::net::TcpStream>) {
    runtime().block_on(async {
        let mut readers = Vec::new();
        for client in clients {
            client.set_nonblocking(true).expect("it is a socket");
            let mut client = TcpStream::from_std(client).expect("it can be registered");
            readers.push(tokio::task::spawn_local(async move {
                let mut bytes = [0; 4096];
                while client.read(&mut bytes).await.is_ok_and(|n| n > 0) {}
            }));
        }
        for reader in readers {
            let _ = reader.await;
        }
    });
}

criterion_group!(benches, guest_call, store, publish);
criterion_main!(benches);
