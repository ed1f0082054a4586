"""Asks cftime about times drawn at random, for `tests/calendars.rs`.

    cftime_answers.py SEED COUNT

Prints {"cases", "series"} on one line. A case is one `units` attribute in one calendar with stored values and the dates
that cftime reads, `null` where it reads none. A series is a list of encodings of time, one a file. Then reads one line,
for each series the units and values that they were joined in or `null`, and prints what differs from cftime's dates.
"""

import json
import random
import re
import struct
import sys
import warnings

import cftime
import numpy as np

CALENDARS = ["standard", "gregorian", "proleptic_gregorian", "noleap", "365_day", "all_leap", "366_day", "360_day", "julian"]
# Every name that cftime takes, with its length in microseconds.
NAMES = {
    1: ["microseconds", "microsecond", "microsec", "microsecs"],
    10**3: ["milliseconds", "millisecond", "millisec", "millisecs", "msec", "msecs", "ms"],
    10**6: ["seconds", "second", "sec", "secs", "s"],
    6 * 10**7: ["minutes", "minute", "min", "mins"],
    36 * 10**8: ["hours", "hour", "hr", "hrs", "h"],
    864 * 10**8: ["days", "day", "d"],
}
LONG = {"months": 30 * 864 * 10**8, "month": 30 * 864 * 10**8, "years": 360 * 864 * 10**8, "year": 360 * 864 * 10**8,
        "common_years": 365 * 864 * 10**8, "common_year": 365 * 864 * 10**8}
# Years of 360 days, which cftime does not read, are tested where they are read.
LONG_IN = {"360_day": ["months", "month"], "noleap": ["common_years", "common_year"], "365_day": ["common_years"]}
UNKNOWN = ["nanoseconds", "weeks", "fortnights", "decades", "us", "ns", "y", "m", "month_of_year", "Seconds_", ""]
# What cftime matches of a date; it skips whatever follows, and ours must not.
READ = re.compile(r"[+-]?[0-9]+(-[0-9]{1,2}(-[0-9]{1,2}((.[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]+)?)?)?"
                  r"(.?(Z|([-+][0-9]{2}((:[0-9]{2})|[0-9]{2})?)))?)?)?)?")
HUGE = [2**31, -2**31, 2**53, -2**53 - 1, 2**62, 2**63 - 1, -2**63, 10**12, -10**15]
ODD = [float("nan"), float("inf"), float("-inf"), 9.969209968386869e36, -1e30, 1e300, 5e-324, -0.0, 1e-9]
# Two hundred and ninety thousand years: further away, 64 bits of microseconds end, and a date may be refused.
FAR = 280_000


def draw_date(draw: random.Random) -> tuple[str, str]:
    """A reference date as some file might spell it, and as everybody reads it."""
    year = draw.choice([draw.randrange(1800, 2100), draw.randrange(1, 2500), draw.randrange(-4712, 0), draw.choice([0, 1, 1582, 12345])])
    month, day = draw.randrange(1, 13), draw.choice([1, 1, draw.randrange(1, 29), draw.randrange(1, 29), draw.randrange(1, 32)])
    if draw.random() < 0.02:
        month = draw.choice([0, 13])
    hour, minute, second = draw.randrange(24), draw.randrange(60), draw.randrange(60)
    fraction = str(draw.randrange(10**draw.randrange(1, 8)))
    if int(float(f"0.{fraction}") * 1e6) != int(f"{fraction:0<6}"[:6]):
        fraction = "5"  # cftime loses a microsecond in the float that it multiplies, so that its answer is not the date's
    wide = draw.random() < 0.6
    two = (lambda number: f"{number:02}") if wide else str
    text = f"{'-' if year < 0 else ''}{abs(year):0{4 if wide else 1}}-{two(month)}-{two(day)}"
    meant = text
    kind = draw.randrange(7)
    if kind == 0:
        # A date without its day, which cftime does not take, is the first.
        return (draw.choice([text.rsplit("-", 1)[0], text]), text) if day == 1 else (text, text)
    separator = draw.choice([" ", " ", "T", "  " if draw.random() < 0.3 else " "])
    clock = [f"{two(hour)}", f"{two(hour)}:{two(minute)}", f"{two(hour)}:{two(minute)}:{two(second)}",
             f"{two(hour)}:{two(minute)}:{two(second)}.{fraction}"]
    if kind == 1 and draw.random() < 0.3:
        return text + separator + clock[0], f"{meant} {two(hour)}:00:00"
    if kind < 5:
        hands = draw.choice(clock[1:])
        text, meant = text + separator + hands, f"{meant} {hands}"
    else:
        hands = draw.choice(["0:0:0", "00:00:00", "00:00", "00:00:00.0", "23:59:59.999999", draw.choice(["24:00:00", "00:00:60"])])
        text, meant = text + separator + hands, f"{meant} {hands}"
    if draw.random() < 0.5:
        east, hours, minutes = draw.choice("+-"), draw.randrange(15), draw.choice([0, 0, 30, 45])
        plain = f"{east}{hours:02}:{minutes:02}"
        zones = {"Z": "+00:00", " Z": "+00:00", " UTC": "+00:00", " GMT": "+00:00", plain: plain, f" {plain}": plain,
                 f"{east}{hours:02}{minutes:02}": plain, f" {east}{hours:02}": f"{east}{hours:02}:00",
                 f" {east}{hours}": f"{east}{hours:02}:00", f" {east}{hours}:{minutes:02}": plain}
        zone = draw.choice(sorted(zones))
        text, meant = text + zone, f"{meant} {zones[zone]}"
    return text, meant


