"""Writes cf_cases.csv: what cftime says about stored times. Run: python make_cf_cases.py > cf_cases.csv

Columns, separated by `|`:
  decode|calendar|units|i or f|value|date, or `error`
  encode|calendar|units of the value|value|other units|the value in them
"""

import random
import warnings

import cftime
import numpy as np

warnings.simplefilter("ignore")
random.seed(1582)

CALENDARS = ["standard", "proleptic_gregorian", "noleap", "all_leap", "360_day", "julian"]
ALIASES = ["gregorian", "365_day", "366_day"]
UNITS = {"microseconds": 1, "msec": 1000, "seconds": 10**6, "min": 6 * 10**7, "hours": 36 * 10**8, "days": 864 * 10**8}
REFERENCES = ["1850-1-1", "0001-01-01 00:00:00", "1582-10-04T12:00:00Z", "-4712-01-01 06:30",
              "2000-02-29 23:59:59.999999", "1949-12-01 00:00:00 +01:30"]
EDGES = [0, 1, -1, 59, 60, 365, 366, 10_957, 577_736, -700_000]
FLOATS = [0.5, -0.5, 0.1, 1 / 3, 1.5, 2.5, 31.999_999_999, 100_000.123_456_789, 0.999_999_1, 1.000_000_9, -712_345.678_9]
FORMS = ["1850-1-1", "1850-01-01T00:00:00Z", "1850-01-01 00:00:0.0", "0001-01-01 00:00:00", "-5-01-01", "-0005-01-01",
         "+1850-01-01", "1850-01-01 00:00:00 +01:00", "1850-01-01 00:00:00 UTC", "1850-01-01 00:00 GMT",
         "1850-01-01 12:00", "1850-01-01  00:00:00", "1850-01-01 00:00:00.5", "1850-01-01 00:00:00.1234567",
         "1850-01-01 00:00:60", "1850-01-01 24:00:00", "1850-13-01", "1850-02-30", "1850-02-29", "0000-01-01",
         "1850-01-01 00:00:00+0100", "1850-01-01 00:00:00 -0330", "1850-01-01 00:00:00-03:30", "12345-01-01",
         "1582-10-10", "1582-10-15", "1582-10-04", "1850-01-01t00:00:00Z", "1850-1-1 0:0:0", "1850-01-01 00:00:00 +14"]
NAMES = ["microsecond", "microsec", "microsecs", "milliseconds", "millisec", "ms", "s", "sec", "secs", "second", "minute",
         "minutes", "mins", "h", "hr", "hrs", "hour", "d", "day", "DAYS", "us", "ns", "week", "weeks", "decades",
         "months", "month", "common_years", "common_year"]


def iso(value, units, calendar):
    try:
        date = cftime.num2date(value, units, calendar=calendar)
    except (ValueError, OverflowError):
        return "error"
    sign = "-" if date.year < 0 else ""
    fraction = f".{date.microsecond:06}" if date.microsecond else ""
    return (f"{sign}{abs(date.year):04}-{date.month:02}-{date.day:02}"
            f"T{date.hour:02}:{date.minute:02}:{date.second:02}{fraction}Z")


def decode(calendar, units, kind, value):
    print("decode", calendar, units, kind, repr(value), iso(value, units, calendar), sep="|")


def encode(calendar, units, value, other):
    date = cftime.num2date(value, units, calendar=calendar)
    print("encode", calendar, units, repr(value), other, repr(float(cftime.date2num(date, other))), sep="|")


print(f"# cftime {cftime.__version__}")
for calendar in CALENDARS:
    for form in FORMS:
        decode(calendar, f"days since {form}", "i", 0)
    for name in NAMES:
        decode(calendar, f"{name} since 1850-01-01", "i", 7)
    for unit, length in UNITS.items():
        for reference in REFERENCES:
            units = f"{unit} since {reference}"
            for days in random.sample(EDGES, 2):
                decode(calendar, units, "i", days * 864 * 10**8 // length)
            for value in random.sample(FLOATS, 1):
                decode(calendar, units, "f", value)
            single = np.float32(random.uniform(-10**5, 10**5))
            print("decode", calendar, units, "f", repr(float(single)), iso(single, units, calendar), sep="|")
            decode(calendar, units, "f", random.uniform(-10**6, 10**6) * 864 * 10**8 / length)
    for _ in range(40):
        (unit, length), (other, other_length) = random.sample(sorted(UNITS.items()), 2)
        days = random.choice([random.randrange(-10**4, 10**5), random.randrange(10**5) / 8, random.uniform(0, 10**4)])
        encode(calendar, f"{unit} since 1900-01-01", days * 864 * 10**8 / length, f"{other} since 1850-01-01")
for calendar in ALIASES:
    for value in EDGES:
        decode(calendar, "days since 1850-01-01", "i", value)
