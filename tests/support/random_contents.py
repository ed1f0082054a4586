"""Names, values, attributes and fill values drawn at random, for files of any format."""

import random
from collections.abc import Iterator

import numpy as np

NUMBERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
CLASSIC = ["i1", "i2", "i4", "f4", "f8"]
NAMES = ["a", "b", "A", "temp", "lat", "time", "é", "e\u0301", "日本", "a b", "x.y", "0", "1a", "0.0", "_x", "a-b", "a+b", "v@w", "c", "zarr.json", "a'b",
         'a"b', "a#b", "a?b", "%20", "a:b", "[a]", "{a}", "a,b", "a;b", "~v3", "name_that_is_longer_than_thirty_two_bytes_by_far"]
TEXTS = ["", "K", "text", " padded ", "é µ 日本", "a\nb\t\"c\"\\", "days since 2000-01-01", "hours since 1900-01-01 00:00:0.0", "x" * 300, "NaN", "base64:AAAA",
         "{{a}}", "\U0001f30d"]
# Names that readers give a meaning, with what may stand under them.
MEANINGFUL = {
    "units": ["K", "degrees_north", "days since 2000-01-01", "hours since 1970-01-01", "seconds", "days", ""],
    "calendar": ["standard", "noleap", "360_day"], "standard_name": ["time", "latitude"], "axis": ["X", "T"],
    "_Unsigned": ["true", "false"], "cell_methods": ["time: mean"], "positive": ["up"]}


def draw_name(draw: random.Random, taken: set[str]) -> str:
    """A name that is not taken."""
    while True:
        name = draw.choice(NAMES) if draw.random() < 0.7 else f"{draw.choice('abcvwxyz')}{draw.randrange(100)}"
        if name not in taken:
            taken.add(name)
            return name


def draw_values(draw: random.Random, dtype: np.dtype, shape: tuple[int, ...], special: list) -> np.ndarray:
    """Numbers of every kind: random bits, small ones, and the special ones of this variable among them."""
    dtype = np.dtype(dtype)
    generator = np.random.default_rng(draw.getrandbits(32))
    count = int(np.prod(shape))
    kind = draw.choice(["bits", "small", "small", "smooth"])
    if kind == "bits":
        values = np.frombuffer(generator.bytes(count * dtype.itemsize), dtype).copy()
    elif kind == "small":
        values = generator.integers(0, 100, count).astype(dtype)
    else:
        values = (np.arange(count) // 3 % 120).astype(dtype)
    with np.errstate(all="ignore"):
        for value in [*special, *([-0.0, np.nan, np.inf, -np.inf] if dtype.kind == "f" else [0])]:
            if count and draw.random() < 0.5:
                values[draw.randrange(count)] = np.asarray(value).astype(dtype)
    return values.reshape(shape)


def draw_number(draw: random.Random, dtype: str) -> np.generic:
    """One number that a fill value may be."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        number = draw.choice([0.0, -0.0, np.nan, np.inf, -np.inf, 1e20, -999.0, -9999.9, 0.1, 9.969209968386869e36, 1.0])
        with np.errstate(all="ignore"):
            return dtype.type(number)
    limits = np.iinfo(dtype)
    return dtype.type(draw.choice([0, 1, limits.min, limits.max, limits.max - 1, 99, 5]))


def draw_fills(draw: random.Random, dtype: str, fill: object) -> Iterator[tuple[str, object]]:
    """Attributes that govern decoding: `_FillValue` (equal to the fill value or not), `missing_value`, packing.

    Packing is of doubles: JSON forgets other types of numbers, and with them the type that xarray decodes to.
    """
    filled = draw.random() < 0.4
    if filled:
        yield "_FillValue", np.asarray(fill, dtype)[()] if fill is not None and draw.random() < 0.5 else draw_number(draw, dtype)
    if draw.random() < 0.15:
        other = np.dtype(draw.choice([dtype, dtype, "f8", "i4"])).type
        many = draw.random() < 0.2
        # Beside a fill value an infinite one can be said by nothing in JSON.
        numbers = [number for number in (draw_number(draw, other) for _ in range(3)) if not (filled and np.isinf(number))] or [other(7)]
        yield "missing_value", np.array(numbers, other) if many else numbers[0]
    if draw.random() < 0.2:
        yield "scale_factor", draw.choice([0.5, 0.01, 2.0, np.array([0.1])])
    if draw.random() < 0.15:
        yield "add_offset", draw.choice([273.15, -5.0, 0.0])


def draw_attributes(draw: random.Random, dtypes: list[str]) -> Iterator[tuple[str, object]]:
    """Attributes that every format has: text and numbers."""
    taken: set[str] = set()
    for _ in range(draw.choice([0, 0, 1, 2, 3, 12 if draw.random() < 0.3 else 4])):
        if draw.random() < 0.3:
            name = draw.choice(sorted(MEANINGFUL))
            value = draw.choice(MEANINGFUL[name])
            if name not in taken:
                taken.add(name)
                yield name, value
            continue
        yield draw_name(draw, taken), draw_attribute(draw, dtypes)


def draw_attribute(draw: random.Random, dtypes: list[str]) -> object:
    """A value of an attribute."""
    if draw.random() < 0.4:
        return draw.choice(TEXTS)
    dtype = np.dtype(draw.choice(dtypes))
    count = draw.choice([None, None, 1, 2, 5, 40])
    values = draw_values(draw, dtype, (1 if count is None else count,), [])
    return values[0] if count is None else values
