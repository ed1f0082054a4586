"""Draws small series of NetCDF files at random: encodings of time, storage, contents, and where one file differs.

`draw_series(folder, seed)` writes the files and tells how to combine them, for `check_series.py`. What a series may be
refused for stands in its `excuses`; without one it has to be joined.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path

import cftime
import netCDF4
import numpy as np

ALIASES = [["standard", "gregorian"], ["proleptic_gregorian"], ["noleap", "365_day"], ["all_leap", "366_day"], ["360_day"], ["julian"]]
UNITS = {"days": 864 * 10**8, "hours": 36 * 10**8, "minutes": 6 * 10**7, "seconds": 10**6, "milliseconds": 10**3, "microseconds": 1}
EPOCHS = [("1850-1-1", 0), ("1850-01-01T00:00:00Z", 0), ("2000-01-01 00:00:00 +02:00", -120), ("1999-12-30 23:30:00", 0),
          ("1-1-1", 0), ("1970-01-01 00:00:00.5", 0), ("2001-06-01 12:00", 0)]
FORMS = ["NETCDF4", "NETCDF4", "NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]
LENGTHS = {"lat": 3, "lon": 4, "lev": 2, "station": 3}
SHAPES = [("time", "lat", "lon"), ("time", "lat", "lon"), ("time",), ("lat", "time"), ("time", "lev", "lat", "lon"), ("station", "time")]
# What one file can do otherwise than the others; `True` where it may be refused for it.
CHANGES = {"missing": True, "scale": True, "fill": True, "type": True, "units": True, "chunks": True, "shuffle": True, "order": True,
           "lat": True, "lat_little": True, "overlap": True, "duplicate": True, "masked_time": True, "unsorted": True, "calendar": True,
           "still": False, "scalar": True, "wide_integer": True, "extra": True, "group": True, "bool": True, "bounds_name": True,
           "bounds_missing": True, "unsigned": True, "missing_value": True, "still_time": True, "characters": True, "time_fill": True,
           "packed_time": True, "gap": False, "empty": False, "big_endian": True, "zlib_level": False, "group_time": True}


@dataclass
class Variable:
    """A variable of the series."""
    name: str
    dims: tuple[str, ...]
    kind: str
    storage: dict
    attributes: dict
    masks: bool = False
    sparse: bool = False


@dataclass
class Plan:
    """What all files of a series share."""
    draw: random.Random
    calendars: list[str]
    form: str
    unlimited: bool
    dim: str
    variables: list[Variable]
    bounds: str | None
    features: set[str]
    varied: bool
    changes: dict[str, int] = field(default_factory=dict)
    excuses: list[str] = field(default_factory=list)

    def changed(self, what: str, index: int) -> bool:
        """Whether this file is the one that differs so."""
        return self.changes.get(what) == index

    @property
    def is_netcdf4(self) -> bool:
        """Whether groups, strings and unsigned integers are there."""
        return self.form == "NETCDF4"


def draw_plan(draw: random.Random) -> Plan:
    """A series without its files."""
    form = draw.choice(FORMS)
    unlimited = draw.random() < 0.6
    kinds = ["f4", "f8", "i2", "i4", "i1"] + (["u1", "u2", "i8", "u8"] if form == "NETCDF4" else [])
    features = {name for name, share in [
        ("reftime", 0.3), ("leadtime", 0.2), ("station_time", 0.15), ("labels", 0.3), ("crossed_labels", 0.2), ("characters", 0.2), ("height", 0.3),
        ("navigation", 0.2), ("orography", 0.3), ("crs", 0.2), ("groups", 0.3), ("own_group", 0.2), ("wide_integer", 0.2), ("still_time", 0.15),
        ("lat_bnds", 0.2), ("level", 0.2), ("sided_bounds", 0.05)] if draw.random() < share}
    plan = Plan(draw, draw.choice(ALIASES), form, unlimited, "time" if draw.random() < 0.85 else "record", [],
                draw.choice([None, "bounds", "bounds", "climatology"]), features, draw.random() < 0.6)
    if form != "NETCDF4":
        plan.features -= {"groups", "own_group", "labels", "crossed_labels", "wide_integer"}
    for index in range(draw.randrange(1, 4)):
        plan.variables.append(draw_variable(draw, f"v{index}", draw.choice(kinds), plan))
    return plan


def draw_variable(draw: random.Random, name: str, kind: str, plan: Plan) -> Variable:
    """A variable along the series and how it is stored."""
    dims = draw.choice(SHAPES)
    if not plan.is_netcdf4 and plan.unlimited and dims[0] != "time":
        dims = ("time", "lat")  # the classic model has it first
    attributes = {"units": "K", "long_name": f"variable {name}"}
    storage: dict = {}
    if kind[0] in "iu" and draw.random() < 0.4:
        attributes |= dict(scale_factor=draw.choice([0.01, 2.0, np.float32(0.5)]), add_offset=draw.choice([0.0, 273.15, -5.0]))
    fills = draw.random() < 0.5
    storage["fill_value"] = {"f": draw.choice([1e20, -999.0, np.nan]), "i": -100, "u": 200}[kind[0]] if fills else False
    if draw.random() < 0.2:
        attributes["missing_value"] = np.array(99, kind)
    if plan.form.startswith("NETCDF4"):
        if plan.unlimited or draw.random() < 0.7:
            chunk = draw.choice([1, 1, 1, 2, 3, 4])
            sizes = tuple(chunk if dim == "time" else draw.choice([LENGTHS[dim], LENGTHS[dim], 2]) for dim in dims)
            storage["chunksizes"] = sizes
            if draw.random() < 0.7:
                storage |= dict(zlib=True, complevel=draw.randrange(1, 10), shuffle=draw.random() < 0.6)
            storage["fletcher32"] = draw.random() < 0.2
        else:
            storage["contiguous"] = True
        storage["endian"] = draw.choice(["native", "native", "native", "big"])
    sparse = draw.random() < 0.15
    if sparse and not fills:
        # Without any fill value, what was never written is whatever stood in memory.
        storage["fill_value"] = None
    return Variable(name, dims, kind, storage, attributes, masks=fills and draw.random() < 0.6, sparse=sparse)


def draw_series(folder: Path, seed: str) -> dict:
    """Writes the files of a series; how to combine them and what it may be refused for."""
    draw = random.Random(seed)
    plan = draw_plan(draw)
    count = draw.randrange(2, 6)
    lengths = draw_lengths(draw, count)
    for _ in range(draw.choice([0, 0, 0, 1, 1, 1, 2])):
        change = draw.choice(sorted(CHANGES))
        plan.changes[change] = draw.randrange(count)
        if CHANGES[change]:
            plan.excuses.append(change)
    if (index := plan.changes.get("empty")) is not None and plan.unlimited:
        lengths[index] = 0  # a fixed dimension has a length
    merges = len(plan.variables) > 1 and draw.random() < 0.2
    options = draw_options(plan, merges)
    files, start, total = [], draw.randrange(0, 10**5) * 36 * 10**8, sum(lengths)
    steps = draw_steps(draw, total, plan.changes.get("gap"), lengths)
    for group in ([[variable] for variable in plan.variables] if merges else [plan.variables]):
        cuts = lengths if not merges or draw.random() < 0.6 else [total]
        plan.excuses += excuses(group, cuts, plan)
        at = 0
        for index, length in enumerate(cuts):
            name = f"{draw.choice('abcxyz')}{len(files)}.nc"
            write(folder / name, plan, index, start + steps[at:at + length], at, group)
            files.append(name)
            at += length
    draw.shuffle(files)
    return dict(files=files, options=options, excuses=plan.excuses, dim=plan.dim, form=plan.form, changes=plan.changes,
                without=options[options.index("--drop-variables") + 1].split(",") if "--drop-variables" in options else [],
                references=draw.random() < 0.25, features=sorted(plan.features))


def draw_lengths(draw: random.Random, count: int) -> list[int]:
    """Steps of each file: the same in all, in all but the last, or any."""
    length = draw.randrange(1, 7)
    lengths = [length] * count
    kind = draw.choice(["equal", "equal", "last", "last", "any"])
    if kind == "last":
        lengths[-1] = draw.randrange(1, 9)
    return [draw.randrange(1, 7) for _ in lengths] if kind == "any" else lengths


def draw_steps(draw: random.Random, count: int, gap: int | None, lengths: list[int]) -> np.ndarray:
    """Microseconds from the first step to each."""
    step = draw.choice([864 * 10**8, 216 * 10**8, 36 * 10**8, 30 * 864 * 10**8, 28_800_000_001, 10**6, 123_456_789])
    steps = np.arange(count, dtype="i8") * step
    if gap is not None:
        steps[sum(lengths[:gap]):] += 10 * step
    return steps


def draw_options(plan: Plan, merges: bool) -> list[str]:
    """Options of the command."""
    draw, options = plan.draw, []
    if plan.dim != "time":
        options += ["--concat-dim", plan.dim]
    if merges:
        options += ["--merge-variables"]
        plan.excuses.append("merge")
    if draw.random() < 0.3:
        options += ["--missing", "fill"]
    if draw.random() < 0.2:
        options += ["--coord-tolerance", "1e-6"]
    if draw.random() < 0.3:
        options += ["--inline-max-bytes", draw.choice(["0", "20", "200"])]
        # Two-dimensional times are not read then, so that they cannot be re-expressed.
        plan.excuses += ["inline"] * ("station_time" in plan.features and plan.varied)
        # Strings have no other place, so that a file without room for them lacks them.
        plan.excuses += ["inline"] * bool({"labels", "crossed_labels"} & plan.features)
    if draw.random() < 0.1 and len(plan.variables) > 1:
        options += ["--drop-variables", draw.choice(plan.variables).name]
    return options


def excuses(variables: list[Variable], lengths: list[int], plan: Plan) -> list[str]:
    """Chunks that do not fit the lengths of the files, which only uncompressed data can be cut to."""
    found = []
    last = max((at for at, length in enumerate(lengths) if length), default=0)
    for variable in variables:
        chunk = dict(zip(variable.dims, variable.storage.get("chunksizes", ()))).get("time", 1)
        if any(length % chunk for length in lengths[:last]):
            found.append("ragged")
        if not variable.storage.get("chunksizes") and variable.dims[0] != "time":
            found.append("contiguous")
    return found


# --- writing -------------------------------------------------------------------------------------


def write(path: Path, plan: Plan, index: int, steps: np.ndarray, at: int, variables: list[Variable]) -> None:
    """One file: `steps` are microseconds since 1990, `at` is where the first stands in the series."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw, n = plan.draw, len(steps)
    form = plan.form
    if plan.changed("overlap", index) and n:
        steps = steps - 3 * (steps[1] - steps[0] if n > 1 else 10**6)
    if plan.changed("duplicate", index) and n > 1:
        steps = np.concatenate([steps[:1], steps[:-1]])
    if plan.changed("unsorted", index):
        steps = steps[::-1]
    with netCDF4.Dataset(path, "w", format=form) as ds:
        ds.set_auto_maskandscale(False)
        ds.createDimension(plan.dim, None if plan.unlimited else n)
        for dim, length in [*LENGTHS.items(), ("bnds", 2), ("characters", 5 + plan.changed("characters", index))]:
            ds.createDimension(dim, length)
        ds.setncatts(dict(title="a series", history=f"written {index}", tracking_id=f"id {draw.random()}"))
        if draw.random() < 0.5:
            ds.setncatts(dict(institution="one", level=draw.choice([1, 1, 2])))
        write_times(ds, plan, index, steps)
        write_coordinates(ds, plan, index)
        for variable in variables:
            if not (plan.changed("missing", index) and variable is variables[0]):
                write_variable(ds, plan, index, variable, at, n)
        if plan.changed("extra", index):
            extra = Variable("extra", ("time",), "f4", dict(fill_value=draw.choice([False, -1.0])), {})
            write_variable(ds, plan, index, extra, at, n)
        write_features(ds, plan, index, at, n, steps)


