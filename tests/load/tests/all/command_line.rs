//! The binary: exit codes, JSON, and a soak of a server in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate-load");

struct FloorProcess {
    child: Child,
    address: String,
}

impl FloorProcess {
    fn start() -> Self {
        let mut child = Command::new(BINARY)
            .args(["floor", "--seconds", "60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut port)
            .unwrap();
        let address = format!("127.0.0.1:{}", port.trim());
        Self { child, address }
    }
}

impl Drop for FloorProcess {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn run(line: &str) -> Output {
    Command::new(BINARY).args(line.split(' ')).output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_run_that_passes_exits_with_0_and_reads_the_servers_cost() {
    let floor = FloorProcess::start();
    let (address, pid) = (&floor.address, floor.child.id());
    let output = run(&format!(
        "echo --url ws://{address}/ --pid {pid} --seconds 0.5 --json"
    ));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = json(&output);
    assert_eq!(report["passed"], true);
    assert!(
        report["cost"]["server_cpu_us"]["total_us"]
            .as_f64()
            .unwrap()
            > 0.0,
        "{report}"
    );
}

#[test]
fn a_server_at_fault_exits_with_1() {
    let floor = FloorProcess::start();
    let output = run(&format!(
        "echo --url ws://{}/generation --seconds 0.3",
        floor.address
    ));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("failed: ") && text.contains("not the message sent"),
        "{text}"
    );
}

#[test]
fn a_run_that_cannot_be_made_exits_with_2() {
    for line in [
        "echo --url ws://192.0.2.1/",
        "echo --url ws://127.0.0.1:1/ --size 3",
        "idle --url ws://127.0.0.1:1/",
        "swap --url ws://127.0.0.1:1/",
        "connect --url ws://127.0.0.1:1/ --pin 1023",
    ] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {output:?}");
    }
}

#[test]
fn a_soak_passes_its_bounds_and_fails_those_it_exceeds() {
    let floor = FloorProcess::start();
    let (address, pid) = (&floor.address, floor.child.id());
    let soak = format!(
        "soak --url ws://{address}/generation --admin {address} --pid {pid} --json \
         --connections 5 --swaps 30 --seconds 1.5 --from 10 --every 10"
    );
    let output = run(&format!(
        "{soak} --max-descriptor-growth 0 --max-thread-growth 0 --max-mapping-growth 0"
    ));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = json(&output);
    let swaps: Vec<_> = report["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| &sample["swaps"])
        .collect();
    assert_eq!(swaps, [10, 20, 30]);
    assert!(
        report["samples"][0]["executable_mappings"]
            .as_u64()
            .unwrap()
            > 0
    );

    let output = run(&format!("{soak} --max-thread-growth=-1"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        json(&output)["exceeded"][0],
        "threads grew by 0, more than -1"
    );
}

#[test]
fn a_comparison_writes_tables_charts_and_samples_and_makes_them_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let output = run(&format!(
        "compare --servers floor --rows echo-20,fanout-64 --rounds 2 --seconds 0.1 --warmup 0 --out {out} --json"
    ));
    if std::thread::available_parallelism().unwrap().get() < 2 {
        assert_eq!(
            output.status.code(),
            Some(2),
            "it needs a CPU for each side"
        );
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let rows = &json(&output)["rows"];
    assert_eq!(rows[0]["verdict"], "not measured", "{rows}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let table = read("compare.md");
    assert!(table.contains("| bare epoll (raw) |"), "{table}");
    let samples: serde_json::Value = serde_json::from_str(&read("compare.json")).unwrap();
    assert_eq!(samples["samples"].as_array().unwrap().len(), 4);
    assert!(read("echo.svg").contains("CPU µs per message"));

    std::fs::remove_file(folder.path().join("compare.md")).unwrap();
    let output = run(&format!("compare --rebuild --out {out}"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(read("compare.md"), table);
}
