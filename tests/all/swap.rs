//! The proof: handlers are replaced under load, and no client sees anything of it but newer
//! answers (G3, G4, G9).

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_load::Target;
use tidegate_load::metrics::Audit;
use tidegate_load::process::Processes;
use tidegate_load::soak::{self, Bounds};
use tidegate_load::swap::{self, Files, Options, Order, Report, Trigger, Write};

use crate::gateway::Gateway;
use crate::guests;

const PLUGIN: &str = "generation";

#[tokio::test]
async fn a_hundred_swaps_under_load_are_seen_by_nobody() {
    let gateway = start("watch = false").await;
    let options = Options {
        connections: 200,
        rate: 2000.0,
        time: Duration::from_secs(10),
        swaps: 100,
        ..options(&gateway, by_api(&gateway, &[]))
    };
    let report = run(options).await;
    nothing_was_seen(&report);
    assert_eq!(report.swaps, 100);
    // The first load and each swap, and not one more.
    assert_eq!(report.newest_generation, 101);
    gateway.until_metric("connections_open", 0).await;
}

#[tokio::test]
async fn swaps_by_the_watched_file_are_seen_by_nobody() {
    let gateway = start("").await;
    for write in [Write::Rename, Write::InPlace] {
        let files = Files {
            write,
            ..files(&gateway, &[])
        };
        let options = Options {
            swaps: 20,
            time: Duration::from_secs(4),
            ..options(&gateway, files.trigger())
        };
        let report = run(options).await;
        nothing_was_seen(&report);
        assert_eq!(report.swaps, 20);
    }
}

#[tokio::test]
async fn bad_swaps_in_between_are_seen_by_nobody() {
    const REFUSED: [&str; 6] = [
        "other-world",
        "wrong-shape",
        "start-trap",
        "start-spin",
        "start-hoard",
        "self-check-fails",
    ];
    let gateway = start("").await;
    let mut bad: Vec<_> = REFUSED
        .iter()
        .map(|name| (*name, guests::bytes(name)))
        .collect();
    let whole = guests::bytes(PLUGIN);
    bad.push(("half", whole[..whole.len() / 2].to_vec()));
    bad.push(("not-wasm", b"#!/bin/sh\n".to_vec()));
    bad.push(("empty", Vec::new()));
    let kinds = bad.len() as u32 + 1;
    let options = Options {
        swaps: 40,
        bad_swaps: 2 * kinds,
        connections: 200,
        time: Duration::from_secs(12),
        ..options(&gateway, with_deletions(&gateway, &bad))
    };
    let report = run(options).await;
    nothing_was_seen(&report);
    assert_eq!(report.bad_swaps_refused, 2 * kinds);
    assert_eq!(report.swaps, 40);
    assert_eq!(gateway.status().await["state"], "serving");
}

/// After the warm-up a swap leaves nothing behind. The bounds are for 900 swaps of half a megabyte
/// of compiled code each:
///
/// - descriptors, threads, executable mappings: nought. A leak of one generation would add a
///   mapping each swap. A scrape of the metrics may be open at one sample and not at another, so
///   one descriptor is no leak.
/// - memory: 8 MiB. One generation kept in every hundred would be more; the allocator's arenas
///   move by one or two, in both directions.
#[tokio::test]
async fn a_thousand_swaps_leave_nothing_behind() {
    let gateway = start("watch = false").await;
    let bounds = Bounds {
        max_rss_growth_kib: Some(8 << 10),
        max_descriptor_growth: Some(1),
        max_thread_growth: Some(0),
        max_mapping_growth: Some(0),
        ..Bounds::default()
    };
    let options = Options {
        connections: 20,
        rate: 200.0,
        time: Duration::from_secs(20),
        swaps: 1000,
        ..options(&gateway, by_api(&gateway, &[]))
    };
    let processes = Processes::new(vec![gateway.pid()], false);
    let soak = tokio::task::spawn_blocking(move || soak::run(options, &bounds, processes));
    let report = soak
        .await
        .expect("the check does not panic")
        .expect("the gateway can be checked");
    let samples = &report.samples;
    assert_eq!(report.exceeded, [""; 0], "{samples:#?}");
    nothing_was_seen(&report.swap);
    assert_eq!(report.swap.newest_generation, 1001);
}

async fn start(plugin: &str) -> Gateway {
    Gateway::with(PLUGIN)
        .server("shards = 2")
        // What spins in its self-check need not be waited for as long as by default.
        .limits("load = \"300ms\"")
        .plugin(plugin)
        .start()
        .await
}

fn options(gateway: &Gateway, trigger: Trigger) -> Options {
    let target = Target::new(gateway.address, "/").expect("the gateway is on this machine");
    Options {
        audit: Some(Audit::tidegate(gateway.admin)),
        // Other tests run beside this one, and each compiles.
        grace: Duration::from_secs(20),
        ..Options::new(target, trigger)
    }
}

/// Two byte strings in turn, and the bad ones in turn.
fn files(gateway: &Gateway, bad: &[(&str, Vec<u8>)]) -> Files {
    let folder = gateway.folder().join("swaps");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let write = |name: String, bytes: &[u8]| -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("a file can be written");
        path
    };
    let good = [b'a', b'b'].map(|mark| write(format!("good-{mark}"), &variant(mark)));
    let bad = bad
        .iter()
        .map(|(name, bytes)| write(format!("bad-{name}"), bytes));
    Files {
        good: good.to_vec(),
        bad: bad.collect(),
        into: gateway.component(),
        write: Write::Rename,
        seen_within: Duration::from_secs(20),
        bad_for: Duration::from_millis(500),
    }
}

fn variant(mark: u8) -> Vec<u8> {
    guests::variant(PLUGIN, mark)
}

fn by_api(gateway: &Gateway, bad: &[(&str, Vec<u8>)]) -> Trigger {
    swap::admin(gateway.admin, PLUGIN, Some(files(gateway, bad)))
}

/// Every bad swap's turn is one of the bad files or, after the last of them, no file at all.
fn with_deletions(gateway: &Gateway, bad: &[(&str, Vec<u8>)]) -> Trigger {
    let (kinds, component) = (bad.len() + 1, gateway.component());
    let mut put = by_api(gateway, bad);
    let mut reload = swap::admin(gateway.admin, PLUGIN, None);
    let mut turn = 0;
    Box::new(move |order: &Order| {
        turn += usize::from(order.bad);
        if order.bad && turn.is_multiple_of(kinds) {
            fs::remove_file(&component)?;
            return reload(order);
        }
        put(order)
    })
}

async fn run(options: Options) -> Report {
    let check = tokio::task::spawn_blocking(move || swap::run(options));
    check
        .await
        .expect("the check does not panic")
        .expect("the gateway can be checked")
}

fn nothing_was_seen(report: &Report) {
    assert!(report.passed(), "{report:#?}");
    let counts = [
        report.drops,
        report.lost,
        report.duplicated,
        report.reordered,
        report.backwards,
        report.stale,
        report.wrong,
        report.withheld,
        report.unclean_closes,
    ];
    assert_eq!(counts, [0; 9], "{report:#?}");
    assert_eq!(report.zombies, Some(0), "{report:#?}");
    assert_eq!(report.answered, report.sent);
}
