//! What happens, for a person: one line a step, a bar while a series fills, and what to paste at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use local_host::HostEvent;
use serde_json::{Value, json};

/// The terminal of `landfall dev`.
#[derive(Debug)]
pub(super) struct Terminal {
    json: bool,
    bars: MultiProgress,
    series: BTreeMap<String, ProgressBar>,
}

impl Terminal {
    /// A terminal that prints the handler's lines as they are (`json`), or a story.
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            bars: MultiProgress::new(),
            series: BTreeMap::new(),
        }
    }

    /// Says where everything is.
    pub(super) fn greet(&self, bronze: &str, silver: &str, database: &str, address: &str) {
        if self.json {
            return;
        }
        self.line(&format!("Landfall answers on {address}"));
        self.line(&format!("  drop NetCDF files into  {bronze}"));
        self.line(&format!("  references are kept in  {silver}"));
        self.line(&format!("  the catalogue is        {database}"));
        self.line(&format!("  the status page is      {address}/api/status"));
        self.line("  ctrl-C ends it\n");
    }

    /// Renders one event of the host.
    pub(super) fn tell(&mut self, event: &HostEvent) {
        match event {
            HostEvent::HandlerLine(line) => self.handler_line(line),
            HostEvent::HandlerReady { elapsed } if !self.json => {
                self.step(
                    "ready",
                    &format!("the handler answered after {} ms", elapsed.as_millis()),
                );
            }
            HostEvent::HandlerExited {
                status,
                expected: false,
            } => {
                self.step(
                    "restart",
                    &format!("the handler ended ({status}) and is started again"),
                );
            }
            HostEvent::InvocationFailed {
                function, reason, ..
            } => {
                self.step("retry", &format!("{function}: {reason}"));
            }
            HostEvent::MessagePoisoned { queue, id } => {
                self.step(
                    "poison",
                    &format!("a message of {queue} failed too often ({id})"),
                );
            }
            HostEvent::EventLost { id, subject } if self.json => {
                let message = format!("Lost the event of {subject} on purpose");
                let line =
                    json!({"level": "INFO", "step": "lost", "event.id": id, "message": message});
                self.line(&line.to_string());
            }
            HostEvent::EventLost { subject, .. } => {
                self.step("lost", &format!("the event of {subject}, on purpose"));
            }
            HostEvent::EventDeadLettered {
                id,
                function,
                attempts,
            } => {
                self.step(
                    "dead",
                    &format!("{function} would not take event {id} in {attempts} attempts"),
                );
            }
            _ => {}
        }
    }

    fn handler_line(&mut self, line: &str) {
        if self.json {
            return self.line(line);
        }
        match serde_json::from_str::<Value>(line) {
            Ok(fields) => self.log_line(&fields),
            Err(_) => self.line(line),
        }
    }

    /// A line of the handler's log; those with a `step` are the story, warnings are told as they are.
    fn log_line(&mut self, fields: &Value) {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or_default();
        let message = text("message");
        match text("step") {
            "referenced" => {
                let cost = format!(
                    "{} chunks, {} kB reference, {} ms",
                    number("chunks.count"),
                    number("reference.bytes").div_ceil(1000),
                    number("elapsed_ms")
                );
                self.step(
                    "referenced",
                    &format!("{}  ({cost})", message.trim_start_matches("Referenced ")),
                );
                self.fill(text("group.progress"));
            }
            "combined" => {
                self.empty(text("dataset.id"));
                self.step(
                    "combined",
                    &format!("{} ({} ms)", text("dataset.id"), number("elapsed_ms")),
                );
                self.snippet(text("zarr.url"));
            }
            step @ ("blocked" | "failed") => {
                self.empty(text("dataset.id"));
                self.step(step, message);
            }
            "" if matches!(text("level"), "WARN" | "ERROR") => self.step("warning", message),
            "" => {}
            step => self.step(step, message),
        }
    }

    fn step(&self, step: &str, message: &str) {
        if self.json {
            return;
        }
        let now = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        self.line(&format!("{now}  {step:<11} {message}"));
    }

    fn line(&self, line: &str) {
        self.bars.suspend(|| println!("{line}"));
    }

    fn snippet(&self, url: &str) {
        self.line("");
        self.line("    import xarray as xr");
        self.line(&format!("    ds = xr.open_zarr(\"{url}\")"));
        self.line("");
    }

    /// Shows how far a series has filled; `progress` is `dataset arrived/expected`, and `?` where nobody knows how
    /// many are to come.
    fn fill(&mut self, progress: &str) {
        let Some((dataset, counts)) = progress.rsplit_once(' ') else {
            return;
        };
        let Some((arrived, expected)) = counts.split_once('/') else {
            return;
        };
        let bars = &self.bars;
        let bar = self
            .series
            .entry(dataset.to_owned())
            .or_insert_with(|| bars.add(new_bar(dataset)));
        if let Ok(expected) = expected.parse() {
            bar.set_length(expected);
            bar.set_style(style("{spinner} [{bar:24}] {pos}/{len} files  {msg}"));
        }
        bar.set_position(arrived.parse().unwrap_or_default());
    }

    fn empty(&mut self, dataset: &str) {
        if let Some(bar) = self.series.remove(dataset) {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(dataset: &str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    bar.set_style(style("{spinner} {pos} files, waiting for more  {msg}"));
    bar.set_message(dataset.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A style that stands below the steps; a template of ours is always well formed.
fn style(template: &str) -> ProgressStyle {
    let indented = format!("          {template}");
    ProgressStyle::with_template(&indented).unwrap_or_else(|_| ProgressStyle::default_bar())
}
