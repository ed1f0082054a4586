"""Works out what a template deploys: every module and resource with its values, as far as they are known before a deployment.

What only Azure knows (an address, the id of an identity) is text that begins with a mark, `Later`; the compiler wants none of it
in a name, a scope, a condition or a loop, and neither does this. Names that are not declared, parameters that a module lacks or
does not have, values outside of what is allowed, and what nobody uses are errors.
"""

from dataclasses import dataclass

from bicep import BicepError, Declaration, parse
from functions import FUNCTIONS, SUBSCRIPTION, Later, is_late

GROUP = "landfall"


@dataclass
class Resource:
    """A resource that is deployed, or one that exists (`existing`)."""

    type: str
    version: str
    name: str
    id: str
    body: dict
    existing: bool

    def get(self, name):
        """A member, as a template sees it."""
        known = {"id": self.id, "name": self.name, "type": self.type, "apiVersion": self.version}
        return known.get(name) or Later(f"later:{self.name}.{name}")


class Outputs(dict):
    """What a module gives out; all of it comes later."""


TYPES = {"string": str, "int": int, "bool": bool, "array": list, "object": dict}


def names(node):
    """Every name that a node of a file mentions, also where the value is not worked out."""
    if isinstance(node, Declaration):
        node = (node.value, list(node.decorators.values()))
    elif isinstance(node, tuple) and node[:1] == ("name",):
        yield node[1]
    for part in node if isinstance(node, (tuple, list)) else ():
        yield from names(part)


def known_by_then(value):
    if isinstance(value, dict):
        return {name: known_by_then(part) for name, part in value.items()}
    return [known_by_then(part) for part in value] if isinstance(value, list) else str(value) if isinstance(value, Later) else value


