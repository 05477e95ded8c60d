//! The swap checker passes a faultless server and calls each fault by its name.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tidegate_load::metrics::Audit;
use tidegate_load::report::Report as _;
use tidegate_load::swap::{self, Files, Options, Report, Write};

use crate::fake::{Fake, Fault};

/// A second with six swaps; the fault comes about a third in, after the second swap.
fn options(fake: &Fake) -> Options {
    Options {
        connections: 10,
        rate: 300.0,
        time: Duration::from_millis(1000),
        swaps: 6,
        grace: Duration::from_millis(700),
        audit: Some(Audit {
            within: Duration::from_millis(500),
            ..Audit::tidegate(fake.address)
        }),
        ..Options::new(fake.target(), swap::admin(fake.address, "generation", None))
    }
}

fn check(fault: Fault) -> Report {
    let fake = Fake::start(fault);
    swap::run(options(&fake)).unwrap()
}

#[test]
fn a_faultless_server_passes() {
    let report = check(Fault::None);
    assert!(report.passed(), "{:?}", report.failures());
    assert_eq!(report.swaps, 6);
    assert_eq!(report.newest_generation, 7);
    assert_eq!(report.zombies, Some(0));
    assert!(report.sent >= 290, "{report:?}");
    assert_eq!(report.answered, report.sent);
    assert_eq!(report.inside.count + report.outside.count, report.sent);
    assert!(
        report.inside.count > 0 && report.outside.count > 0,
        "{report:?}"
    );
}

/// Runs `fault`; `count` must find exactly `expected` of it, and nothing else may be found but by `also`.
fn catches(fault: Fault, count: impl Fn(&Report) -> u64, expected: u64) -> Report {
    let report = check(fault);
    assert!(!report.passed(), "{fault:?} was not noticed: {report:?}");
    assert_eq!(count(&report), expected, "{fault:?}: {report:?}");
    report
}

fn faults(report: &Report) -> u64 {
    let counts = [
        report.drops,
        report.lost,
        report.duplicated,
        report.reordered,
        report.backwards,
        report.stale,
        report.wrong,
        report.unclean_closes,
        report.zombies.unwrap_or(0).unsigned_abs(),
        report.swap_failures.len() as u64,
    ];
    counts.iter().sum()
}

#[test]
fn a_lost_answer_is_caught() {
    let report = catches(Fault::Lose, |report| report.lost, 1);
    assert_eq!(faults(&report), 1, "{report:?}");
}

#[test]
fn a_repeated_answer_is_caught() {
    let report = catches(Fault::Duplicate, |report| report.duplicated, 1);
    assert_eq!(faults(&report), 1, "{report:?}");
}

#[test]
fn a_reordered_answer_is_caught() {
    let report = catches(Fault::Reorder, |report| report.reordered, 1);
    assert_eq!(report.lost, 0, "{report:?}");
}

#[test]
fn a_closed_connection_is_caught_however_it_closed() {
    for fault in [Fault::CloseSocket, Fault::CloseFrame, Fault::Garbage] {
        let report = catches(fault, |report| report.drops, 1);
        assert!(report.lost >= 1, "its message has no answer: {report:?}");
        assert_eq!(report.zombies, Some(0), "{report:?}");
    }
}

#[test]
fn a_generation_that_goes_back_is_caught() {
    catches(Fault::Backwards, |report| report.backwards, 1);
}

#[test]
fn an_old_generation_that_goes_on_answering_is_caught() {
    let report = check(Fault::Stale);
    assert!(report.stale > 0 && !report.passed(), "{report:?}");
    assert_eq!(report.backwards, 0);
    let last = report.swap_failures.last().unwrap();
    assert!(last.contains("newest that answered is 2"), "{last}");
}

#[test]
fn an_answer_of_wrong_content_is_caught() {
    let kinds = [
        Fault::Corrupt,
        Fault::Misdirect,
        Fault::Binary,
        Fault::Invent,
        Fault::NoGeneration,
    ];
    for fault in kinds {
        let report = catches(fault, |report| report.wrong, 1);
        assert_eq!(
            report.lost, 1,
            "the message it should have answered: {report:?}"
        );
    }
}

