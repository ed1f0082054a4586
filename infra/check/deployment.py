"""Checks of the templates: against themselves, and against what the app and its host files say."""

import json
import os
import re
import subprocess

from template import Template, expand, parameters_of

DEPLOYED = {"main": "landfall", "events": "climate-data", "alerts": "landfall"}

# As Azure documents its built-in roles.
ROLES = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
}

# What Azure sets max_connections to by itself, by the size of the server, and how many of them it keeps for itself.
CONNECTIONS = {
    "Standard_B2s": 429,
    "Standard_B2ms": 859,
    "Standard_D2ds_v5": 859,
    "Standard_D4ds_v5": 1718,
    "Standard_D8ds_v5": 3437,
}
KEPT = 15

# Who may do what where, and nothing else: the last parts of the scope, and the role.
ASSIGNED = {
    ("main", "storageAccounts/landfallhost", "Storage Blob Data Owner"),
    ("main", "storageAccounts/landfallhost", "Storage Queue Data Contributor"),
    ("main", "containers/silver", "Storage Blob Data Contributor"),
    ("main", "containers/dead-letters", "Storage Blob Data Contributor"),
    ("main", "containers/bronze", "Storage Blob Data Reader"),
    ("main", "components/landfall-insights", "Monitoring Metrics Publisher"),
    ("events", "containers/dead-letters", "Storage Blob Data Contributor"),
}

# Settings that say nothing in Azure, or that a deployment has no use for.
NOT_IN_AZURE = {
    "LANDFALL_TOKEN_FILE": "only emulators take tokens that somebody wrote down",
    "LANDFALL_BRONZE_DIR": "blobs are in accounts",
    "LANDFALL_SILVER_DIR": "blobs are in accounts",
    "LANDFALL_DATABASE": "the ledger is in PostgreSQL, messages are in queues",
    "LANDFALL_DATABASE_URL": "given by its parts",
    "LANDFALL_DATABASE_PASSWORD": "each connection logs in with a token",
    "LANDFALL_DATABASE_SSLROOTCERT": "the system trusts the server's authority",
    "LANDFALL_API_KEY": "the host asks for keys",
}

