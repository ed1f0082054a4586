"""Reads queries in the part of Kusto's language that the alerts and the workbook are written in, and refuses the rest.

Nodes are tuples that begin with their kind. Whether a query is Kusto at all is for Kusto's own parser to say (kusto.js).
"""

import re
from datetime import timedelta

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
