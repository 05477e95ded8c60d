//! How results are printed: one JSON line, or the same fields as text.

use anyhow::{Context, Result};
use serde::Serialize;

/// The result of a workload or checker.
pub trait Report: Serialize {
    /// What went wrong, one sentence each; none means that the run passed.
    fn failures(&self) -> Vec<String>;
}

/// Prints `report` and its failures; the answer is whether the run passed.
///
/// # Errors
/// When a figure has no JSON form.
pub fn print<R: Report>(command: &str, report: &R, json: bool) -> Result<bool> {
    #[derive(Serialize)]
    struct Line<'a, R> {
        command: &'a str,
        passed: bool,
        failures: &'a [String],
        #[serde(flatten)]
        report: &'a R,
    }
    let failures = report.failures();
    if json {
        let line = Line {
            command,
            passed: failures.is_empty(),
            failures: &failures,
            report,
        };
        println!(
            "{}",
            serde_json::to_string(&line).context("failed to print the report")?
        );
    } else {
        let text = serde_json::to_string_pretty(report).context("failed to print the report")?;
        println!("{command}\n{}", plain(&text));
        for failure in &failures {
            println!("failed: {failure}");
        }
    }
    Ok(failures.is_empty())
}

/// Pretty JSON without its punctuation: `  "p50_us": 12.5,` becomes `  p50_us  12.5`.
fn plain(pretty: &str) -> String {
    let lines = pretty.lines().filter_map(|line| {
        let bare = line
            .trim_end_matches([',', '{', '['])
            .trim_end_matches([' ', ':']);
        if bare.trim_matches([' ', '}', ']', '"']).is_empty() {
            return None;
        }
        Some(bare.replacen("\": ", "  ", 1).replace('"', ""))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `failures` gains "`count` `what`" if there was any.
pub(crate) fn note(failures: &mut Vec<String>, count: u64, what: &str) {
    if count > 0 {
        failures.push(format!("{count} {what}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_fields_in_order_and_no_punctuation() {
        let pretty = serde_json::to_string_pretty(
            &serde_json::json!({"a": {"b": 1.5, "c": null}, "d": ["x", "y"]}),
        );
        let text = plain(&pretty.unwrap());
        assert_eq!(text, "  a\n    b  1.5\n    c  null\n  d\n    x\n    y");
    }
}
