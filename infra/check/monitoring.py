"""Checks of alerts and workbook: their queries against Kusto's parser, against the app's own log lines, and against each other."""

import json
import os
import re
import subprocess
from datetime import datetime, timedelta
from functools import cache

import kql
from deployment import deployed, of_type, one_of
from repository import ROOT

# What has to be alerted to (the specification's list), and the rule that does it.
WANTED = {
    "more than 20 % of an hour's work failed": "landfall-failure-rate",
    "a combine takes longer than 5 minutes": "landfall-combine-slow",
    "something is stuck for 30 minutes": "landfall-stuck",
    "a restart during a run": "landfall-restart-during-run",
    "poison": "landfall-poison",
    "dead letters": "landfall-DeadLetteredCount",
    "memory above 80 %": "landfall-memory",
    "a source has changed": "landfall-source-changed",
    "not ready": "landfall-readyz",
    "not ready, by the log": "landfall-not-ready",
}

# The columns of Application Insights that queries may use.
TABLES = {
    "traces": "(timestamp: datetime, message: string, severityLevel: int, cloud_RoleInstance: string, operation_Id: string)",
    "requests": "(timestamp: datetime, name: string, resultCode: string, success: bool, cloud_RoleInstance: string)",
}

# Which alerts fire where, of those by queries.
FIRE = {
    "healthy": set(),
    "rejected": {"failure-rate"},
    "blocked": {"failure-rate"},
    "over_budget": {"failure-rate", "memory-budget"},
    "superseded": set(),
    "source_changed": {"source-changed"},
    "poison": {"failure-rate", "poison"},
    "refused": {"poison"},
    "stuck": {"stuck"},
    "resting": set(),
    "waiting": {"stuck"},
    "killed": {"restart-during-run"},
    "not_ready": {"not-ready"},
    "mostly_well": set(),
    "slow": {"combine-slow"},
    "not_slow": set(),
    "hanging": {"combine-slow"},
    "large": {"memory-budget"},
    "answered_503": {"not-ready"},
    "no_sweep": {"sweep-silent"},
}


def queries(repository):
    """Every query by its name: of the alerts as they are deployed, of the workbook and of the runbooks."""
    found = {}
    for rule in of_type(deployed(repository, "alerts"), "Microsoft.Insights/scheduledQueryRules"):
        [criterion] = rule.body["properties"]["criteria"]["allOf"]
        found[rule.name.removeprefix("landfall-")] = criterion["query"]
    workbook = json.loads(one_of(deployed(repository, "alerts"), "Microsoft.Insights/workbooks").body["properties"]["serializedData"])
    for item in workbook["items"]:
        if "query" in item["content"]:
            found[f"workbook {item['name']}"] = item["content"]["query"]
    for path in repository.files("infra/runbooks/*.md"):
        blocks = re.findall(r"^```kusto\n(.*?)^```", repository.read(path), re.MULTILINE | re.DOTALL)
        found.update({f"{path} {number}": block for number, block in enumerate(blocks)})
    return found


def looks_too_far_back(rule):
    """Whether a query asks for lines that its rule's window does not hold."""
    properties = rule.body["properties"]
    hours, minutes = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?", properties["windowSize"]).groups(default="0")
    window = int(hours) * 60 + int(minutes)
    spans = map(int, re.findall(r"ago\((\d+)m\)", properties["criteria"]["allOf"][0]["query"]))
    return [f"{rule.name} looks back {span} minutes and is given {window}" for span in spans if span > window]


def alerts(context):
    """Everything that has to be alerted to has a rule, and each rule names a runbook that is there."""
    template, found = deployed(context.repository, "alerts"), []
    rules = [one for kind in ("scheduledQueryRules", "metricAlerts") for one in of_type(template, f"Microsoft.Insights/{kind}")]
    names = {one.name for one in rules}
    found += [f"nobody is told of: {what}" for what, name in WANTED.items() if name not in names]
    runbooks = {path.rpartition("/")[2] for path in context.repository.files("infra/runbooks/*.md")}
    for rule in rules:
        named = re.search(r"runbooks/([\w-]+\.md)$", rule.body["properties"]["description"])
        if not named or named.group(1) not in runbooks:
            found.append(f"{rule.name} names no runbook that is there")
        actions = rule.body["properties"]["actions"]
        if not (actions.get("actionGroups") if isinstance(actions, dict) else actions):
            found.append(f"{rule.name} tells nobody")
    for rule in of_type(template, "Microsoft.Insights/scheduledQueryRules"):
        found += looks_too_far_back(rule)
    limit = one_of(template, "Microsoft.Insights/metricAlerts", "landfall-memory").body["properties"]["criteria"]["allOf"][0]["threshold"]
    share = limit / (2048 * 1048576)
    return found + ([] if 0.79 < share <= 0.8 else [f"memory is told at {share:.0%}"])


