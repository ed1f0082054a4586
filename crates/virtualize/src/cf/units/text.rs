//! The grammar of `<unit> since <date>[ <time>][ <zone>]`.

use crate::cf::calendar::Calendar;
use crate::cf::instant::{DateTime, Instant};
use crate::cf::units::Unit;

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// The unit and the reference, in UTC; or what is wrong.
pub(super) fn parse(units: &str, calendar: Calendar) -> Result<(Unit, Instant), &'static str> {
    let (name, rest) = units
        .trim()
        .split_once(char::is_whitespace)
        .ok_or("it is not `<unit> since <date>`")?;
    let (since, date) = rest
        .trim_start()
        .split_once(char::is_whitespace)
        .ok_or("it is not `<unit> since <date>`")?;
    if !since.eq_ignore_ascii_case("since") {
        return Err("it has no `since`");
    }
    let unit = parse_unit(&name.to_ascii_lowercase(), calendar)?;
    let (date, offset) = Scanner(date.trim())
        .reference()
        .ok_or("its date cannot be read")?;
    let reference = calendar
        .instant(&date)
        .map_err(|_| "its calendar has no such date")?;
    let reference = reference
        .checked_add_micros(-offset * MICROS_PER_MINUTE)
        .ok_or("its date is too far away")?;
    Ok((unit, reference))
}

fn parse_unit(name: &str, calendar: Calendar) -> Result<Unit, &'static str> {
    match name {
        "microseconds" | "microsecond" | "microsec" | "microsecs" => Ok(Unit::Microsecond),
        "milliseconds" | "millisecond" | "millisec" | "millisecs" | "msec" | "msecs" | "ms" => {
            Ok(Unit::Millisecond)
        }
        "seconds" | "second" | "sec" | "secs" | "s" => Ok(Unit::Second),
        "minutes" | "minute" | "min" | "mins" => Ok(Unit::Minute),
        "hours" | "hour" | "hr" | "hrs" | "h" => Ok(Unit::Hour),
        "days" | "day" | "d" => Ok(Unit::Day),
        "months" | "month" if calendar == Calendar::Day360 => Ok(Unit::Month),
        "years" | "year" if calendar == Calendar::Day360 => Ok(Unit::Year),
        "common_years" | "common_year" if calendar == Calendar::NoLeap => Ok(Unit::CommonYear),
        "months" | "month" | "years" | "year" | "common_years" | "common_year" => {
            Err("its unit has no fixed length in this calendar")
        }
        _ => Err("its unit is not known"),
    }
}

/// What is left of the text.
struct Scanner<'a>(&'a str);

impl Scanner<'_> {
    /// Date, clock and zone; the zone in minutes east of UTC. Nothing may be left over.
    fn reference(mut self) -> Option<(DateTime, i64)> {
        let mut date = self.date()?;
        if self.0.starts_with(['T', 't']) {
            self.skip(1);
            self.clock(&mut date)?;
        } else {
            let spaced = self.0.starts_with(char::is_whitespace);
            self.0 = self.0.trim_start();
            if spaced && self.digit_count() > 0 {
                self.clock(&mut date)?;
            } else if self.0.starts_with(['+', '-']) {
                return None;
            }
        }
        self.0 = self.0.trim_start();
        let offset = self.zone()?;
        self.0.is_empty().then_some((date, offset))
    }

    fn date(&mut self) -> Option<DateTime> {
        let negative = self.eat('-');
        if !negative {
            self.eat('+');
        }
        let year = self.digits(6)?;
        let month = if self.eat('-') { self.byte()? } else { 1 };
        let day = if self.eat('-') { self.byte()? } else { 1 };
        Some(DateTime::midnight(
            if negative { -year } else { year },
            month,
            day,
        ))
    }

    fn clock(&mut self, date: &mut DateTime) -> Option<()> {
        date.hour = self.byte()?;
        if self.eat(':') {
            date.minute = self.byte()?;
            if self.eat(':') {
                date.second = self.byte()?;
                if self.eat('.') {
                    date.microsecond = self.fraction();
                }
            }
        }
        Some(())
    }

    /// Decimals of a second, cut at the microsecond.
    fn fraction(&mut self) -> u32 {
        let length = self.digit_count();
        let digits = self.0.bytes().take(length.min(6));
        let value = digits
            .chain(std::iter::repeat(b'0'))
            .take(6)
            .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        self.skip(length);
        value
    }

    fn zone(&mut self) -> Option<i64> {
        if self.0.is_empty()
            || ["Z", "UTC", "GMT"]
                .iter()
                .any(|name| self.0.eq_ignore_ascii_case(name))
        {
            self.0 = "";
            return Some(0);
        }
        let east = self.eat('+');
        if !east && !self.eat('-') {
            return None;
        }
        let (hours, minutes) = match self.digit_count() {
            4 => (self.digits(2)?, self.digits(2)?),
            1 | 2 => (
                self.digits(2)?,
                if self.eat(':') { self.digits(2)? } else { 0 },
            ),
            _ => return None,
        };
        let offset = hours * 60 + minutes;
        (minutes < 60).then_some(if east { offset } else { -offset })
    }

    fn byte(&mut self) -> Option<u8> {
        u8::try_from(self.digits(2)?).ok()
    }

    /// A number of at most so many digits, and at least one.
    fn digits(&mut self, limit: usize) -> Option<i64> {
        let length = self.digit_count().min(limit);
        let number = self.0.get(..length)?.parse().ok()?;
        self.skip(length);
        Some(number)
    }

    fn digit_count(&self) -> usize {
        self.0.bytes().take_while(u8::is_ascii_digit).count()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or("");
    }
}
