"""Runs queries in the part of Kusto's language that the alerts and the workbook are written in, and refuses the rest.

Whether a query is Kusto at all is for Kusto's own parser to say (kusto.js); this says what it finds among the app's log lines.
`null` is None and equals nothing; a `dynamic` is what json.loads gives.
"""

import json
import math
import re
from datetime import datetime, timedelta

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)|(?P<span>\d+(?:ms|[dhms])(?![A-Za-z0-9_]))|(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<verbatim>@"[^"]*"|@'[^']*')|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<op>==|!=|=~|<=|>=|[-|;,.()\[\]=<>+*/%])"""
)
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
WORDS = ("in", "has", "contains", "startswith", "endswith")


class KqlError(Exception):
    """What cannot be read or run."""


def tokens(text):
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            raise KqlError(f"cannot read {text[at : at + 20]!r}")
        at = found.end()
        if found.lastgroup != "space":
            yield found.lastgroup, found.group()
    yield "end", ""


class Parser:
    """Reads a query into `(lets, pipeline)`; a pipeline is a source and its operators."""

    def __init__(self, text):
        self.tokens, self.at = list(tokens(text)), 0

    def peek(self, *values):
        kind, value = self.tokens[self.at]
        return kind not in ("string", "verbatim") and value in values

    def skip(self, *values):
        if self.peek(*values):
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def take(self, *values):
        found = self.skip(*values)
        if found is None:
            raise KqlError(f"{' or '.join(values)} expected, found {self.tokens[self.at][1]!r}")
        return found

    def name(self):
        kind, value = self.tokens[self.at]
        if kind != "name":
            raise KqlError(f"a name expected, found {value!r}")
        self.at += 1
        return value

    def query(self):
        lets = []
        while self.skip("let"):
            name = self.name()
            self.take("=")
            lets.append((name, self.pipeline()))
            self.take(";")
        found = self.pipeline()
        self.skip(";")
        if self.tokens[self.at][0] != "end":
            raise KqlError(f"{self.tokens[self.at][1]!r} is too much")
        return lets, found

    def pipeline(self):
        source = self.listed(self.name) if self.skip("union") else [self.name()]
        steps = []
        while self.skip("|"):
            name = self.name()
            steps.append((name, getattr(self, f"of_{name}", self.strange)()))
        return source, steps

    def strange(self):
        raise KqlError(f"no operator that is known here: {self.tokens[self.at - 1][1]}")

    def listed(self, one):
        found = [one()]
        while self.skip(","):
            found.append(one())
        return found

    def column(self):
        """`name = expression`, or an expression under the name that Kusto gives it."""
        if self.tokens[self.at][0] == "name" and self.tokens[self.at + 1] == ("op", "="):
            name = self.name()
            self.take("=")
            return name, self.expression()
        found = self.expression()
        if found[0] == "call" and found[1] == "bin":
            return found[2][0][1], found
        return (found[1] if found[0] == "name" else f"{found[1]}_"), found

    def of_where(self):
        return self.expression()

    def of_extend(self):
        return self.listed(self.column)

    of_project = of_extend

    def of_summarize(self):
        made = [] if self.peek("by") else self.listed(self.column)
        return made, self.listed(self.column) if self.skip("by") else []

    def ordered(self):
        return self.expression(), (self.skip("asc", "desc") or "desc")

    def of_order(self):
        self.take("by")
        return self.listed(self.ordered)

    def of_take(self):
        self.at += 1
        return int(self.tokens[self.at - 1][1])

    def of_top(self):
        count = self.of_take()
        self.take("by")
        return count, [self.ordered()]

    def of_render(self):
        return self.name()

    # Expressions.

    def expression(self):
        found = self.both()
        while self.skip("or"):
            found = ("or", found, self.both())
        return found

    def both(self):
        found = self.compared()
        while self.skip("and"):
            found = ("and", found, self.compared())
        return found

    def compared(self):
        left = self.sum()
        sign = self.skip("==", "!=", "<", "<=", ">", ">=", *WORDS)
        if sign == "in":
            self.take("(")
            right = ("array", self.arguments())
            return ("compare", sign, left, right)
        return ("compare", sign, left, self.sum()) if sign else left

    def sum(self):
        found = self.product()
        while sign := self.skip("+", "-"):
            found = ("math", sign, found, self.product())
        return found

    def product(self):
        found = self.access()
        while sign := self.skip("*", "/"):
            found = ("math", sign, found, self.access())
        return found

    def access(self):
        found = self.primary()
        while True:
            if self.skip("."):
                found = ("member", found, ("value", self.name()))
            elif self.skip("["):
                found = ("member", found, self.expression())
                self.take("]")
            else:
                return found

    def arguments(self):
        if self.skip(")"):
            return []
        found = self.listed(self.expression)
        self.take(")")
        return found

    def primary(self):
        kind, value = self.tokens[self.at]
        self.at += 1
        match kind:
            case "name" if self.skip("("):
                return ("call", value, self.arguments())
            case "name":
                return ("value", value == "true") if value in ("true", "false") else ("name", value)
            case "span":
                number, unit = re.match(r"(\d+)(\w+)", value).groups()
                return ("value", timedelta(seconds=int(number) * UNITS[unit]))
            case "number":
                return ("value", float(value) if "." in value else int(value))
            case "string":
                return ("value", re.sub(r"\\(.)", r"\1", value[1:-1]))
            case "verbatim":
                return ("value", value[2:-1])
            case _ if value == "(":
                found = self.expression()
                self.take(")")
                return found
        raise KqlError(f"an expression expected, found {value!r}")


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
            one = dict(zip((name for name, _ in by), key))
            for name, (kind, function, arguments) in made:
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
                found = next((value for value, row in zip(values, rows) if self.value(arguments[1], row)), None)
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