def encoding(plan: Plan, index: int, steps: np.ndarray, salt: str) -> tuple[str, str]:
    """Units and type of a time in one file: the same in all, or of its own."""
    draw = random.Random(f"{salt}{index if plan.varied else 0}{plan.form}{sorted(plan.features)}{plan.calendars}")
    epoch, _ = draw.choice(EPOCHS)
    unit = draw.choice(list(UNITS))
    kind = draw.choice(["f8", "f8", "i4", "i8", "f4"])
    if plan.calendars == ["360_day"] and draw.random() < 0.2:
        unit, kind = "months", "f8"
    if kind == "i8" and not (plan.is_netcdf4 or plan.form == "NETCDF3_64BIT_DATA"):
        kind = "i4"
    return f"{unit} since {epoch}", kind


def stamp(ds: netCDF4.Dataset, plan: Plan, index: int, name: str, dims: tuple, steps: np.ndarray, salt: str, *, own: bool = True,
          fill: object = False) -> netCDF4.Variable:
    """A variable of times; `own` when it has units and calendar of its own."""
    units, kind = encoding(plan, index, steps, salt)
    calendar = plan.draw.choice(plan.calendars)
    if plan.changed("calendar", index):
        calendar = "julian" if calendar != "julian" else "standard"
    dates = cftime.num2date(steps, "microseconds since 1990-01-01", calendar=calendar)
    if units.startswith("months"):
        values = cftime.date2num(dates, units.replace("months", "microseconds"), calendar) / (30 * UNITS["days"]) if len(steps) else np.zeros(steps.shape)
    else:
        values = cftime.date2num(dates, units, calendar) if len(steps) else np.zeros(steps.shape)
    if kind[0] == "i":
        # Whole numbers of a unit that is short enough to tell all steps.
        for unit, _ in [] if not len(steps) else list(UNITS.items())[list(UNITS).index(units.split()[0]):]:
            units = f"{unit} since {units.split(' since ')[1]}"
            values = cftime.date2num(dates, units, calendar)
            if np.all(values == np.floor(values)):
                break
        if len(steps) and np.abs(values).max() > 2**31 - 2:
            kind = "i8" if plan.is_netcdf4 else "f8"
    if kind == "f4" and np.any(values.astype("f4") != values):
        kind = "f8"
    variable = ds.createVariable(name, kind, dims, fill_value=fill)
    if len(steps):
        variable[:] = values.astype(kind)
    if own:
        variable.units = units
        if calendar not in ("standard", "gregorian") or plan.draw.random() < 0.7:
            variable.calendar = calendar
    return variable


