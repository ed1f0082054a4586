"""Validates a STAC item offline: `validate_item.py ITEM.json SCHEMAS`.

SCHEMAS is a folder with the published schemas of the extensions that the item declares: one file each, any name,
recognised by its `$id`, and those of the storage platforms below it in `platforms/`. The schemas of STAC itself
come with pystac. A schema that the item needs and that is not there is an error, never skipped.
"""

import json
import pathlib
import sys

import pystac.validation
from pystac.validation.stac_validator import JsonSchemaSTACValidator

# Declared by the projection and datacube extensions for values that our items never hold.
UNUSED = ("https://proj.org/schemas/v0.7/projjson.schema.json",)


def load(folder):
    """The schemas of a folder by their identifier."""
    found = {}
    for file in sorted(pathlib.Path(folder).rglob("*.json")):
        schema = json.loads(file.read_text())
        schema["$id"] = schema["$id"].rstrip("#")
        found[schema["$id"]] = schema
    return found


def main(item_file, schema_folder):
    """Exits with the first thing that a schema refuses."""
    item = json.loads(pathlib.Path(item_file).read_text())
    schemas = load(schema_folder)
    missing = sorted(set(item["stac_extensions"]) - set(schemas))
    if missing:
        sys.exit(f"no schema for {', '.join(missing)} in {schema_folder}")
    validator = JsonSchemaSTACValidator()
    validator.schema_cache.update(schemas)
    for address in UNUSED:
        validator.schema_cache[address] = {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$id": address,
            "type": "object",
            "required": ["$schema"],
        }
    pystac.validation.set_validator(validator)
    checked = pystac.validation.validate_dict(item)
    print("\n".join(checked))
    if not set(item["stac_extensions"]) <= set(checked):
        sys.exit("not every declared extension was checked")


if __name__ == "__main__":
    main(*sys.argv[1:])