HOST_SETTINGS = {
    "AzureWebJobsStorage__accountName", "AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId",
    "APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}  # fmt: skip

SECRET = re.compile(r"accountkey=|sharedaccesskey|sig=|password=|defaultendpointsprotocol", re.IGNORECASE)
NAMES = {
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.Web/sites": r"[A-Za-z0-9-]{2,60}",
    "Microsoft.DBforPostgreSQL/flexibleServers": r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    "Microsoft.EventGrid/systemTopics": r"[A-Za-z0-9-]{3,128}",
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": r"[A-Za-z0-9_-]{3,64}",
}


def deployed(repository, name):
    """One template with its example's parameters."""
    return expand(repository, f"infra/{name}.example.bicepparam", DEPLOYED[name])


def of_type(template, kind):
    return [one for one in template.resources if one.type == kind and not one.existing]


def one_of(template, kind, name=None):
    [found] = [one for one in of_type(template, kind) if name in (None, one.name)]
    return found


def settings_of(template):
    return one_of(template, "Microsoft.Web/sites/config").body["properties"]


def words(repository, path, constant):
    """The strings of a constant in the app's sources."""
    found = re.search(rf"const {constant}: [^=]+= ([^;]+);", repository.read(path))
    return re.findall(r'"([^"]*)"', found.group(1)) if found else []


def differ(what, found, wanted):
    """How two sets differ, in words."""
    missing, strange = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    return [f"{what} lacks {one}" for one in missing] + [f"{what} has {one}, which nobody knows" for one in strange]


def templates(context):
    """Templates can be read and worked out; identifiers are distinct, names such as Azure takes."""
    found = []
    for name in DEPLOYED:
        resources = deployed(context.repository, name).resources
        ids = [one.id.lower() for one in resources if not one.existing]
        found += [f"{name}: {one} is deployed twice" for one in set(ids) if ids.count(one) > 1]
        found += [
            f"{name}: Azure does not take the name {one.name} for {one.type}"
            for one in resources
            if not re.fullmatch(NAMES.get(one.type, r"[^<>%&\\?/]+"), one.name)
        ]
    return found


def settings(context):
    """The app's settings are those that it reads, none of them a secret."""
    repository = context.repository
    given = settings_of(deployed(repository, "main"))
    ours = {name for name in given if name.startswith("LANDFALL_")}
    explained = json.loads(repository.read("local.settings.example.json"))["_explained"]
    wanted = {name for name in explained if name.startswith("LANDFALL_")} - set(NOT_IN_AZURE)
    found = differ("the app", ours, wanted) + differ("the host", set(given) - ours, HOST_SETTINGS)
    sources = [path for pattern in ("handlers/config.rs", "handlers/config/*.rs") for path in repository.files(pattern)]
    read = {name for path in sources for name in re.findall(r"LANDFALL_[A-Z_]*[A-Z]", repository.read(path))}
    read |= {"LANDFALL_SWEEP_SCHEDULE", "LANDFALL_LOG"}
    found += [f"nothing reads {name}" for name in sorted(ours) if name not in read and not name.startswith("LANDFALL_DATABASE_")]
    found += [f"{name} looks like a secret" for name, value in given.items() if SECRET.search(str(value))]
    return found + [f"{name} is {value!r}, not text" for name, value in given.items() if not isinstance(value, str)]


def doctor(context):
    """The app finds that its settings can be read and go together."""
    given = settings_of(deployed(context.repository, "main"))
    given = {name: re.sub(r"^later:.*", "later.example.org", value) for name, value in given.items()}
    # Nothing is to be reached: only what is said of the settings counts.
    nowhere = {"IDENTITY_ENDPOINT": "nowhere", "IDENTITY_HEADER": "none"}
    environment = {"PATH": os.environ["PATH"], **given, **nowhere}
    done = subprocess.run([context.program, "doctor", "--json"], env=environment, capture_output=True, text=True, timeout=60)
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    told = [check for check in checks if check.get("part") == "settings"]
    if not told:
        return [f"doctor said nothing of the settings: {done.stdout[:200]}{done.stderr[:200]}"]
    return [f"{check['name']}: {check['message']}" for check in told if check["state"] != "ok"]


def roles(context):
    """Each identity has the roles that it needs and no others; ids are those of Azure."""
    found = []
    written = json.loads(context.repository.read("infra/roles.json"))
    found += [f"{name} is not {key}" for name, key in written.items() if ROLES.get(name) != key]
    names = {key: name for name, key in ROLES.items()}
    given = set()
    for file in DEPLOYED:
        for one in of_type(deployed(context.repository, file), "Microsoft.Authorization/roleAssignments"):
            scope = one.id.split("/providers/Microsoft.Authorization/")[0].split("/")
            place = f"{scope[-2]}/{re.sub(r'^landfallhost.*', 'landfallhost', scope[-1])}"
            given.add((file, place, names.get(one.body["properties"]["roleDefinitionId"].rpartition("/")[2])))
    found += differ("who may do what", map(str, given), map(str, ASSIGNED))
    tried = context.repository.read("handlers/doctor/blobs.rs") + context.repository.read("handlers/doctor/queues.rs")
    asked = set(re.findall(r'"(Storage [A-Za-z ]+)"', tried))
    return found + [f"doctor asks for {role}, which nobody gets" for role in asked - {role for _, _, role in given}]


def events(context):
    """The subscription lets through what the app takes for a source, delivers to its function and keeps what it gives up."""
    repository = context.repository
    template = deployed(repository, "events")
    given = one_of(template, "Microsoft.EventGrid/systemTopics/eventSubscriptions").body["properties"]
    filters = {one["key"]: (one["operatorType"], one["values"]) for one in given["filter"]["advancedFilters"]}
    endings = words(repository, "handlers/group.rs", "DATA_SUFFIXES")
    endings += [f"/{name}" for name in words(repository, "handlers/group.rs", "DECLARATION_NAME")]
    kinds = re.findall(r'"(Blob(?:Created|Deleted|Renamed))"', repository.read("handlers/event/blob_event.rs"))
    calls = words(repository, "handlers/event/blob_event.rs", "PLACEHOLDERS")
    found = differ("the filter", filters["subject"][1], endings) + differ("what is passed over", filters["data.api"][1], calls)
    included = [kind.rpartition(".")[2] for kind in given["filter"]["includedEventTypes"]]
    found += differ("the subscription", included, kinds)
    if (filters["subject"][0], filters["data.api"][0]) != ("StringEndsWith", "StringNotIn"):
        found.append("the filters do not compare as they should")
    container = settings_of(deployed(repository, "main"))["LANDFALL_BRONZE_CONTAINER"]
    if given["filter"]["subjectBeginsWith"] != f"/blobServices/default/containers/{container}/blobs/":
        found.append(f"events do not come from {container}")
    function = given["destination"]["properties"]["resourceId"].rpartition("/")[2]
    if f"function-definitions/{function}/function.json" not in repository.files("function-definitions/*/function.json"):
        found.append(f"there is no function {function}")
    elif '"eventGridTrigger"' not in repository.read(f"function-definitions/{function}/function.json"):
        found.append(f"{function} takes no events")
    kept = given["deadLetterWithResourceIdentity"]["deadLetterDestination"]["properties"]["blobContainerName"]
    if kept != settings_of(deployed(repository, "main"))["LANDFALL_DEAD_LETTERS"].partition("/")[2]:
        found.append(f"nobody reads the dead letters in {kept}")
    return found


def queues(context):
    """Queues are those that functions listen to and that the app sends to, in the account of the host."""
    repository = context.repository
    made = [one.name for one in of_type(deployed(repository, "main"), "Microsoft.Storage/storageAccounts/queueServices/queues")]
    triggers = [json.loads(repository.read(path))["bindings"][0] for path in repository.files("function-definitions/*/function.json")]
    triggers = [one for one in triggers if one["type"] == "queueTrigger"]
    found = differ("the account", made, [one["queueName"] for one in triggers])
    found += [f"nobody listens to {name}" for name in words(repository, "handlers/stores/queue.rs", "QUEUES") if name not in made]
    given = settings_of(deployed(repository, "main"))
    found += [f"there is no connection {one['connection']}" for one in triggers if f"{one['connection']}__accountName" not in given]
    if given["AzureWebJobsStorage__accountName"] != given["LANDFALL_QUEUE_ACCOUNT"]:
        found.append("the app sends to another account than the triggers listen to")
    return found


def host(context):
    """The host takes messages as they are, samples no line away, and every setting that a function refers to is there."""
    repository = context.repository
    document = json.loads(repository.read("host.json"))
    sampling = document["logging"]["applicationInsights"]["samplingSettings"]
    found = []
    if document["extensions"]["queues"]["messageEncoding"] != "none":
        found.append("host.json: messageEncoding is not none")
    if not {"Trace", "Request", "Exception"} <= set(sampling.get("excludedTypes", "").split(";")):
        found.append("host.json: lines that alerts count are sampled away")
    given = settings_of(deployed(repository, "main"))
    for path in repository.files("function-definitions/*/function.json"):
        wanted = re.findall(r"%(\w+)%", repository.read(path))
        found += [f"{path}: {name} is no setting" for name in wanted if name not in given]
    return found


def connections(context):
    """The connections of all instances fit into the database, whatever its size."""
    path, parameters = parameters_of(context.repository, "infra/main.example.bicepparam")
    sizes = re.findall(r"'(Standard_\w+)'", context.repository.read("infra/main.bicep"))
    found = []
    for size in dict.fromkeys(sizes):
        most = {**parameters, "databaseSku": size, "maximumInstances": 1000, "connectionsPerInstance": 16}
        template = Template(context.repository, path, most)
        given = settings_of(template)
        instances, each = int(given["LANDFALL_INSTANCES"]), int(given["LANDFALL_DATABASE_CONNECTIONS"])
        there = one_of(template, "Microsoft.DBforPostgreSQL/flexibleServers/configurations", "max_connections").body["properties"]["value"]
        if instances * each + KEPT > int(there):
            found.append(f"{size}: {instances} instances of {each} connections and Azure's own {KEPT} are more than {there}")
        if int(there) != CONNECTIONS.get(size):
            found.append(f"{size}: has {CONNECTIONS.get(size)} connections, not {there}")
        scale = one_of(template, "Microsoft.Web/sites").body["properties"]["functionAppConfig"]["scaleAndConcurrency"]
        if scale["maximumInstanceCount"] != instances:
            found.append(f"LANDFALL_INSTANCES is {instances}, the app scales to {scale['maximumInstanceCount']}")
        if int(given["LANDFALL_MEMORY_MB"]) + int(given["LANDFALL_STORES_MB"]) >= scale["instanceMemoryMB"]:
            found.append("what the app may take does not fit an instance")
    return found


CHECKS = (templates, settings, doctor, roles, events, queues, host, connections)
