"""Bicep's functions, as far as the templates call them, and values that come later.

Each is given the template that calls it, and then its arguments.
"""

import hashlib
import json
import uuid

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"


class Later(str):
    """Text that is known when Azure has made something."""


def members(value):
    """Every value in a value."""
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from members(part)


def is_late(value):
    return any(isinstance(part, Later) for part in members(value))


def text_of(template, value):
    text = json.dumps(value) if isinstance(value, (dict, list, bool)) else str(value)
    return Later(text) if is_late(value) else text


def kept(make):
    """A function whose result comes later if an argument does."""
    return lambda template, *arguments: (Later if is_late(list(arguments)) else str)(make(*arguments))


def id_in(group, kind, names):
    provider, *types = kind.split("/")
    parts = "/".join(f"{one}/{name}" for one, name in zip(types, names, strict=True))
    return f"{SUBSCRIPTION}/resourceGroups/{group}/providers/{provider}/{parts}"


def resource_id(template, *arguments):
    """`resourceId([group,] type, names…)`: the type is the first that has a slash."""
    group, rest = (template.group, arguments) if "/" in arguments[0] else (arguments[0], arguments[1:])
    return id_in(group, rest[0], rest[1:])


def beside(template, name):
    return template.repository.read(f"{template.path.rpartition('/')[0]}/{name}")


def group_of(template, name=None):
    name = name or template.group
    return {"id": f"{SUBSCRIPTION}/resourceGroups/{name}", "name": name, "location": "westeurope"}


def short_hash(*parts):
    digest = hashlib.sha256("|".join(parts).encode()).digest()
    return "".join("abcdefghijklmnopqrstuvwxyz234567"[byte % 32] for byte in digest[:13])


FUNCTIONS = {
    "resourceGroup": group_of,
    "subscription": lambda template: {"id": SUBSCRIPTION, "tenantId": "00000000-0000-0000-0000-00000000000f"},
    "environment": lambda template: {"suffixes": {"storage": "core.windows.net"}},
    "uniqueString": lambda template, *parts: short_hash(*parts),
    "guid": kept(lambda *parts: str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join(parts)))),
    "resourceId": resource_id,
    "subscriptionResourceId": lambda template, kind, name: f"{SUBSCRIPTION}/providers/{kind}/{name}",
    "loadTextContent": beside,
    "loadJsonContent": lambda template, name: json.loads(beside(template, name)),
    "string": text_of,
    "replace": kept(lambda text, old, new: text.replace(old, new)),
    "join": kept(lambda items, between: between.join(items)),
    "take": kept(lambda text, count: text[:count]),
    "toLower": kept(lambda text: text.lower()),
    "empty": lambda template, value: not value,
    "length": lambda template, value: len(value),
    "min": lambda template, *values: min(values),
    "startsWith": lambda template, text, start: text.lower().startswith(start.lower()),
    "union": lambda template, *objects: {name: value for one in objects for name, value in one.items()},
}
