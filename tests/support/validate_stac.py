"""Validates STAC documents offline: `validate_stac.py SCHEMAS FILE...`.

SCHEMAS is a folder with a schema of every extension that the documents declare: one file each, any name, recognised by
its `$id`, and those of the storage platforms below it. The schemas of STAC itself come with pystac. A schema that a
document needs and that is not there is an error, never skipped.

Prints a line of JSON for each file: its name, the schemas that it was checked against, and what they refuse.
"""

import json
import pathlib
import sys

import pystac.validation
from pystac.validation.stac_validator import JsonSchemaSTACValidator

# Declared by the projection extension for a value that our items never hold.
UNUSED = ("https://proj.org/schemas/v0.7/projjson.schema.json",)


def load(folder):
    """The schemas of a folder by their identifier."""
    found = {}
    for file in sorted(pathlib.Path(folder).rglob("*.json")):
        schema = json.loads(file.read_text())
        schema["$id"] = schema["$id"].rstrip("#")
        found[schema["$id"]] = schema
    for address in UNUSED:
        found[address] = {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$id": address,
            "type": "object",
            "required": ["$schema"],
        }
    return found


def check(document, schemas):
    """What a document was checked against, and what is wrong with it."""
    declared = document.get("stac_extensions", [])
    missing = sorted(set(declared) - set(schemas))
    if missing:
        return [], f"no schema for {', '.join(missing)}"
    try:
        checked = pystac.validation.validate_dict(document)
    except pystac.errors.STACValidationError as error:
        where = [f"{'/'.join(map(str, part.absolute_path))}: {part.message[:300]}" for part in leaves(error.source)]
        return [], f"{error} {where}"
    unchecked = sorted(set(declared) - set(checked))
    return checked, f"not checked: {', '.join(unchecked)}" if unchecked else None


def leaves(errors):
    """The innermost of what a schema with alternatives refuses."""
    for error in errors if isinstance(errors, list) else [errors]:
        if getattr(error, "context", None):
            yield from leaves(error.context)
        elif hasattr(error, "absolute_path"):
            yield error


def main(folder, files):
    """Fails if a schema refuses anything."""
    schemas = load(folder)
    validator = JsonSchemaSTACValidator()
    validator.schema_cache.update(schemas)
    pystac.validation.set_validator(validator)
    failed = False
    for file in files:
        checked, error = check(json.loads(pathlib.Path(file).read_text()), schemas)
        print(json.dumps({"file": pathlib.Path(file).name, "checked": checked, "error": error}))
        failed |= error is not None
    sys.exit(failed)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