def write_times(ds: netCDF4.Dataset, plan: Plan, index: int, steps: np.ndarray) -> None:
    """The concat coordinate and its bounds."""
    fill = -999 if plan.changed("time_fill", index) or plan.changed("masked_time", index) else False
    time = stamp(ds, plan, index, "time", (plan.dim,), steps, "time", fill=fill)
    time.standard_name, time.axis = "time", "T"
    if plan.changed("masked_time", index) and len(steps):
        time[0] = -999
    if plan.changed("packed_time", index):
        time.scale_factor = 2.0
    if plan.bounds and not plan.changed("bounds_missing", index):
        if not plan.changed("bounds_name", index):
            time.setncattr(plan.bounds, "time_bnds")
        step = steps[1] - steps[0] if len(steps) > 1 else 10**6
        edges = np.stack([steps - step // 2, steps + (step - step // 2)], axis=1)
        own = "sided_bounds" in plan.features
        # Bounds count as their time does, unless they say otherwise.
        stamp(ds, plan, index, "time_bnds", (plan.dim, "bnds"), edges, "bounds" if own else "time", own=own)
        if not own:
            match_bounds(ds, edges)


def match_bounds(ds: netCDF4.Dataset, edges: np.ndarray) -> None:
    """Bounds in the units of their time: rounded where it counts in whole numbers."""
    time, bounds = ds["time"], ds["time_bnds"]
    if not edges.size:
        return
    unit = time.units.split()[0]
    length = UNITS.get(unit) or 30 * UNITS["days"]
    calendar = getattr(time, "calendar", "standard")
    dates = cftime.num2date(edges, "microseconds since 1990-01-01", calendar=calendar)
    values = cftime.date2num(dates, time.units.replace(unit, "microseconds"), calendar) / length
    if bounds.dtype.kind == "i":
        values = np.floor(values)
    bounds[:] = np.clip(values, -2**31 + 1, 2**31 - 1) if bounds.dtype == "i4" else values


def write_coordinates(ds: netCDF4.Dataset, plan: Plan, index: int) -> None:
    """Latitudes and longitudes, the same in all files unless this one differs."""
    shift = plan.changed("lat", index) * 1.0 + plan.changed("lat_little", index) * 1e-9
    for name, values, units in [("lat", np.arange(3) * 10.0 + shift, "degrees_north"), ("lon", np.arange(4) * 90.0, "degrees_east")]:
        variable = ds.createVariable(name, "f8", (name,), fill_value=False)
        variable[:], variable.units = values, units
    if "lat_bnds" in plan.features:
        ds["lat"].bounds = "lat_bnds"
        ds.createVariable("lat_bnds", "f8", ("lat", "bnds"), fill_value=False)[:] = ds["lat"][:][:, None] + [-5, 5]
    if "level" in plan.features:
        variable = ds.createVariable("lev", "i4", ("lev",), fill_value=False)
        variable[:], variable.units, variable.positive = [1000, 500], "hPa", "down"


def changed_variable(plan: Plan, index: int, variable: Variable) -> Variable:
    """The variable as this file has it."""
    storage, attributes, kind, dims = dict(variable.storage), dict(variable.attributes), variable.kind, variable.dims
    if plan.changed("scale", index):
        attributes["scale_factor"] = 0.125
    if plan.changed("fill", index):
        storage["fill_value"] = 50 if storage["fill_value"] is False else False
    if plan.changed("type", index):
        kind = {"f4": "f8", "i2": "i4"}.get(kind, "f4")
    if plan.changed("units", index):
        attributes["units"] = "degC"
    if plan.changed("missing_value", index):
        attributes["missing_value"] = np.array(7, kind)
    if plan.changed("unsigned", index):
        attributes["_Unsigned"] = "true"
    if plan.changed("bool", index):
        attributes["dtype"] = "bool"
    if plan.changed("order", index) and plan.is_netcdf4:
        dims = dims[::-1]
        storage.pop("chunksizes", None)
    if plan.changed("chunks", index) and "chunksizes" in storage:
        storage["chunksizes"] = tuple(size + 1 if dim == "time" else size for dim, size in zip(dims, storage["chunksizes"], strict=True))
    if plan.changed("shuffle", index) and "chunksizes" in storage:
        storage["shuffle"] = not storage.get("shuffle")
    if plan.changed("big_endian", index) and plan.is_netcdf4:
        storage["endian"] = "big"
    if plan.changed("zlib_level", index) and storage.get("zlib"):
        storage["complevel"] = storage["complevel"] % 9 + 1
    return Variable(variable.name, dims, kind, storage, attributes, variable.masks, variable.sparse)


def write_variable(ds: netCDF4.Dataset, plan: Plan, index: int, variable: Variable, at: int, n: int) -> None:
    """A variable along the series with values that tell its steps apart."""
    variable = changed_variable(plan, index, variable)
    storage = dict(variable.storage)
    if not plan.form.startswith("NETCDF4"):
        storage = {"fill_value": storage["fill_value"]}
    if not plan.unlimited and "chunksizes" in storage:
        sizes = zip(variable.dims, storage["chunksizes"], strict=True)
        storage["chunksizes"] = tuple(min(size, max(n, 1)) if dim == "time" else size for dim, size in sizes)
        plan.excuses += ["cut"] * any(dim == "time" and size > 1 for dim, size in zip(variable.dims, variable.storage["chunksizes"]))
    dims = tuple(plan.dim if dim == "time" else dim for dim in variable.dims)
    target = ds.createVariable(variable.name, variable.kind, dims, **storage)
    target.set_auto_maskandscale(False)
    target.setncatts(variable.attributes)
    target.comment = plan.draw.choice(["same", "same", f"file {index}"])
    if plan.draw.random() < 0.3:
        target.source_file = f"file {index}"
    shape = tuple(n if dim == "time" else LENGTHS[dim] for dim in variable.dims)
    values = np.random.default_rng(at * 7 + ord(variable.name[-1])).integers(0, 120, shape)
    if variable.masks and storage["fill_value"] is not False and values.size:
        values = values.astype(variable.kind)
        values.flat[:: 5] = storage["fill_value"]
    if variable.sparse and n > 1 and variable.dims[0] == "time":
        # The last steps first, so that some chunks may never be written.
        target[n - 1:] = values[n - 1:]
    elif n:
        target[:] = values.astype(variable.kind)


def write_features(ds: netCDF4.Dataset, plan: Plan, index: int, at: int, n: int, steps: np.ndarray) -> None:
    """What else there is beside the variables."""
    has, dim = plan.features.__contains__, plan.dim
    if has("reftime"):
        stamp(ds, plan, index, "reftime", (dim,), steps - 864 * 10**8, "reftime").standard_name = "forecast_reference_time"
    if has("station_time"):
        stamp(ds, plan, index, "station_time", (dim, "station"), steps[:, None] + np.arange(3) * 10**6, "station_time")
    if has("leadtime"):
        variable = ds.createVariable("leadtime", "i4", (dim,), fill_value=False)
        variable[:], variable.units = np.arange(n) + at, "hours"
    if has("labels"):
        variable = ds.createVariable("label", str, (dim,))
        for step in range(n):
            variable[step] = f"step {at + step} °"
    if has("crossed_labels"):
        variable = ds.createVariable("crossed", str, ("station", dim))
        for station in range(3):
            for step in range(n):
                variable[station, step] = f"{station} at {at + step}"
    if has("characters"):
        length = len(ds.dimensions["characters"])
        variable = ds.createVariable("characters_of", "S1", (dim, "characters"))
        if n:
            variable[:] = np.array([list(f"{at + step:0{length}}") for step in range(n)], "S1")
    if has("height"):
        variable = ds.createVariable("height", "f8", fill_value=False)
        variable[...] = 2.0 + 8 * plan.changed("scalar", index)
        variable.units = "m"
        for other in ds.variables.values():
            if len(other.dimensions) > 2:
                other.coordinates = "height"
    if has("navigation"):
        for name, units in [("nav_lat", "degrees_north"), ("nav_lon", "degrees_east")]:
            variable = ds.createVariable(name, "f4", ("lat", "lon"), fill_value=False)
            variable[:], variable.units = np.arange(12).reshape(3, 4) + plan.changed("lat", index), units
    if has("orography"):
        ds.createVariable("orog", "f4", ("lat", "lon"), fill_value=False)[:] = np.arange(12).reshape(3, 4) + plan.changed("still", index)
    if has("crs"):
        ds.createVariable("crs", "i4", fill_value=False)[...] = plan.changed("still", index)
        ds["crs"].grid_mapping_name = "latitude_longitude"
    if has("wide_integer"):
        variable = ds.createVariable("station", "i8", ("station",), fill_value=False)
        variable[:] = np.array([2**60, 2**60 + 1, 2**60 + 2]) + 5 * plan.changed("wide_integer", index)
    if has("still_time"):
        base = np.array(0, "i8")
        variable = ds.createVariable("analysis", "f8", fill_value=False)
        variable[...] = float(base) + 3 * plan.changed("still_time", index)
        variable.units = "days since 1990-01-01"
    write_groups(ds, plan, index, at, n, steps)


def write_groups(ds: netCDF4.Dataset, plan: Plan, index: int, at: int, n: int, steps: np.ndarray) -> None:
    """A group that takes its parent's time, and one with a time of its own."""
    if plan.changed("group", index):
        return
    options = dict(fill_value=-1.0, chunksizes=(1,)) if plan.unlimited else dict(fill_value=-1.0)
    if "groups" in plan.features:
        inner = ds.createGroup("inherits").createGroup("inner")
        inner.title = "inner"
        inner.tracking_id = f"{index}"
        inner.createVariable("wind", "f4", (plan.dim,), **options)[:] = np.arange(n) + at
        if plan.changed("group_time", index):
            stamp(inner, plan, index, "time", (plan.dim,), steps + 10**9, "inner")
    if "own_group" in plan.features:
        group = ds.createGroup("own")
        group.createDimension(plan.dim, None if plan.unlimited else n * 2)
        times = np.sort(np.concatenate([steps, steps + 10**5])) if n else steps
        time = stamp(group, plan, index, "time", (plan.dim,), times, "own")
        time.standard_name = "time"
        group.createVariable("gust", "f4", (plan.dim,), **options)[:] = np.arange(2 * n) + 2 * at