@cache
def kusto():
    """Kusto's own parser, started once."""
    folder = os.environ.get("LANDFALL_KUSTO", str(ROOT / ".venv/infra"))
    script = str(ROOT / "infra/check/kusto.js")
    return subprocess.Popen(["node", script, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@cache
def faults_by_kusto(query):
    """What it says of a query."""
    parser = kusto()
    parser.stdin.write(json.dumps({"query": query, "tables": TABLES}) + "\n")
    parser.stdin.flush()
    return json.loads(parser.stdout.readline())


def syntax(context):
    """Every query is one to Kusto, names and types included."""
    return [f"{name}: {fault}" for name, query in queries(context.repository).items() for fault in faults_by_kusto(query)]


# Log lines as tables.


def time_of(line):
    return datetime.fromisoformat(json.loads(line)["timestamp"])


def rows(lines, instance="instance-0"):
    common = {"severityLevel": 1, "cloud_RoleInstance": instance, "operation_Id": ""}
    return [{"timestamp": time_of(line), "message": line, **common} for line in lines]


def changed(lines, step, **fields):
    """The lines, with numbers of one step set to what would take too long to come about."""
    read = [json.loads(line) for line in lines]
    changed = [{**one, **fields} if one.get("step") == step else one for one in read]
    return [json.dumps(one, separators=(",", ":")) for one in changed]


def tables_of(lines):
    """Every scenario as tables, and the time that it is looked at."""
    swept = [{"timestamp": time_of(lines["healthy"][-1]), "name": "Sweep", "resultCode": "200", "success": True, "cloud_RoleInstance": ""}]
    cases = dict(lines)
    cases["slow"] = changed(lines["healthy"], "combined", elapsed_ms=300_001)
    cases["not_slow"] = changed(lines["healthy"], "combined", elapsed_ms=300_000)
    # One end in five is bad, and that is not more than 20 %.
    cases["mostly_well"] = lines["healthy"] + lines["rejected"][1:]
    cases["large"] = changed(lines["healthy"], "combined", **{"memory.peak_bytes": 1_800_000_000})
    ready = [number for number, line in enumerate(lines["killed"]) if json.loads(line)["message"] == "Ready"]
    cases["hanging"] = lines["killed"][: ready[1]]
    cases["answered_503"] = cases["no_sweep"] = lines["healthy"]
    found = {}
    for name, case in cases.items():
        requests = [] if name == "no_sweep" else list(swept)
        if name == "answered_503":
            requests.append({**swept[0], "name": "Readyz", "resultCode": "503", "success": False})
        later = timedelta(minutes=6) if name == "hanging" else timedelta()
        found[name] = {"traces": rows(case), "requests": requests}, time_of(case[-1]) + later
    return found


def fires(context):
    """Each alert fires on the app's own lines for its condition, and on no others."""
    found = []
    asked = {name: query for name, query in queries(context.repository).items() if " " not in name}
    cases = tables_of(context.lines)
    found += [f"{name} is a scenario that nobody expects anything of" for name in cases if name not in FIRE]
    for name, (tables, now) in cases.items():
        fired = {alert for alert, query in asked.items() if kql.run(query, tables, now)}
        for alert in sorted(fired ^ FIRE.get(name, set())):
            found.append(f"{alert} {'fires' if alert in fired else 'does not fire'} on {name}")
    return found


def workbook(context):
    """Each query of the workbook and the runbooks runs over a day of all lines and finds something in them."""
    everything = [line for lines in context.lines.values() for line in lines]
    tables = {"traces": rows(everything), "requests": []}
    found = []
    for name, query in queries(context.repository).items():
        if " " not in name:
            continue
        made = kql.run(query, tables, max(map(time_of, everything)))
        if not made:
            found.append(f"{name} finds nothing")
            continue
        empty = [column for column in made[0] if all(row[column] in (None, "") for row in made) and column != "operation_Id"]
        found += [f"{name}: {column} is always empty" for column in empty]
    return found


def words(context):
    """Fields, steps and messages that queries name are in the app's own lines, letter by letter."""
    everything = [json.loads(line) for lines in context.lines.values() for line in lines]
    fields = {name for line in everything for name in line} | {name for line in everything for name in line.get("span", {})}
    steps = {line["step"] for line in everything if "step" in line}
    sources = "".join(context.repository.read(path) for path in context.repository.files("handlers/**/*.rs"))
    found = []
    for name, query in queries(context.repository).items():
        named = set(re.findall(r'line\["([^"]+)"\]', query)) | set(re.findall(r"line\.(\w+)", query)) - {"span"}
        named |= set(re.findall(r"line\.span\.(\w+)", query)) | set(re.findall(r"parse_json\(message\)\.(\w+)", query))
        found += [f"{name}: no line has {field}" for field in sorted(named - fields) if f"{field} =" not in sources]
        compared = re.findall(r"step (?:==|in) (\([^)]*\)|\"[^\"]*\")", query)
        wanted = {step for text in compared for step in re.findall(r'"([^"]*)"', text)}
        found += [f"{name}: no line has the step {step}" for step in sorted(wanted - steps) if f'step = "{step}"' not in sources]
        said = re.findall(r'said (?:==|startswith|has) "((?:[^"\\]|\\.)*)"', query)
        found += [f"{name}: nothing says {text!r}" for text in said if text not in sources]
    return found


CHECKS = (alerts, syntax, fires, workbook, words)
