#!/usr/bin/env python3
"""Whether the tables of a Parquet reference say what its JSON document says, read with fsspec's default engine.

    check_tables.py DOCUMENT SET
"""

import base64
import json
import sys
from pathlib import Path

import fastparquet
import fsspec
import fsspec.implementations.reference as reference


def main(document: str, folder: str) -> int:
    refs = json.loads(Path(document).read_bytes())["refs"]
    chunks = {key: value for key, value in refs.items() if not Path(key).name.startswith(".")}
    tables = reference.LazyReferenceMapper(folder, fs=fsspec.filesystem("file"))
    for key, value in chunks.items():
        found = tables._load_one_key(key)
        expected = value if isinstance(value, list) else as_bytes(value)
        assert found == expected, (key, found, expected)
    for table in Path(folder).rglob("*.parq"):
        columns = fastparquet.ParquetFile(table).to_pandas()
        assert columns["offset"].dtype == columns["size"].dtype == "int64", table
    print(len(chunks))
    return 0


def as_bytes(text: str) -> bytes:
    return base64.b64decode(text.removeprefix("base64:")) if text.startswith("base64:") else text.encode()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
