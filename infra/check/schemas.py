"""Holds what the templates deploy against the schemas that Azure publishes: unknown properties, values and what is missing.

The schemas are not in this repository: `schemas.py FOLDER` wants a checkout of Azure/azure-resource-manager-schemas. What is known
only after a deployment is text, and is taken for any value.
"""

import json
import sys
from pathlib import Path

from deployment import DEPLOYED, deployed
from functions import Later
from repository import Repository


class Schemas:
    """The published schemas of a folder."""

    def __init__(self, folder):
        self.folder, self.documents = Path(folder) / "schemas", {}

    def of(self, kind, version):
        """The document and definition of a type of resource."""
        provider, _, name = kind.partition("/")
        for file in sorted((self.folder / version).glob(f"{provider}*.json")):
            document = self.documents.setdefault(file, json.loads(file.read_text()))
            for group in ("resourceDefinitions", "extension_resourceDefinitions", "unknown_resourceDefinitions"):
                if found := document.get(group, {}).get(name.replace("/", "_")):
                    return document, found
        return None, None


def faults(document, schema, value, at):
    """What does not fit."""
    if isinstance(value, (Later, type(None))) or (isinstance(value, str) and value.startswith("later:")):
        return []
    while reference := schema.get("$ref"):
        if not reference.startswith("#/definitions/"):
            return []
        schema = document["definitions"][reference.rpartition("/")[2]]
    choices = [one for one in schema.get("oneOf", schema.get("anyOf", [])) if "expression" not in one.get("$ref", "")]
    if choices:
        return min((faults(document, merged(document, schema, one), value, at) for one in choices), key=len)
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of {schema['enum']}"]
    if isinstance(value, dict) and "properties" in schema:
        return of_object(document, schema, value, at)
    if isinstance(value, list) and "items" in schema:
        return [fault for n, one in enumerate(value) for fault in faults(document, schema["items"], one, f"{at}[{n}]")]
    types = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
    wanted = types.get(schema.get("type"), object)
    if not isinstance(value, wanted) or (isinstance(value, bool) and schema.get("type") in ("integer", "number")):
        return [f"{at}: {value!r} is no {schema['type']}"]
    return []


def merged(document, schema, choice):
    """A choice of a schema, with what the schema itself says besides."""
    reference = choice.get("$ref", "")
    if reference.startswith("#/definitions/"):
        choice = document["definitions"][reference.rpartition("/")[2]]
    if "properties" not in schema:
        return choice
    required = [*schema.get("required", []), *choice.get("required", [])]
    return {**choice, "properties": {**schema["properties"], **choice.get("properties", {})}, "required": required}


def of_object(document, schema, value, at):
    found = [f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value]
    extra = schema.get("additionalProperties")
    for name, part in value.items():
        if name in schema["properties"]:
            found += faults(document, schema["properties"][name], part, f"{at}.{name}")
        elif not isinstance(extra, dict):
            found.append(f"{at}: there is no property {name}")
    return found


def check(repository, folder):
    schemas, found, seen = Schemas(folder), [], 0
    for name in DEPLOYED:
        for resource in deployed(repository, name).resources:
            if resource.existing:
                continue
            document, schema = schemas.of(resource.type, resource.version)
            if schema is None:
                found.append(f"{resource.type}@{resource.version}: there is no schema")
                continue
            body = {**resource.body, "type": resource.type, "apiVersion": resource.version, "name": resource.name}
            # Names and types of parts are written in full by the compiler.
            relaxed = {**schema, "properties": {**schema["properties"], "type": {}, "name": {}, "scope": {}, "tags": {}}}
            found += faults(document, relaxed, body, f"{resource.type} {resource.name}")
            seen += 1
    return seen, found


if __name__ == "__main__":
    seen, found = check(Repository(), sys.argv[1])
    print("\n".join(found) or f"{seen} resources fit the published schemas")
    sys.exit(bool(found))
