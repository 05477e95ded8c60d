//! An event as one line. Whatever a value says, it is an excerpt: all that is logged passes here, so
//! no place that logs can forget it.

use std::fmt::{self, Debug, Write};

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;
use crate::excerpt::{Excerpt, excerpt};

/// The field of an event's own words.
const MESSAGE: &str = "message";

/// Logs events in that format to what `lines` makes, with colours in text for a terminal.
pub(super) fn subscriber<W>(
    format: LogFormat,
    is_terminal: bool,
    filter: EnvFilter,
    lines: W,
) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal && format == LogFormat::Text)
        // An event that can't be formatted is not worth a write that may block.
        .log_internal_errors(false)
        .with_writer(lines);
    match format {
        LogFormat::Text => log
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .finish()
            .into(),
        LogFormat::Json => log.event_format(Json).finish().into(),
    }
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() == MESSAGE {
        return write!(Excerpt::new(writer), "{value:?}");
    }
    match writer.has_ansi_escapes() {
        true => write!(writer, "\x1b[3m{}\x1b[0m\x1b[2m=\x1b[0m", field.name())?,
        false => write!(writer, "{}=", field.name())?,
    }
    write!(Excerpt::new(writer), "{value:?}")
}

/// One JSON object a line.
struct Json;

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    fields: Map<String, Value>,
    target: &'a str,
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut fields = JsonFields::default();
        event.record(&mut fields);
        let line = Line {
            timestamp,
            level: event.metadata().level().as_str(),
            fields: fields.0,
            target: event.metadata().target(),
        };
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// The fields of an event.
#[derive(Default)]
struct JsonFields(Map<String, Value>);

impl JsonFields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for JsonFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, excerpt(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, excerpt(format_args!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::excerpt::EXCERPT_MAX;

    /// What is logged in that format by `log`.
    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let to = lines.clone();
        let writer = move || Kept(to.clone());
        let log_to = subscriber(format, false, EnvFilter::new("info"), writer);
        tracing::dispatcher::with_default(&log_to, log);
        let bytes = lines.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const FORGED: &str = "no such room\n2099-01-01 INFO all is well\r\u{1b}[2K\u{9b}1A";

    fn log_forged() {
        let path = format!("/{FORGED}");
        tracing::warn!(plugin = "chat", path, generation = 3, %FORGED, "{FORGED}");
    }

    #[test]
    fn an_event_is_one_line_of_text_whatever_it_says() {
        let shown = "no such room\\n2099-01-01 INFO all is well\\r\\u{1b}[2K\\u{9b}1A";
        let line = logged(LogFormat::Text, log_forged);
        let (_, event) = line.split_once(" WARN ").unwrap();
        let fields =
            format!("{shown} plugin=\"chat\" path=\"/{shown}\" generation=3 FORGED={shown}\n");
        assert_eq!(event, format!("{}: {fields}", module_path!()));
    }

    #[test]
    fn an_event_is_one_object_whatever_it_says() {
        let line = logged(LogFormat::Json, log_forged);
        assert_eq!(line.matches(char::is_control).collect::<Vec<_>>(), ["\n"]);
        let line: Value = serde_json::from_str(&line).unwrap();
        let shown = "no such room\\n2099-01-01 INFO all is well\\r\\u{1b}[2K\\u{9b}1A";
        let fields = serde_json::json!({
            "message": shown, "plugin": "chat", "path": format!("/{shown}"), "generation": 3, "FORGED": shown,
        });
        assert_eq!(line["fields"], fields);
        assert_eq!(
            (&line["level"], &line["target"]),
            (&"WARN".into(), &module_path!().into())
        );
    }

    #[test]
    fn every_value_is_cut() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let long = "x".repeat(10_000);
            let line = logged(format, || tracing::info!(long, other = %long, "{long}"));
            let shown = line.matches('x').count();
            assert!(
                (3 * EXCERPT_MAX - 3..=3 * EXCERPT_MAX).contains(&shown),
                "{shown}"
            );
        }
    }
}
