"""Reads Bicep: the part of the language that the templates beside this folder are written in, and refuses the rest by line.

There is no Bicep compiler where this runs. What is read here is a subset of what the compiler reads, so that what it accepts the
compiler accepts, as far as syntax goes. Nodes are tuples that begin with their kind.
"""

from dataclasses import dataclass, field

from bicep_tokens import BicepError, Hole, tokens


@dataclass
class Declaration:
    """A `param`, `var`, `output`, `resource` or `module`."""

    kind: str
    name: str
    line: int
    type: object = None
    value: object = None
    existing: bool = False
    decorators: dict = field(default_factory=dict)


PRECEDENCE = [["??"], ["||"], ["&&"], ["==", "!="], ["<", "<=", ">", ">="], ["+", "-"], ["*", "/", "%"]]


class Parser:
    """Reads one file, or one expression of an interpolation."""

    def __init__(self, text, line=1):
        self.tokens = list(tokens(text, line))
        self.at = 0

    @property
    def line(self):
        return self.tokens[self.at][2]

    def peek(self, value, kind=None):
        found = self.tokens[self.at]
        return found[1] == value and found[0] != "string" and kind in (None, found[0])

    def take(self, value):
        if not self.peek(value):
            raise BicepError(f"line {self.line}: {value!r} expected, found {self.tokens[self.at][1]!r}")
        self.at += 1

    def skip(self, value):
        if self.peek(value):
            self.at += 1
            return True
        return False

    def blank(self):
        while self.skip("\n"):
            pass

    def name(self):
        kind, value, line = self.tokens[self.at]
        if kind != "name":
            raise BicepError(f"line {line}: a name expected, found {value!r}")
        self.at += 1
        return value

    def text(self):
        kind, parts, line = self.tokens[self.at]
        if kind != "string" or len(parts) != 1:
            raise BicepError(f"line {line}: a plain string expected")
        self.at += 1
        return parts[0]

    # Files.

    def file(self):
        declarations, settings, decorators = [], {}, {}
        self.blank()
        while not self.peek("", "end"):
            if self.skip("@"):
                decorators.update(self.decorator())
            elif self.tokens[self.at][1] in ("targetScope", "using"):
                word = self.name()
                self.skip("=")
                settings[word] = self.text()
            else:
                declaration = self.declaration()
                declaration.decorators, decorators = decorators, {}
                declarations.append(declaration)
            self.take("\n")
            self.blank()
        return settings, declarations

    def decorator(self):
        name = self.name()
        self.take("(")
        arguments = self.arguments()
        return {name: arguments}

    def declaration(self):
        line, kind = self.line, self.name()
        if kind not in ("param", "var", "output", "resource", "module"):
            raise BicepError(f"line {line}: no declaration begins with {kind!r}")
        found = Declaration(kind, self.name(), line)
        if kind in ("resource", "module"):
            found.type = self.text()
            found.existing = self.skip("existing")
        elif kind in ("param", "output") and not self.peek("="):
            found.type = self.type()
        if self.skip("="):
            found.value = self.body()
        elif kind != "param":
            raise BicepError(f"line {line}: {found.name} has no value")
        return found

    def body(self):
        """A value, or a resource's: `if (…) {…}`, `[for … : {…}]`, `{…}` with resources in it."""
        if self.peek("if", "name"):
            self.at += 1
            self.take("(")
            condition = self.expression()
            self.take(")")
            return ("if", condition, self.object())
        return self.expression()

    def type(self):
        if self.skip("{"):
            fields = {}
            self.blank()
            while not self.skip("}"):
                name = self.name()
                self.take(":")
                fields[name] = self.type()
                self.take("\n")
                self.blank()
            return ("fields", fields)
        if self.tokens[self.at][0] == "string":
            choices = [self.text()]
            while self.skip("|"):
                choices.append(self.text())
            return ("choice", choices)
        return ("type", self.name())

    # Expressions.

    def whole_expression(self):
        found = self.expression()
        self.blank()
        if not self.peek("", "end"):
            raise BicepError(f"line {self.line}: {self.tokens[self.at][1]!r} is too much")
        return found

    def expression(self):
        condition = self.binary(0)
        if not self.skip("?"):
            return condition
        self.blank()
        yes = self.expression()
        self.blank()
        self.take(":")
        self.blank()
        return ("choose", condition, yes, self.expression())

    def binary(self, level):
        if level == len(PRECEDENCE):
            return self.unary()
        left = self.binary(level + 1)
        while self.tokens[self.at][0] == "op" and self.tokens[self.at][1] in PRECEDENCE[level]:
            sign = self.tokens[self.at][1]
            self.at += 1
            left = ("binary", sign, left, self.binary(level + 1))
        return left

    def unary(self):
        for sign in "!-":
            if self.skip(sign):
                return ("unary", sign, self.unary())
        return self.accessed(self.primary())

    def accessed(self, found):
        while True:
            if self.skip("."):
                name = self.name()
                found = ("call", found, name, self.arguments()) if self.skip("(") else ("member", found, name)
            elif self.skip("::"):
                found = ("nested", found, self.name())
            elif self.skip("["):
                found = ("index", found, self.expression())
                self.take("]")
            else:
                return found

    def arguments(self):
        found = []
        self.blank()
        while not self.skip(")"):
            found.append(self.expression())
            self.blank()
            if not self.peek(")"):
                self.take(",")
                self.blank()
        return found

    def primary(self):
        kind, value, line = self.tokens[self.at]
        if kind == "op" and value in "{[":
            return self.object() if value == "{" else self.array()
        self.at += 1
        if kind == "string":
            return self.filled(value)
        if kind == "number":
            return ("value", int(value))
        if kind == "name":
            if value in ("true", "false", "null"):
                return ("value", {"true": True, "false": False, "null": None}[value])
            return ("call", None, value, self.arguments()) if self.skip("(") else ("name", value, line)
        if value == "(":
            found = self.expression()
            self.take(")")
            return found
        raise BicepError(f"line {line}: an expression expected, found {value!r}")

    def filled(self, parts):
        """A string with its holes read."""
        return ("text", [Parser(*part).whole_expression() if isinstance(part, Hole) else part for part in parts])

    def array(self):
        self.take("[")
        if self.peek("for", "name"):
            return self.loop()
        items = []
        self.blank()
        while not self.skip("]"):
            items.append(self.expression())
            if not self.peek("]"):
                self.skip(",") or self.take("\n")
                self.blank()
        return ("array", items)

    def loop(self):
        self.take("for")
        item = self.name()
        self.take("in")
        array = self.expression()
        self.take(":")
        body = self.body()
        self.take("]")
        return ("for", item, array, body)

    def object(self):
        """An object; resources may stand in that of a resource."""
        self.take("{")
        fields, nested = [], []
        self.blank()
        while not self.skip("}"):
            if self.peek("resource", "name") and self.tokens[self.at + 1][0] == "name":
                nested.append(self.declaration())
            else:
                kind, key, _ = self.tokens[self.at]
                self.at += 1
                self.take(":")
                fields.append((self.filled(key if kind == "string" else [key]), self.body()))
            if not self.peek("}"):
                self.skip(",") or self.take("\n")
                self.blank()
        return ("object", fields, nested)


def parse(text):
    """Settings (`targetScope`, `using`) and declarations of a file."""
    return Parser(text).file()
