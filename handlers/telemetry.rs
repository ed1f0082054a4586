//! The tracing subscriber: JSON lines on stdout under the Functions host, nothing on a quiet command line. SPEC §13.
//!
//! Every line has dotted fields, `landfall.version`, and the spans that it belongs to with the host's invocation and its
//! `traceparent`. Secrets are kept out of messages where they are made; what looks like one all the same is struck out
//! here.

use std::borrow::Cow;
use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

tokio::task_local! {
    /// The trace that the work at hand is part of.
    static TRACE: Option<String>;
}

/// Runs work as part of a trace, as the host's `traceparent` names it; requests to other services carry it on.
pub fn within_trace<T>(
    traceparent: Option<String>,
    work: impl Future<Output = T>,
) -> impl Future<Output = T> {
    TRACE.scope(traceparent, work)
}

/// The `traceparent` of the work at hand.
pub(crate) fn trace() -> Option<String> {
    TRACE.try_with(Clone::clone).ok().flatten()
}

/// Begins to measure the peak memory of the process anew, where the system lets us.
pub(crate) fn forget_peak_memory() {
    // 5 resets the high-water mark (proc_pid_clear_refs(5)).
    std::fs::write("/proc/self/clear_refs", "5").ok();
}

/// The most memory that the process has taken since, in bytes; `None` where the system does not tell.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// What a secret stands behind, in lower case.
const MARKS: [&str; 7] = [
    "sig=",
    "signature=",
    "token=",
    "password=",
    "accountkey=",
    "x-functions-key=",
    "bearer ",
];

/// Where a secret ends.
const ENDS: [char; 14] = [
    '&', '"', '\'', '`', '\\', ',', ';', ')', '}', ']', '<', '>', '#', '/',
];

/// Starts logging as JSON lines on stdout, which the host takes as its logs; `LANDFALL_LOG` sets the filter.
pub fn init_json() {
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_timer(SystemTime)
        .map_event_format(OurLines);
    subscriber
        .with_env_filter(filter("info"))
        .with_writer(std::io::stdout)
        .init();
}

/// Starts logging for a person on stderr: warnings, or what `LANDFALL_LOG` says.
pub fn init_terminal() {
    let subscriber = tracing_subscriber::fmt()
        .with_target(false)
        .with_env_filter(filter("warn"));
    subscriber.with_writer(std::io::stderr).init();
}

/// What `LANDFALL_LOG` says, without the server's own line for each request.
fn filter(default: &str) -> EnvFilter {
    let filter =
        EnvFilter::try_from_env("LANDFALL_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    match "warp::filters::trace=off".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    }
}

/// JSON lines that begin with the version and hold no secret.
#[derive(Debug)]
struct OurLines<F>(F);

impl<S, N, F> FormatEvent<S, N> for OurLines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        let line = without_secrets(&line);
        let version = env!("CARGO_PKG_VERSION");
        match line.strip_prefix('{') {
            Some(rest) => write!(writer, "{{\"landfall.version\":\"{version}\",{rest}"),
            None => writer.write_str(&line),
        }
    }
}

/// The line with what stands behind a mark of secrets struck out.
fn without_secrets(line: &str) -> Cow<'_, str> {
    let lower = line.to_ascii_lowercase();
    let next = |from: usize| {
        let rest = lower.get(from..)?;
        let behind = MARKS
            .iter()
            .filter_map(|mark| Some(from + rest.find(mark)? + mark.len()));
        behind.min()
    };
    let Some(mut start) = next(0) else {
        return Cow::Borrowed(line);
    };
    let (mut clean, mut done) = (String::with_capacity(line.len()), 0);
    loop {
        let rest = line.get(start..).unwrap_or_default();
        let is_end = |c: char| c.is_whitespace() || ENDS.contains(&c);
        let end = start + rest.find(is_end).unwrap_or(rest.len());
        clean.push_str(line.get(done..start).unwrap_or_default());
        clean.push_str(if end > start { "***" } else { "" });
        done = end;
        match next(end) {
            Some(further) => start = further,
            None => break,
        }
    }
    clean.push_str(line.get(done..).unwrap_or_default());
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    #[rstest]
    #[case::none("nothing to hide", "nothing to hide")]
    #[case::sas(
        "at https://a/b?sv=1&sig=aB%2Bc%3D&se=2 today",
        "at https://a/b?sv=1&sig=***&se=2 today"
    )]
    #[case::header("Authorization: Bearer eyJ0.eyJ1.abc\"", "Authorization: Bearer ***\"")]
    #[case::two("password=p sig=q", "password=*** sig=***")]
    #[case::capitals("AccountKey=abc==;Suffix=x", "AccountKey=***;Suffix=x")]
    #[case::at_the_end("X-Amz-Signature=abc", "X-Amz-Signature=***")]
    #[case::nothing_behind("sig=&sr=b", "sig=&sr=b")]
    #[case::other_letters("é sig=é, ü", "é sig=***, ü")]
    fn what_looks_like_a_secret_is_struck_out(#[case] line: &str, #[case] clean: &str) {
        assert_eq!(without_secrets(line), clean);
    }

    #[test]
    fn the_peak_of_memory_is_measured_anew() {
        let held = vec![1_u8; 64 << 20];
        let with = peak_memory().unwrap();
        assert!(
            held.iter().all(|byte| *byte == 1) && with > 64 << 20,
            "{with}"
        );
        drop(held);
        forget_peak_memory();
        let without = peak_memory().unwrap();
        assert!(without < with, "{without} after {with}");
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_json_with_dotted_fields_the_version_and_its_spans() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_timer(SystemTime)
            .map_event_format(OurLines)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", traceparent = "00-ab-cd-01");
            let _entered = span.enter();
            tracing::info!(
                blob.url = "https://a/b?sig=secret",
                chunks.count = 7,
                "Done"
            );
        });
        let line = sink.0.lock().unwrap().clone();
        let line: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["landfall.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(line["blob.url"], "https://a/b?sig=***");
        assert_eq!(line["chunks.count"], 7);
        assert_eq!(line["message"], "Done");
        assert_eq!(line["span"]["traceparent"], "00-ab-cd-01");
    }
}
