"""Checks of what is written for people: every command, address, setting and link in it exists."""

import json
import posixpath
import re
import subprocess
from functools import cache

SECTIONS = ["## Symptom", "## Look", "## Mend", "## Verify", "## Prevent"]
WANTED = (
    "failed-job", "job-stuck", "wrong-data", "backlog", "source-changed", "dead-letters", "upgrading", "expired", "restore-database",
    "memory", "not-ready",
)  # fmt: skip


@cache
def help_of(program, *command):
    done = subprocess.run([program, *command, "--help"], capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode == 0 else None


def pages(repository):
    return {path: repository.read(path) for path in ["infra/README.md", *repository.files("infra/runbooks/*.md")]}


def runbooks(context):
    """Every runbook is there, has its five parts in order, and is listed."""
    repository = context.repository
    index, found = repository.read("infra/runbooks/README.md"), []
    for name in WANTED:
        path = f"infra/runbooks/{name}.md"
        if path not in repository.files("infra/runbooks/*.md"):
            found.append(f"{path} is missing")
            continue
        parts = re.findall(r"^## .*$", repository.read(path), re.MULTILINE)
        found += [] if parts == SECTIONS else [f"{path} has the parts {parts}"]
        found += [] if f"({name}.md)" in index else [f"{path} is not listed"]
    return found


def lines_of_code(text):
    """What a page shows as code, each command in one line."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return "\n".join(blocks + re.findall(r"`([^`\n]+)`", text)).replace("\\\n", " ").splitlines()


def unknown_options(program, command, rest):
    told = help_of(program, command)
    if told is None:
        return [f"there is no command {command}"]
    known = set(re.findall(r"--[a-z][a-z0-9-]*", told))
    return [f"{command} has no option {option}" for option in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", rest) if option not in known]


def commands(context):
    """Every `landfall` command and option, and every recipe of `just`, exists."""
    recipes, found = set(re.findall(r"^([a-z][a-z0-9-]*)", context.repository.read("justfile"), re.MULTILINE)), []
    for path, text in pages(context.repository).items():
        for line in lines_of_code(text):
            for command, rest in re.findall(r"(?:^|\s|\()landfall ([a-z]+)([^|)]*)", line):
                found += [f"{path}: {fault}" for fault in unknown_options(context.program, command, rest)]
            wanted = re.findall(r"\./just ([a-z][a-z0-9-]*)", line)
            found += [f"{path}: there is no recipe {recipe}" for recipe in wanted if recipe not in recipes]
    return found


def routes(repository, text):
    """Routes of a page that the API does not have; examples of served stores have keys of their own."""
    known = set(json.loads(repository.read("docs/openapi.json"))["paths"])
    named = {route.rstrip("/.") for route in re.findall(r"/api/[A-Za-z0-9_/.{}-]+", text)}
    return [f"there is no route {route}" for route in sorted(named - known) if not route.startswith("/api/zarr/RELEASE/r1")]


def settings(repository, text):
    """Settings of a page that nobody reads."""
    known = set(json.loads(repository.read("local.settings.example.json"))["_explained"]) | {"LANDFALL_SERVER", "LANDFALL_KEY"}
    named = set(re.findall(r"\bLANDFALL_[A-Z_]*[A-Z]\b", text))
    return [f"there is no setting {name}" for name in sorted(named - known)]


def links(repository, folder, text):
    """Links of a page that lead nowhere in the repository."""
    targets = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    paths = {link: posixpath.normpath(f"{folder}/{link}") for link in targets}
    return [f"{link} leads nowhere" for link, path in paths.items() if not repository.files(path)]


def addresses(context):
    """Every route, setting and link exists."""
    repository, found = context.repository, []
    for path, text in pages(repository).items():
        faults = routes(repository, text) + settings(repository, text) + links(repository, posixpath.dirname(path), text)
        found += [f"{path}: {fault}" for fault in faults]
    return found


CHECKS = (runbooks, commands, addresses)