#[test]
fn a_refused_swap_and_one_without_effect_are_caught() {
    let report = catches(
        Fault::RefuseGood,
        |report| report.swap_failures.len() as u64,
        1,
    );
    assert!(
        report.swap_failures[0].contains("does not link"),
        "{report:?}"
    );
    assert_eq!(report.swaps, 5);
    let report = catches(Fault::SameGeneration, |report| u64::from(report.swaps), 1);
    assert!(
        report.swap_failures[0].contains("generation 1 after 1"),
        "{report:?}"
    );
}

#[test]
fn connections_the_server_miscounts_are_zombies() {
    for fault in [Fault::Zombie, Fault::CloseTwice] {
        let report = catches(fault, |report| report.zombies.unwrap().unsigned_abs(), 1);
        assert_eq!(faults(&report), 1, "{report:?}");
    }
}

#[test]
fn metrics_that_do_not_exist_are_an_error_and_not_a_pass() {
    let fake = Fake::start(Fault::None);
    let mut options = options(&fake);
    let audit = options.audit.as_mut().unwrap();
    audit.open = "no_such_metric".parse().unwrap();
    let error = format!("{:#}", swap::run(options).unwrap_err());
    assert!(error.contains("no_such_metric"), "{error}");
}

#[test]
fn a_close_frame_without_an_answer_is_caught() {
    catches(Fault::SilentClose, |report| report.unclean_closes, 10);
}

#[test]
fn a_stall_shows_inside_the_swaps() {
    let report = check(Fault::Stall);
    assert!(report.passed(), "{:?}", report.failures());
    assert!(report.inside.max_us >= 40_000.0, "{report:?}");
    assert!(report.swap_time.p50_us >= 60_000.0, "{report:?}");
}

#[test]
fn swaps_the_trigger_has_no_time_for_are_failures() {
    let fake = Fake::start(Fault::None);
    let mut made = 1;
    let options = Options {
        trigger: Box::new(move |_| {
            std::thread::sleep(Duration::from_millis(900));
            made += 1;
            Ok(swap::Outcome::Swapped(made))
        }),
        time: Duration::from_millis(500),
        ..options(&fake)
    };
    let report = swap::run(options).unwrap();
    assert!(
        report
            .swap_failures
            .iter()
            .any(|failure| failure.contains("were not made")),
        "{report:?}"
    );
}

/// Runs swaps by files, two of them bad, against a server that watches the place.
fn check_files(fault: Fault, write: Write) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, name).unwrap();
        path
    };
    let into = file("good: watched");
    let files = Files {
        good: vec![file("good: a"), file("good: b")],
        bad: vec![file("bad")],
        into: into.clone(),
        write,
        seen_within: Duration::from_secs(2),
        bad_for: Duration::from_millis(100),
    };
    let fake = Fake::start(fault);
    fake.watch(into.clone());
    let options = Options {
        trigger: files.trigger(),
        bad_swaps: 2,
        ..options(&fake)
    };
    let report = swap::run(options).unwrap();
    assert!(
        fs::read_to_string(Path::new(&into))
            .unwrap()
            .starts_with("good")
    );
    report
}

#[test]
fn swaps_by_files_pass_and_bad_ones_are_refused() {
    for write in [Write::Rename, Write::InPlace] {
        let report = check_files(Fault::None, write);
        assert!(report.passed(), "{write:?}: {:?}", report.failures());
        assert_eq!((report.swaps, report.bad_swaps_refused), (6, 2));
        assert_eq!(report.newest_generation, 7);
    }
}

#[test]
fn a_bad_file_that_is_taken_is_caught() {
    let report = check_files(Fault::AcceptBad, Write::Rename);
    assert_eq!(report.bad_swaps_refused, 0, "{report:?}");
    assert!(
        report.swap_failures[0].contains("was accepted"),
        "{report:?}"
    );
}

#[test]
fn a_file_that_changes_nothing_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good: a");
    fs::write(&path, "good: a").unwrap();
    let files = Files {
        good: vec![path.clone()],
        bad: Vec::new(),
        into: folder.path().join("watched by nobody"),
        write: Write::Rename,
        seen_within: Duration::from_millis(100),
        bad_for: Duration::ZERO,
    };
    let fake = Fake::start(Fault::None);
    let report = swap::run(Options {
        trigger: files.trigger(),
        ..options(&fake)
    })
    .unwrap();
    assert_eq!(report.swaps, 0, "{report:?}");
    assert!(
        report.swap_failures[0].contains("no newer generation"),
        "{report:?}"
    );
}
