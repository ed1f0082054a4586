"""Checks of what is written for people: every command, address, setting and link in it exists."""

import json
import re
import subprocess
from functools import lru_cache

SECTIONS = ["## Symptom", "## Look", "## Mend", "## Verify", "## Prevent"]
WANTED = (
    "failed-job", "job-stuck", "wrong-data", "backlog", "source-changed", "dead-letters", "upgrading", "expired", "restore-database",
    "memory", "not-ready",
)  # fmt: skip


@lru_cache
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


def commands(context):
    """Every `landfall` command and option, and every recipe of `just`, exists."""
    found, recipes = [], context.repository.read("justfile")
    for path, text in pages(context.repository).items():
        code = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
        for line in "\n".join(code).replace("\\\n", " ").splitlines():
            for command, rest in re.findall(r"(?:^|\s|\()landfall ([a-z]+)([^|)]*)", line):
                told = help_of(context.program, command)
                options = set(re.findall(r"(?<!\S)(--[a-z][a-z0-9-]*)", rest)) if told else ()
                found += [] if told else [f"{path}: there is no command {command}"]
                found += [f"{path}: {command} has no option {option}" for option in options if f"{option} " not in f"{told} ".replace("\n", " ")]
            for recipe in re.findall(r"\./just ([a-z][a-z0-9-]*)", line):
                if not re.search(rf"^{recipe}( |:)", recipes, re.MULTILINE):
                    found.append(f"{path}: there is no recipe {recipe}")
    return found


def addresses(context):
    """Every route, setting, parameter and link exists."""
    repository, found = context.repository, []
    routes = set(json.loads(repository.read("docs/openapi.json"))["paths"])
    served = ("/api/zarr/RELEASE/r1",)
    settings = set(json.loads(repository.read("local.settings.example.json"))["_explained"]) | {"LANDFALL_SERVER", "LANDFALL_KEY"}
    for path, text in pages(repository).items():
        named = {route.rstrip("/.") for route in re.findall(r"/api/[A-Za-z0-9_/.{}-]+", text)}
        found += [f"{path}: there is no route {route}" for route in sorted(named - routes) if not route.startswith(served)]
        named = set(re.findall(r"\b(?:LANDFALL|AzureWebJobsStorage)_[A-Za-z_]*[A-Za-z]\b", text))
        found += [f"{path}: there is no setting {name}" for name in sorted(named - settings) if not name.startswith("AzureWebJobsStorage__")]
        folder = path.rpartition("/")[0]
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            parts = []
            for part in f"{folder}/{link}".split("/"):
                parts = parts[:-1] if part == ".." else [*parts, part]
            if "://" not in link and "/".join(parts) not in repository.files("/".join(parts)):
                found.append(f"{path}: {link} leads nowhere")
    return found


CHECKS = (runbooks, commands, addresses)