class Template:
    """One file with its parameters."""

    def __init__(self, repository, path, parameters, group=GROUP):
        self.repository, self.path, self.group = repository, path, group
        self.resources = []
        self.settings, declarations = parse(repository.read(path))
        given_out = [one for one in declarations if one.kind == "output"]
        self.declared = {one.name: one for one in declarations if one.kind != "output"}
        self.local, self.known, self.begun = {}, {}, set()
        if len(self.declared) + len(given_out) < len(declarations):
            raise self.error("a name is declared twice")
        self.take_parameters(parameters)
        self.outputs = Outputs()
        for name, one in self.declared.items():
            if one.kind in ("resource", "module"):
                self.named(name)
        for one in given_out:
            self.outputs[one.name] = self.checked(one, self.value(one.value))
        used = {name for one in declarations for name in names(one)}
        if unused := {name for name, one in self.declared.items() if one.kind in ("param", "var")} - used:
            raise self.error(f"nothing uses {', '.join(sorted(unused))}")

    def error(self, message, line=None):
        at = f"{self.path}:{line}" if line else self.path
        return BicepError(f"{at}: {message}")

    # Parameters.

    def take_parameters(self, given):
        wanted = {name for name, one in self.declared.items() if one.kind == "param"}
        if strange := set(given) - wanted:
            raise self.error(f"has no parameter {', '.join(sorted(strange))}")
        for name in wanted:
            one = self.declared[name]
            if name not in given and one.value is None:
                raise self.error(f"parameter {name} is not given", one.line)
            if name in given:
                self.known[name] = self.checked(one, given[name])

    def checked(self, one, value):
        kind, of = one.type
        if kind == "fields":
            if not isinstance(value, dict) or set(value) != set(of):
                raise self.error(f"{one.name} has the fields {', '.join(of)}", one.line)
            for name, (inner, choices) in of.items():
                if inner == "choice" and value[name] not in choices:
                    raise self.error(f"{one.name}.{name} is one of {choices}", one.line)
        elif not isinstance(value, TYPES[of]) or (of == "int" and isinstance(value, bool)):
            raise self.error(f"{one.name} is {value!r}, not a value of type {of}", one.line)
        self.within(one, value)
        return value

    def within(self, one, value):
        limit = {name: [self.value(argument) for argument in given] for name, given in one.decorators.items()}
        size = value if isinstance(value, int) else len(value)
        low = limit.get("minValue", limit.get("minLength", [size]))[0]
        high = limit.get("maxValue", limit.get("maxLength", [size]))[0]
        if not low <= size <= high or value not in limit.get("allowed", [[value]])[0]:
            raise self.error(f"{one.name} may not be {value!r}", one.line)

    # Names.

    def named(self, name, line=None):
        if name in self.local:
            return self.local[name]
        one = self.declared.get(name)
        if one is None:
            raise self.error(f"{name} is not declared", line)
        if name in self.begun:
            raise self.error(f"{name} is made of itself", one.line)
        if name not in self.known:
            self.begun.add(name)
            match one.kind:
                case "resource":
                    self.known[name] = self.resource_of(one, None)
                case "module":
                    self.known[name] = self.module_of(one)
                case "param":
                    self.known[name] = self.checked(one, self.value(one.value))
                case _:
                    self.known[name] = self.value(one.value)
            self.begun.discard(name)
        return self.known[name]

    def early(self, value, what, one):
        if is_late(value):
            raise self.error(f"{what} of {one.name} has to be known before the deployment", one.line)
        return value

    def each(self, one, make):
        """A resource or module as often as its loop says; none where its condition is false."""
        body = one.value
        if body[0] == "for":
            _, item, array, body = body
            made = []
            for value in self.early(self.value(array), "the loop", one):
                outer, self.local = self.local, {**self.local, item: value}
                made.append(make(body))
                self.local = outer
            return made
        if body[0] == "if":
            _, condition, body = body
            if not self.early(self.value(condition), "the condition", one):
                return None
        return make(body)

    # Resources.

    def resource_of(self, one, parent):
        full, _, version = one.type.partition("@")
        if parent is not None and not version:
            full, version = f"{parent.type}/{full}", parent.version
        if not version:
            raise self.error(f"{one.name} has no version", one.line)
        return self.each(one, lambda body: self.resource(one, full, version, body, parent))

    def resource(self, one, full, version, body, parent):
        fields = {self.value(key): value for key, value in body[1]}
        special = {name: fields.pop(name) for name in ("name", "parent", "scope", "dependsOn") if name in fields}
        if "name" not in special:
            raise self.error(f"{one.name} has no name", one.line)
        name = self.early(self.value(special["name"]), "the name", one)
        above = self.value(special["parent"]) if "parent" in special else parent
        if above is not None and full.rpartition("/")[0] != above.type:
            raise self.error(f"{one.name} is no part of {above.type}", one.line)
        scope = self.value(special["scope"]) if "scope" in special else None
        for dependency in special.get("dependsOn", ("array", []))[1]:
            self.value(dependency)
        resource = Resource(full, version, name, self.id_of(full, name, above, scope), {}, one.existing)
        resource.body = {name: self.value(value) for name, value in fields.items()}
        self.resources.append(resource)
        for inner in body[2]:
            self.local = {**self.local, inner.name: (found := self.resource_of(inner, resource))}
            resource.__dict__.setdefault("nested", {})[inner.name] = found
        return resource

    def id_of(self, full, name, parent, scope):
        if parent is not None:
            return f"{parent.id}/{full.rpartition('/')[2]}/{name}"
        below = scope.id if isinstance(scope, Resource) else f"{SUBSCRIPTION}/resourceGroups/{self.group}"
        provider, *types = full.split("/")
        names = name.split("/")
        if len(types) != len(names):
            raise self.error(f"{full} has {len(types)} names, not {name}")
        return f"{below}/providers/{provider}/" + "/".join(f"{kind}/{part}" for kind, part in zip(types, names, strict=True))

    # Modules.

    def module_of(self, one):
        return self.each(one, lambda body: self.module(one, body))

    def module(self, one, body):
        fields = {self.value(key): value for key, value in body[1]}
        if not {"name", "params"} <= set(fields) <= {"name", "params", "scope", "dependsOn"}:
            raise self.error(f"{one.name} is to have a name and params", one.line)
        self.early(self.value(fields["name"]), "the name", one)
        group = self.early(self.value(fields["scope"])["name"], "the scope", one) if "scope" in fields else self.group
        path = f"{self.path.rpartition('/')[0]}/{one.type}"
        # A module is deployed when its parameters are known.
        module = Template(self.repository, path, known_by_then(self.value(fields["params"])), group)
        self.resources += module.resources
        return module

    # Values.

    def value(self, node):
        kind, *rest = node
        return getattr(self, f"value_{kind}")(*rest)

    def value_value(self, value):
        return value

    def value_text(self, parts):
        made = [part if isinstance(part, str) else self.value(part) for part in parts]
        text = "".join(str(part) for part in made)
        return Later(text) if is_late(made) else text

    def value_array(self, items):
        return [self.value(item) for item in items]

    def value_object(self, fields, nested):
        if nested:
            raise self.error("resources stand in resources alone")
        return {self.value(key): self.value(value) for key, value in fields}

    def value_for(self, item, array, body):
        made = []
        for value in self.value(array):
            outer, self.local = self.local, {**self.local, item: value}
            made.append(self.value(body))
            self.local = outer
        return made

    def value_name(self, name, line):
        return self.named(name, line)

    def value_member(self, of, name):
        found = self.value(of)
        if isinstance(found, Template):
            if name != "outputs":
                raise self.error(f"a module has outputs, not {name}")
            return found.outputs
        if isinstance(found, Resource):
            return found.get(name)
        if isinstance(found, Outputs):
            if name not in found:
                raise self.error(f"the module has no output {name}")
            value = found[name]
            return Later(value) if isinstance(value, str) else value
        if isinstance(found, Later):
            return Later(f"{found}.{name}")
        if not isinstance(found, dict) or name not in found:
            raise self.error(f"there is no {name} in {found!r}")
        return found[name]

    def value_nested(self, of, name):
        resource = self.value(of)
        if name not in getattr(resource, "nested", {}):
            raise self.error(f"there is no resource {name} in {resource.name}")
        return resource.nested[name]

    def value_index(self, of, at):
        found, key = self.value(of), self.value(at)
        if isinstance(found, dict) and key not in found:
            raise self.error(f"there is no {key!r} among {', '.join(found)}")
        return found[key]

    def value_choose(self, condition, yes, no):
        return self.value(yes if self.value(condition) else no)

    def value_unary(self, sign, of):
        return not self.value(of) if sign == "!" else -self.value(of)

    def value_binary(self, sign, left, right):
        left, right = self.value(left), self.value(right)
        signs = {
            "==": lambda: left == right, "!=": lambda: left != right, "&&": lambda: left and right, "||": lambda: left or right,
            "<": lambda: left < right, "<=": lambda: left <= right, ">": lambda: left > right, ">=": lambda: left >= right,
            "+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right, "/": lambda: left // right,
            "%": lambda: left % right, "??": lambda: right if left is None else left,
        }  # fmt: skip
        return signs[sign]()

    def value_call(self, of, name, arguments):
        if of is not None or name not in FUNCTIONS:
            raise self.error(f"{name} is no function that is known here")
        return FUNCTIONS[name](self, *(self.value(argument) for argument in arguments))


def parameters_of(repository, path):
    """The template that a `.bicepparam` is for, and what it says."""
    settings, declarations = parse(repository.read(path))
    if "using" not in settings or any(one.kind != "param" for one in declarations):
        raise BicepError(f"{path}: is to have `using` and parameters")
    reader = object.__new__(Template)
    reader.repository, reader.path, reader.local, reader.known, reader.declared = repository, path, {}, {}, {}
    values = {one.name: reader.value(one.value) for one in declarations}
    return f"{path.rpartition('/')[0]}/{settings['using']}", values


def expand(repository, path, group=GROUP):
    """The template of a `.bicepparam`, worked out."""
    template, parameters = parameters_of(repository, path)
    return Template(repository, template, parameters, group)
