//! Lines of text with indents, labels and styles. Widths are reckoned before the styles are put in.

use clap::builder::styling::{AnsiColor, Style};

/// Columns that lines keep to where they can.
pub(super) const WIDTH: usize = 100;

/// Columns of a label with the space behind it.
const LABEL: usize = 11;

const HEADING: Style = Style::new().bold();
const TYPE: Style = AnsiColor::Cyan.on_default();
const NAME: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const ALARM: Style = AnsiColor::Red.on_default();

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// The finished text.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// A line as it is.
    pub(super) fn line(&mut self, indent: usize, text: &str) {
        let spaces = " ".repeat(indent);
        self.text.push_str(&format!("{spaces}{text}\n"));
    }

    /// An empty line.
    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A heading.
    pub(super) fn heading(&mut self, indent: usize, text: &str) {
        self.line(indent, &styled(HEADING, text));
    }

    /// The heading of a section, behind an empty line where sections stand apart.
    pub(super) fn section(&mut self, indent: usize, text: &str, apart: bool) {
        if apart {
            self.blank();
        }
        self.heading(indent, text);
    }

    /// Something that is wrong.
    pub(super) fn alarm(&mut self, indent: usize, text: &str) {
        for line in wrap(text, WIDTH.saturating_sub(indent)) {
            self.line(indent, &styled(ALARM, &line));
        }
    }

    /// Rows of three columns: a name, a number, a remark.
    pub(super) fn table(&mut self, indent: usize, rows: &[[String; 3]]) {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let (names, numbers) = (width(0), width(1));
        for [name, number, remark] in rows {
            let row = format!("{name:<names$}  {number:>numbers$}  {remark}");
            self.line(indent, row.trim_end());
        }
    }

    /// `float tas(time=12)`.
    pub(super) fn declaration(&mut self, indent: usize, data_type: &str, name: &str, rest: &str) {
        let text = format!("{} {}{rest}", styled(TYPE, data_type), styled(NAME, name));
        self.line(indent, &text);
    }

    /// `name = value`, names padded to `widest`.
    pub(super) fn attribute(&mut self, indent: usize, widest: usize, name: &str, value: &str) {
        self.line(indent, &format!("{name:<widest$} = {value}"));
    }

    /// A labelled fact, wrapped behind its label.
    pub(super) fn fact(&mut self, indent: usize, label: &str, text: &str) {
        let room = WIDTH.saturating_sub(indent + LABEL);
        let labels = std::iter::once(label).chain(std::iter::repeat(""));
        for (label, line) in labels.zip(wrap(text, room)) {
            let label = styled(QUIET, &format!("{label:<LABEL$}"));
            self.line(indent, &format!("{label}{line}"));
        }
    }

    /// `name: text`, wrapped with a hanging indent.
    pub(super) fn wrapped(&mut self, indent: usize, name: &str, text: &str) {
        let lines = wrap(&format!("{name}: {text}"), WIDTH.saturating_sub(indent + 2));
        for (position, line) in lines.iter().enumerate() {
            self.line(if position == 0 { indent } else { indent + 2 }, line);
        }
    }
}

fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Words in lines of at most `room` columns, longer words alone.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let length = |line: &String| line.chars().count();
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if length(line) + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A size in the largest unit that leaves a digit before the point.
#[expect(
    clippy::cast_precision_loss,
    reason = "three digits of the number are shown"
)]
pub(super) fn bytes(size: u64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let size_float = size as f64;
    match units.into_iter().find(|(unit, _)| size_float >= *unit) {
        None => format!("{size} B"),
        Some((unit, name)) if size_float / unit < 99.95 => {
            format!("{:.1} {name}", size_float / unit)
        }
        Some((unit, name)) => format!("{:.0} {name}", size_float / unit),
    }
}

/// `1 chunk`, `2 chunks`.
pub(super) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "0 B")]
    #[case(999, "999 B")]
    #[case(1_000, "1.0 kB")]
    #[case(99_949, "99.9 kB")]
    #[case(99_950, "100 kB")]
    #[case(495_000_000, "495 MB")]
    #[case(1_500_000_000_000, "1.5 TB")]
    fn sizes_are_short(#[case] size: u64, #[case] expected: &str) {
        assert_eq!(bytes(size), expected);
    }

    #[rstest]
    #[case::fits("one two", 7, &["one two"])]
    #[case::breaks("one two three", 7, &["one two", "three"])]
    #[case::long_word("a bbbbbbbbbb c", 5, &["a", "bbbbbbbbbb", "c"])]
    fn words_are_wrapped(#[case] text: &str, #[case] room: usize, #[case] lines: &[&str]) {
        assert_eq!(wrap(text, room), lines);
    }
}