def draw_units(draw: random.Random, calendar: str) -> tuple[str, str, int]:
    """A `units` attribute, the same in plain words, and how many microseconds one is."""
    length = draw.choice(sorted(NAMES))
    name = draw.choice(NAMES[length])
    if draw.random() < 0.03 or calendar in LONG_IN and draw.random() < 0.3:
        name = draw.choice(LONG_IN.get(calendar) or sorted(LONG))
        length = LONG[name]
    if draw.random() < 0.02:
        name = draw.choice(UNKNOWN)
    if draw.random() < 0.1:
        name = draw.choice([name.upper(), name.capitalize()])
    spelled, meant = draw_date(draw)
    since = "since" if draw.random() < 0.95 else draw.choice(["Since", "SINCE", "since ", "from"])
    return f"{name} {since} {spelled}", f"{name} {since} {meant}", length


def rarely(draw: random.Random, values: list) -> list:
    """One of these in a case of eight: cftime counts far dates year by year, which takes long."""
    return [draw.choice(values)] if draw.random() < 1 / 8 else []


def draw_values(draw: random.Random, length: int) -> tuple[str, list]:
    """Stored values and their kind: integers, or floats of four or eight bytes."""
    near = lambda: draw.uniform(-10**5, 10**5) * 864 * 10**8 / length
    kind = draw.choice("iiffs")
    if kind == "i":
        values = [round(near()) for _ in range(3)] + [draw.randrange(-10, 400), *rarely(draw, HUGE)]
        return kind, [value for value in values if abs(value) < 2**63 or value == -2**63]
    values = [near(), round(near() * 8) / 8, float(round(near())), draw.uniform(-2, 2), draw.uniform(-4e5, 4e5),
              10 ** draw.uniform(-7, 12) * 10**6 / length * draw.choice([-1, 1]), *rarely(draw, ODD), *rarely(draw, HUGE)]
    return kind, [float(np.float32(value)) if kind == "s" else float(value) for value in values]


def dates_of(values: list, kind: str, units: str, calendar: str) -> list[str | None]:
    """What cftime reads, as ISO 8601; a number that is none has no date."""
    numbers = np.array(values, {"s": "f4", "f": "f8", "i": "i8"}[kind])
    finite = np.isfinite(numbers)
    try:
        dates = iter(cftime.num2date(numbers[finite], units, calendar=calendar))
        return [iso(next(dates)) if one else None for one in finite]
    except (ValueError, OverflowError, TypeError, KeyError):
        return [None] if len(values) == 1 else [one for value in values for one in dates_of([value], kind, units, calendar)]


