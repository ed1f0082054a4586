"""The files that are checked, some of them replaced: the checks are tried on damaged files without any being written."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Repository:
    """Files by their path below the root of the repository."""

    def __init__(self, replaced=None):
        self.replaced = replaced or {}

    def read(self, path):
        return self.replaced[path] if path in self.replaced else (ROOT / path).read_text()

    def files(self, pattern):
        """Paths that fit a pattern, sorted."""
        return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern) if path.is_file())
