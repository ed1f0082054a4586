"""Writes honest files whose metadata is much for their size: no budget against hostile ones may refuse them.

    make_heavy_files.py FOLDER      # prints how many variables each has, as JSON
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np


def texts(path: Path) -> int:
    """Attributes that are texts of variable length, as h5py writes them: all of an object stand in one heap."""
    with h5py.File(path, "w") as f:
        for number in range(1200):
            data = f.create_dataset(f"v{number:04}", data=np.arange(4))
            data.attrs.update({f"a{n}": f"value {number} {n}" for n in range(10)})
    return 1200


def one_type(path: Path) -> int:
    """Tables of one committed type of 200 members."""
    members = np.dtype([(f"member_{number}", "f8") for number in range(200)])
    with h5py.File(path, "w") as f:
        f["row"] = members
        for number in range(300):
            f.create_dataset(f"table_{number:03}", (2,), dtype=f["row"])
    return 300


def main() -> None:
    folder = Path(sys.argv[1])
    makers = (texts, one_type)
    print(json.dumps({make.__name__: make(folder / f"{make.__name__}.nc") for make in makers}))


if __name__ == "__main__":
    main()