def iso(date: cftime.datetime) -> str:
    """A date as ISO 8601, decimals only where they are."""
    fraction = f".{date.microsecond:06}" if date.microsecond else ""
    return (f"{'-' if date.year < 0 else ''}{abs(date.year):04}-{date.month:02}-{date.day:02}"
            f"T{date.hour:02}:{date.minute:02}:{date.second:02}{fraction}Z")


def sent(value: float, kind: str) -> int:
    """A value so that no reader of JSON rounds it: a float by its bits."""
    return value if kind == "i" else struct.unpack("<Q", struct.pack("<d", value))[0]


def case(draw: random.Random) -> dict:
    """One `units` attribute and what its values mean."""
    calendar = draw.choice(CALENDARS)
    units, meant, length = draw_units(draw, calendar)
    kind, values = draw_values(draw, length)
    spelled = units.split("ince ", 1)[-1].strip()
    match = READ.match(spelled)
    known = [" UTC", " GMT"]
    day = re.match(r"[+-]?[0-9]+-[0-9]+-[0-9]", spelled)
    whole = day is not None and match is not None and (match.end() == len(spelled) or spelled[match.end():] in known)
    dates = dates_of(values, kind, units if whole else meant, calendar)
    return dict(calendar=calendar, units=units, kind=kind, values=[sent(value, kind) for value in values], dates=dates,
                # Where cftime would skip part of the text, the plain words say what is meant, or it is refused.
                may_refuse=not whole, far=[bool(date) and abs(int(date[:-1].rsplit("T")[0].rsplit("-", 2)[0])) > FAR for date in dates])


def draw_series(draw: random.Random) -> dict:
    """Files of one calendar, each in an encoding of its own, whose times increase."""
    calendar = draw.choice(CALENDARS)
    parts = []
    for index in range(draw.randrange(2, 5)):
        names = [name for names in NAMES.values() for name in names] + (["months"] if calendar == "360_day" else [])
        name = draw.choice(names)
        length = LONG.get(name) or next(length for length, names in NAMES.items() if name in names)
        zone = draw.choice(["", "", " +01:30", "Z", " -0800"])
        date = f"{draw.randrange(1700, 2100):04}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}"
        clock = draw.choice(["", " 00:00:00", " 12:30:00", "T06:00:00.25"])
        units = f"{name} since {date}{clock}{zone if clock else ''}"
        first = index * 40_000 * 864 * 10**8 // length
        kind = draw.choice("iifs")
        steps = sorted(draw.randrange(0, 30_000 * 864 * 10**8 // length + 2) for _ in range(4))
        values = [first + step for step in steps]
        if kind != "i":
            cut = draw.choice([1, 2, 8, 24, 1000, None])
            values = [value + (draw.random() if cut is None else draw.randrange(cut) / cut) for value in values]
            values = [float(np.float32(value)) if kind == "s" else float(value) for value in values]
        parts.append(dict(units=units, kind=kind, values=values))
    return dict(calendar=calendar, parts=parts)


def differences(series: list[dict], joined: list[dict | None]) -> list[str]:
    """Where joined values say another date than the files."""
    found = []
    for one, ours in zip(series, joined, strict=True):
        want = [date for part in one["parts"] for date in dates_of(part["values"], part["kind"], part["units"], one["calendar"])]
        if ours is None:
            continue
        values = [struct.unpack("<d", struct.pack("<Q", value))[0] if ours["kind"] == "f" else value for value in ours["values"]]
        got = dates_of(values, ours["kind"], ours["units"], one["calendar"])
        if got != want:
            found.append(f"{one}: {ours['units']} {values[:8]}: {got} for {want}")
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(seed)
    cases = [case(draw) for _ in range(count)]
    series = [draw_series(draw) for _ in range(count // 8)]
    shown = [dict(calendar=one["calendar"], parts=[
        part | dict(values=[sent(value, part["kind"]) for value in part["values"]]) for part in one["parts"]]) for one in series]
    print(json.dumps(dict(cases=cases, series=shown, version=cftime.__version__)), flush=True)
    print(json.dumps(differences(series, json.loads(sys.stdin.readline()))), flush=True)


if __name__ == "__main__":
    main()
