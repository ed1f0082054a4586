"""The words of Bicep: names, numbers, signs, ends of lines, and strings with holes in them."""

import re
from typing import NamedTuple


class BicepError(Exception):
    """What cannot be read or does not hold, and where."""


class Hole(NamedTuple):
    """What stands between `${` and `}` in a string."""

    text: str
    line: int


TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|//[^\n]*)|(?P<newline>\n)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>\d+)"""
    r"""|(?P<op>==|!=|<=|>=|&&|\|\||\?\?|=>|::|[{}\[\]().,:?!=<>+\-*/%|@])"""
)


def interpolated(text, at, line):
    """The parts of a string that begins behind its quote at `at`, and where it ends."""
    parts, plain = [], ""
    while True:
        if at >= len(text) or text[at] == "\n":
            raise BicepError(f"line {line}: a string without an end")
        if text[at] == "'":
            return [*parts, plain], at + 1
        if text.startswith("${", at):
            end = closing(text, at + 2, line)
            parts += [plain, Hole(text[at + 2 : end], line)]
            plain, at = "", end + 1
        elif text[at] == "\\":
            plain += {"n": "\n", "t": "\t", "'": "'", "\\": "\\", "$": "$"}[text[at + 1]]
            at += 2
        else:
            plain, at = plain + text[at], at + 1


def closing(text, at, line):
    """Where the brace that closes an interpolation is."""
    depth = 0
    while at < len(text):
        if text[at] == "'":
            _, at = interpolated(text, at + 1, line)
            continue
        if text[at] == "}" and depth == 0:
            return at
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    raise BicepError(f"line {line}: an interpolation without an end")


def tokens(text, line=1):
    """Kind, value and line of each token."""
    at = 0
    while at < len(text):
        if text[at] == "'":
            parts, at = interpolated(text, at + 1, line)
            yield "string", parts, line
            continue
        found = TOKEN.match(text, at)
        if not found:
            raise BicepError(f"line {line}: cannot read {text[at : at + 20]!r}")
        at, kind = found.end(), found.lastgroup
        if kind != "space":
            yield kind, found.group(), line
        line += kind == "newline"
    yield "newline", "\n", line
    yield "end", "", line
