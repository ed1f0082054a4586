"""Everything about the deployment that can be checked without Azure: `check.py PROGRAM` with the landfall that is to be deployed.

Each check is tried first on the files as they are, then on files damaged on purpose (mutations.py): one that lets the damage pass
is a fault as well.
"""

import sys
import time
from dataclasses import dataclass, field

import deployment
import documents
import monitoring
import rig
from bicep import BicepError
from kql import KqlError
from mutations import MUTATIONS
from repository import Repository


@dataclass
class Context:
    """What checks look at."""

    program: str
    lines: dict = field(repr=False)
    repository: Repository = field(default_factory=Repository)

    def damaged(self, path, old, new):
        """The same with another file: everything else is as it is."""
        return Context(self.program, self.lines, Repository({path: self.repository.read(path).replace(old, new)}))


CHECKS = {check.__name__: check for module in (deployment, monitoring, documents) for check in module.CHECKS}


def faults(check, context):
    try:
        return check(context)
    except (BicepError, KqlError, KeyError, ValueError, OSError) as error:
        return [f"{type(error).__name__}: {error}"]


def self_test(context):
    """Damage that a check lets pass, and checks that are never tried."""
    found = [f"{name} is never tried on damaged files" for name in CHECKS if name not in MUTATIONS]
    for name, damages in MUTATIONS.items():
        for path, old, new in damages:
            if old not in context.repository.read(path):
                found.append(f"{path} has no {old!r} to damage")
            elif not faults(CHECKS[name], context.damaged(path, old, new)):
                found.append(f"{name} lets pass: {path}: {old!r} -> {new!r}")
    return found


def main(program):
    start = time.monotonic()
    context = Context(program, rig.play(program))
    found = {name: faults(check, context) for name, check in CHECKS.items()}
    for name, told in found.items():
        print(f"{'FAIL' if told else 'ok  '}  {name:<12} {CHECKS[name].__doc__.splitlines()[0]}")
        for fault in told:
            print(f"        {fault}")
    passed = not any(found.values())
    missed = self_test(context) if passed else []
    for fault in missed:
        print(f"FAIL  {fault}")
    damaged = sum(map(len, MUTATIONS.values()))
    if passed and not missed:
        print(f"{len(CHECKS)} checks hold and catch {damaged} damages; {time.monotonic() - start:.0f} s")
    return int(not passed or bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
