"""Runs queries over the app's log lines: what kql_parser.py reads.

`null` is None and equals nothing; a `dynamic` is what json.loads gives.
"""

import json
import math
import re
from datetime import datetime

from kql_parser import KqlError, Parser


def text(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, separators=(",", ":")) if isinstance(value, (dict, list)) else str(value)


def whole(value):
    try:
        return None if value in (None, "") or isinstance(value, (dict, list)) else int(float(value))
    except ValueError:
        return None


def parsed(value):
    try:
        return json.loads(value)
    except ValueError:
        return value


def floor(value, step):
    if isinstance(value, datetime):
        return datetime.fromtimestamp(value.timestamp() // step.total_seconds() * step.total_seconds(), value.tzinfo)
    return None if value is None else value // step * step


def extracted(pattern, group, value):
    found = re.search(pattern, value or "")
    return found.group(group) if found else ""


FUNCTIONS = {
    "parse_json": parsed,
    "tostring": text,
    "tolong": whole,
    "todouble": lambda value: None if value is None else float(value),
    "coalesce": lambda *values: next((value for value in values if value not in (None, "")), values[-1]),
    "isnotempty": lambda value: value not in (None, ""),
    "isempty": lambda value: value in (None, ""),
    "strcat": lambda *values: "".join(map(text, values)),
    "iff": lambda condition, yes, no: yes if condition else no,
    "bin": floor,
    "extract": extracted,
    "round": lambda value, digits=0: None if value is None else round(value, digits),
}
COMPARE = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "has": lambda a, b: re.search(rf"(?<![A-Za-z0-9]){re.escape(b)}(?![A-Za-z0-9])", a, re.IGNORECASE) is not None,
    "contains": lambda a, b: b.lower() in a.lower(),
    "startswith": lambda a, b: a.lower().startswith(b.lower()),
    "endswith": lambda a, b: a.lower().endswith(b.lower()),
}


def math_of(sign, a, b):
    if sign == "/":
        if b == 0:
            return None
        return a // b if isinstance(a, int) and isinstance(b, int) else a / b
    return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b}[sign]()


class Run:
    """One query over tables by name, at a time."""

    def __init__(self, tables, now):
        self.tables, self.now = dict(tables), now

    def table(self, pipeline):
        source, steps = pipeline
        for name in source:
            if name not in self.tables:
                raise KqlError(f"there is no table {name}")
        rows = [row for name in source for row in self.tables[name]]
        for name, what in steps:
            rows = getattr(self, f"run_{name}")(rows, what)
        return rows

    def run_where(self, rows, condition):
        return [row for at, row in enumerate(rows) if self.value(condition, row, rows, at) is True]

    def run_extend(self, rows, columns):
        made = [dict(row) for row in rows]
        for at, row in enumerate(made):
            row.update({name: self.value(node, rows[at], rows, at) for name, node in columns})
        return made

    def run_project(self, rows, columns):
        return [{name: self.value(node, row, rows, at) for name, node in columns} for at, row in enumerate(rows)]

    def run_order(self, rows, columns):
        for node, direction in reversed(columns):
            rows = sorted(rows, key=lambda row: Sortable(self.value(node, row)), reverse=direction == "desc")
        return rows

    def run_take(self, rows, count):
        return rows[:count]

    def run_top(self, rows, what):
        return self.run_order(rows, what[1])[: what[0]]

    def run_render(self, rows, how):
        return rows

    def run_summarize(self, rows, what):
        made, by = what
        groups = {} if by else {(): rows}
        for row in rows if by else ():
            groups.setdefault(tuple(self.value(node, row) for _, node in by), []).append(row)
        found = []
        for key, members in groups.items():
            one = dict(zip((name for name, _ in by), key, strict=True))
            for name, (_, function, arguments) in made:
                one.update(self.aggregate(name, function, arguments, members))
            found.append(one)
        return found

    def aggregate(self, name, function, arguments, rows):
        if function in ("arg_max", "arg_min"):
            return self.extreme(function, arguments, rows)
        values = [self.value(arguments[0], row) for row in rows] if arguments else []
        there = [value for value in values if value not in (None, "")]
        match function:
            case "count":
                found = len(rows)
            case "countif":
                found = sum(value is True for value in values)
            case "dcount":
                found = len(set(there))
            case "sum":
                found = sum(there)
            case "max" | "min":
                found = {"max": max, "min": min}[function](there, default=None)
            case "avg":
                found = sum(there) / len(there) if there else None
            case "percentile":
                rank = math.ceil(self.value(arguments[1], {}) / 100 * len(there))
                found = sorted(there)[max(rank, 1) - 1] if there else None
            case "take_anyif":
                found = next((value for value, row in zip(values, rows, strict=True) if self.value(arguments[1], row)), None)
            case _:
                raise KqlError(f"no aggregate that is known here: {function}")
        return {name: found}

    def extreme(self, function, arguments, rows):
        key, *kept = arguments
        rows = [row for row in rows if self.value(key, row) is not None]
        best = {"arg_max": max, "arg_min": min}[function](rows, key=lambda row: self.value(key, row))
        return {node[1]: self.value(node, best) for node in (key, *kept)}

    def value(self, node, row, rows=(), at=0):
        kind, *rest = node
        match kind:
            case "value":
                return rest[0]
            case "array":
                return [self.value(one, row, rows, at) for one in rest[0]]
            case "name":
                if rest[0] not in row:
                    raise KqlError(f"there is no column {rest[0]}")
                return row[rest[0]]
            case "or" | "and":
                left, right = (self.value(one, row, rows, at) is True for one in rest)
                return left or right if kind == "or" else left and right
            case "member":
                of, key = (self.value(one, row, rows, at) for one in rest)
                return of.get(key) if isinstance(of, dict) else None
            case "compare" | "math":
                left, right = (self.value(one, row, rows, at) for one in rest[1:])
                if left is None or right is None:
                    return None
                return COMPARE[rest[0]](left, right) if kind == "compare" else math_of(rest[0], left, right)
        return self.called(*rest, row, rows, at)

    def called(self, name, arguments, row, rows, at):
        if name in ("prev", "next"):
            near = at + (1 if name == "next" else -1)
            return self.value(arguments[0], rows[near], rows, near) if 0 <= near < len(rows) else None
        values = [self.value(one, row, rows, at) for one in arguments]
        if name in ("now", "ago"):
            return self.now - values[0] if values else self.now
        if name not in FUNCTIONS:
            raise KqlError(f"no function that is known here: {name}")
        return FUNCTIONS[name](*values)


class Sortable:
    """Null comes first, as in Kusto's ascending order."""

    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        return other.value is not None and (self.value is None or self.value < other.value)


def run(query, tables, now):
    """The rows that a query gives."""
    lets, pipeline = Parser(query).query()
    found = Run(tables, now)
    for name, part in lets:
        found.tables[name] = found.table(part)
    return found.table(pipeline)
