"use strict";
// Everything that comes from the server is put into the page as text, by `h`; nothing is ever read as HTML.
const page = location.pathname.replace(/\/+$/, "");
const api = page.replace(/\/status$/, "");
const code = new URLSearchParams(location.search).get("code");
const by = (id) => document.getElementById(id);

/* Asking */

function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (code) headers["x-functions-key"] = code;
  return fetch(path, { cache: "no-store", signal: AbortSignal.timeout(30000), ...options, headers });
}

async function post(path, body) {
  const answer = await ask(api + path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    signal: AbortSignal.timeout(240000),
  });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const why = told.error ?? (answer.status === 401 ? "the key does not allow it" : `the app answers ${answer.status}`);
    throw new Error([why, told.remediation].filter(Boolean).join(". "));
  }
  return told;
}

let shown = null, etag = null, timer = 0, failures = 0, section = "", offset = 0, changedAt = 0, asking = 0;

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  const turn = ++asking;
  const query = new URLSearchParams();
  if (by("text").value.trim()) query.set("search", by("text").value.trim());
  if (section) query.set("section", section);
  try {
    const answer = await ask(`${page}/overview?${query}`, { headers: etag ? { "if-none-match": etag } : {} });
    if (turn !== asking) return;
    if (answer.status !== 304 && !answer.ok) throw answer;
    setClock(answer.headers.get("date"));
    if (answer.status !== 304) {
      const told = await answer.json();
      if (turn !== asking) return;
      shown = told;
      etag = answer.headers.get("etag");
      changedAt = Date.now();
    }
    failures = 0;
  } catch (error) {
    if (turn !== asking) return;
    failures++;
    live(true, error.status === 401 ? "The key is missing or wrong: open the page with ?code=…"
      : error.status ? `The app answers ${error.status}, trying again` : "No connection, trying again");
  }
  const isBusy = Date.now() - changedAt < 30000;
  timer = setTimeout(poll, failures ? Math.min(30, 2 ** failures) * 1000 : isBusy ? 1500 : 4000);
  if (failures) return;
  render();
  live(false, `Live, ${clock(Date.now())}`);
}

// How far the app's clock is ahead of this one; its header tells whole seconds.
function setClock(date) {
  const ahead = (Date.parse(date) || Date.now()) - Date.now();
  if (Math.abs(ahead - offset) > 2000) offset = ahead;
}

function live(isLost, text) {
  by("live").classList.toggle("lost", isLost);
  by("live-text").textContent = text;
}

/* Making and updating elements */

function h(tag, given, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given ?? {})) {
    if (name === "style") for (const [key, to] of Object.entries(value)) made.style.setProperty(key, to);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child != null && child !== false));
  return made;
}

const key = (node) => node.dataset?.key;
const kept = new Set(["open", "src", "style"]);

// Makes `old` what `made` is, and leaves alone what is the same: focus, selection, what was opened.
function morph(old, made) {
  if (old.nodeName !== made.nodeName || key(old) !== key(made)) return old.replaceWith(made);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== made.data) old.data = made.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!made.hasAttribute(name) && !kept.has(name)) old.removeAttribute(name);
  for (const { name, value } of made.attributes) if (!kept.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.style.cssText !== made.style.cssText) old.style.cssText = made.style.cssText;
  morphChildren(old, made);
}

function morphChildren(old, made) {
  const keyed = new Map([...old.children].filter(key).map((child) => [key(child), child]));
  let at = old.firstChild;
  for (const next of [...made.childNodes]) {
    const match = key(next) ? keyed.get(key(next)) : at && !key(at) ? at : null;
    if (!match) old.insertBefore(next, at);
    else {
      if (match === at) at = at.nextSibling;
      else old.insertBefore(match, at);
      morph(match, next);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function fill(id, ...children) {
  const made = by(id).cloneNode(false);
  made.append(...children.flat().filter(Boolean));
  morphChildren(by(id), made);
}

/* Words and numbers */

const names = {
  attention: "Needs attention", review: "Awaiting approval", combining: "Combining",
  collecting: "Collecting", published: "Published", withdrawn: "Withdrawn",
};
const number = (value) => Number(value).toLocaleString("en").replace(/,/g, "\u202f");
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

const clock = (at) => new Date(at).toLocaleTimeString([], { hourCycle: "h23" });
// To the minute; midnight is that of the day.
const day = (text) => text.slice(0, 16).replace("T00:00", "").replace("T", " ");

function bytes(value) {
  let unit = 0;
  for (; value >= 999.5 && unit < 5; unit++) value /= 1000;
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0${["B", "kB", "MB", "GB", "TB", "PB"][unit]}`;
}

function digits(value) {
  const size = Math.abs(value), rounded = Number(Number(value).toPrecision(4));
  const text = size && (size < 1e-3 || size >= 1e6) ? rounded.toExponential() : String(rounded);
  return text.replaceAll("-", "\u2212").replace("+", "");
}

function duration(since) {
  const seconds = Math.max(0, Math.round((Date.now() + offset - Date.parse(since)) / 1000));
  if (seconds < 90) return `${seconds}\u00a0s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}\u00a0min`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)}\u00a0h` : `${Math.round(seconds / 86400)}\u00a0days`;
}

const passed = (since, before, after) =>
  h("time", { datetime: since, title: new Date(since).toLocaleString(), "data-before": before, "data-after": after },
    before + duration(since) + after);

function tick() {
  for (const time of document.querySelectorAll("time[data-before]")) {
    const text = time.dataset.before + duration(time.dateTime) + time.dataset.after;
    if (time.textContent !== text) time.textContent = text;
  }
}

/* What is shown */

function render() {
  if (!shown) return;
  const focus = document.activeElement;
  const card = focus?.closest?.("article")?.id, what = focus?.dataset?.do;
  fill("sections", shown.sections.map(tile));
  fill("files", files(), throughput());
  const told = shown.sections.filter((one) => one.series.length).flatMap(ofSection);
  if (shown.files_at_fault.length && (!section || section === "attention")) told.unshift(...filesAtFault());
  fill("main", told.length ? told : h("p", { class: "empty" }, nothing()));
  fill("foot", `Landfall ${shown.version}`);
  if (document.activeElement === document.body && focus !== document.body) {
    const again = focus.isConnected ? focus : by(card)?.querySelector(what ? `[data-do="${what}"]` : "h3") ?? by(card)?.querySelector("h3");
    again?.focus({ preventScroll: true });
  }
  announce();
  pictures();
}

function nothing() {
  if (by("text").value.trim() || section) return "Nothing of that kind.";
  return "No series yet. Drop NetCDF files into the bronze container, or submit a series: it appears here by itself.";
}

const count = (name) => shown.sections.find((one) => one.section === name)?.count ?? 0;

function announce() {
  const attention = count("attention") + shown.files_at_fault.length, review = count("review");
  document.title = attention ? `(${attention}) Landfall` : "Landfall";
  const text = `${attention} in need of attention, ${review} awaiting approval`;
  if (by("news").textContent !== text) by("news").textContent = text;
}

function tile(one) {
  const all = one.count + (one.section === "attention" ? shown.files_at_fault.length : 0);
  return h("button", {
    type: "button", "data-do": "section", "data-section": one.section, "data-key": one.section,
    "aria-pressed": String(section === one.section), class: `${one.section} ${all ? "" : "none"}`,
  }, h("b", {}, number(all)), names[one.section]);
}

function files() {
  const of = (...states) => shown.files.filter((one) => states.includes(one.state));
  const sum = (all, field) => all.reduce((total, one) => total + one[field], 0);
  const waiting = of("landed", "reading"), referenced = of("referenced");
  const oldest = waiting.map((one) => one.oldest).sort()[0];
  const said = (state) => sum(of(state), "count") > 0 && h("li", { class: "bad" }, `${number(sum(of(state), "count"))} ${state}`);
  return h("div", {}, h("ul", {},
    h("li", {}, h("b", {}, plural(sum(referenced, "count"), "file")), ` referenced, ${bytes(sum(referenced, "bytes"))}`),
    waiting.length > 0 && h("li", {}, `${number(sum(waiting, "count"))} being read`, passed(oldest, ", the oldest for ", "")),
    said("rejected"), said("failed")));
}

function throughput() {
  const now = Math.floor((Date.now() + offset) / 60000);
  const per = new Map(shown.throughput.minutes.map((one) => [Date.parse(one.at) / 60000, one.files]));
  const counts = Array.from({ length: 60 }, (_, place) => per.get(now - 59 + place) ?? 0);
  const most = Math.max(1, ...counts);
  const text = `${plural(shown.throughput.files, "file")}, ${bytes(shown.throughput.bytes)} in the last hour`;
  if (!shown.throughput.files) return null;
  return h("figure", {},
    h("div", { class: "spark", "aria-hidden": "true" },
      counts.map((files) => h("span", { style: { height: `${files ? Math.max(6, files / most * 100) : 0}%` } }))),
    h("figcaption", {}, `${text}; at most ${number(most)} a minute`));
}

const heading = (name, text, more) =>
  h("header", { class: "section", "data-key": name }, h("h2", {}, text), h("small", {}, more));

// All series are siblings, so that one that goes to another section stays the same element: opened, and in focus.
function ofSection(one) {
  const more = one.count - one.series.length;
  return [
    heading(one.section, names[one.section], number(one.count)),
    ...one.series.map((series) => ofSeries(series, one.section)),
    more > 0 && h("p", { class: "said", "data-key": `more-${one.section}` }, section ? `${number(more)} more; search for one by its name.`
      : h("button", { type: "button", "data-do": "section", "data-section": one.section }, `${number(more)} more`)),
  ];
}

function filesAtFault() {
  return [
    heading("files", "Files at fault", "failed, or in no series"),
    h("ul", { class: "faults", "data-key": "at-fault" }, shown.files_at_fault.map(fileAtFault)),
  ];
}

const chips = {
  attention: (one) => ["bad", { blocked: "Blocked", failed: "Failed", stale: "Source gone" }[one.state] ?? one.stage],
  review: () => ["call", "Awaiting approval"],
  combining: (one) => ["", one.state === "due" ? "Waiting to be combined" : "Combining"],
  collecting: () => ["", "Collecting"],
  published: (one) => ["good", `Approved, ${one.release?.clearance_state === "public" ? "public" : "official use only"}`],
  withdrawn: (one) => ["", { rejected: "Rejected", revoked: "Revoked" }[one.release?.approval_state] ?? "Unpublished"],
};

function ofSeries(one, where) {
  const look = one.dataset?.quicklook;
  const [mood, word] = chips[where](one);
  const release = one.release;
  return h("article", {
    id: `s-${one.id}`, "data-key": one.id, class: `series ${look ? "pictured" : ""} ${where === "attention" ? "bad" : ""}`,
    "aria-labelledby": `t-${one.id}`,
  },
  h("div", { class: "body" },
    h("div", { class: "head" },
      h("h3", { id: `t-${one.id}`, tabindex: "-1" }, one.dataset_id, h("small", {}, ` / ${one.resource_id}`)),
      h("span", { class: `chip ${mood}` }, word),
      release && one.dataset && h("small", {}, `${release.version_id ?? `release ${release.version_ordinal}`}, revision ${release.revision}`),
      one.combining_since ? h("small", {}, passed(one.combining_since, "for ", ""))
        : h("small", {}, passed(one.updated_at, "", " ago"))),
    one.title && h("p", { class: "small" }, one.title),
    progress(one),
    one.fault && !isOfAFile(one) && fault(one.fault, one.state === "failed"),
    one.files_at_fault.length > 0 && h("ul", { class: "faults" }, one.files_at_fault.map(fileAtFault)),
    one.source_changed.map(changed),
    one.coverage && coverage(one.coverage),
    (one.dataset || one.findings.length > 0) && h("div", { class: "more" }, findings(one.findings), one.dataset && snippet(one)),
    release?.can_review && h("p", { class: "buttons" },
      h("button", { type: "button", class: "main", "data-do": "approve", "data-id": one.id }, "Approve…"),
      h("button", { type: "button", "data-do": "reject", "data-id": one.id }, "Reject…"))),
  look && picture(look, one));
}

function progress(one) {
  const p = one.progress, total = Math.max(p.expected ?? 0, p.arrived);
  const part = (name) => p[name] > 0 && h("span", { class: name, "data-key": name, style: { width: `${p[name] / total * 100}%` } });
  const said = (count, word, mood) => h("span", { class: mood }, h("b", {}, number(count)), ` ${word}`);
  const counts = [
    said(p.referenced, "referenced"), said(p.arrived, "arrived"), p.expected != null && said(p.expected, "expected"),
    p.waiting > 0 && said(p.waiting, "being read"), p.rejected > 0 && said(p.rejected, "rejected", "bad"),
    p.failed > 0 && said(p.failed, "failed", "bad"), p.gone > 0 && said(p.gone, "gone"),
  ].filter(Boolean);
  return h("div", { class: "row" }, h("span", { class: "label" }, "Files"),
    h("div", {
      class: "bar", role: "progressbar", "aria-label": `Files of ${one.dataset_id} referenced`, "aria-valuemin": "0",
      "aria-valuemax": String(Math.max(1, total)), "aria-valuenow": String(p.referenced),
      "aria-valuetext": counts.map((word) => word.textContent).join(", "),
    }, ["referenced", "waiting", "rejected", "failed"].map(part)),
    h("p", { class: "count" }, counts, p.arrived > 0 && h("span", {}, bytes(p.bytes)),
      one.state === "collecting" && waitsFor(one),
      h("span", { class: "mono" }, one.source)));
}

// Whether what keeps a series is told beside the file at fault.
const isOfAFile = (one) => one.files_at_fault.some((file) => file.fault && one.fault.message.endsWith(file.fault.message));

function fault(one, isWarning) {
  return h("div", { class: `fault ${isWarning ? "warn" : ""}` },
    h("pre", {}, h("b", {}, one.message)),
    h("p", { class: "do" }, one.remediation),
    h("p", { class: "small" }, `${one.code}; ${one.category === "input" ? "the input is at fault" : "it is tried again by itself"}`));
}

function fileAtFault(one) {
  return h("li", { class: `fault ${one.state === "rejected" ? "" : "warn"}`, "data-key": one.url },
    h("p", {}, h("span", { class: "mono" }, one.url), " ",
      h("span", { class: `chip ${one.state === "rejected" ? "bad" : "warn"}` }, one.state === "landed" ? "not whole yet" : one.state), " ",
      h("small", {}, passed(one.since, "", " ago"))),
    one.fault && h("pre", {}, h("b", {}, one.fault.message)),
    one.fault && h("p", { class: "do" }, one.fault.remediation));
}

function changed(one) {
  return h("p", { class: "fault warn", "data-key": one.release_id },
    h("b", {}, `Source changed: ${plural(one.files, "file")} of the approved Release ${one.version_id ?? one.release_id}`),
    h("span", { class: "mono" }, one.example, one.files > 1 && ", …"),
    h("span", {}, "Its chunks in those files answer 410. Look at the revision that is made of the new files, or revoke the Release."));
}

function waitsFor(one) {
  const text = one.time_range ? `${one.time_range.map(day).join(" to ")} is covered`
    : one.quiet_until ? `nothing lands until ${clock(one.quiet_until)}`
      : one.quiet_period && `nothing lands for ${one.quiet_period.replace(/^PT?/, "").toLowerCase()}`;
  return text && h("span", {}, `complete when ${text}`);
}

function coverage(one) {
  const text = `Time covered: ${one.start} to ${one.end}` + (one.gaps.length ? `, ${plural(one.gaps.length, "gap")}` : "");
  const some = one.gaps.slice(0, 3).map((gap) => `nothing after ${day(gap.after)} until ${day(gap.before)}`);
  if (one.gaps.length > 3) some.push(`${number(one.gaps.length - 3)} more gaps`);
  const plain = ["standard", "gregorian", "proleptic_gregorian"].includes(one.calendar);
  return h("div", { class: "row" }, h("span", { class: "label" }, "Time"),
    h("div", { class: "line", role: "img", "aria-label": text },
      one.parts.map(([from, to]) => h("span", { style: { left: `${from * 100}%`, width: `${(to - from) * 100}%` } }))),
    h("p", { class: "ends" }, h("span", {}, day(one.start)),
      !plain && h("span", {}, `calendar ${one.calendar}`), h("span", {}, day(one.end))),
    some.length > 0 && h("p", { class: "gaps" }, `Gap: ${some.join("; ")}`));
}

function findings(all) {
  if (!all.length) return null;
  const grave = all.some((one) => one.grade === "critical");
  return h("details", { "data-key": "findings" },
    h("summary", {}, plural(all.length, "finding"), grave && " ", grave && h("span", { class: "chip warn" }, "critical")),
    h("ul", { class: "findings" }, all.map((one) => h("li", {},
      h("span", { class: `chip ${one.grade === "info" ? "" : "warn"}` }, one.grade), " ",
      h("b", {}, one.code), one.variable && h("span", { class: "mono" }, ` ${one.variable}`), `: ${one.message}`,
      one.files > 1 && h("small", {}, ` (in ${number(one.files)} files)`)))));
}

const addresses = new Map();

function snippet(one) {
  const { release_id: release, revision } = one.release;
  const made = addresses.get(`${release}/${revision}`);
  const url = made?.zarr_url ?? one.dataset.zarr_url;
  const isReadable = one.dataset.is_open || made;
  return h("details", { "data-key": "read" },
    h("summary", {}, "Read it with xarray"),
    h("pre", { class: "code", tabindex: "0", "aria-label": "Python" }, h("code", {}, `import xarray as xr\nds = xr.open_zarr(${JSON.stringify(url)})`)),
    h("p", { class: "buttons" },
      isReadable ? h("button", { type: "button", "data-do": "copy" }, "Copy")
        : h("button", { type: "button", "data-do": "token", "data-id": one.id }, "Make an address that can be read for 7 days"),
      h("span", { class: "said", "data-said": "", role: "status" },
        made ? `Whoever has this address can read until ${new Date(made.expires_at).toLocaleString()}.`
          : isReadable ? "" : "This Release is not public: the address needs a token.")),
    h("p", { class: "small" }, one.dataset.variables.length > 0 && `Variables: ${one.dataset.variables.join(", ")}`));
}

function picture(look, one) {
  const [low, high] = look.range ?? [];
  const name = look.description ? `${look.description} (${look.variable})` : look.variable;
  return h("figure", { class: "look", "data-key": look.picture },
    h("img", { "data-picture": look.picture, alt: `First map of ${name} of ${one.dataset_id}`, width: "360", height: "180" }),
    h("div", { class: "scale", "aria-hidden": "true" }),
    h("p", { class: "ends" }, h("span", {}, digits(low)), h("span", {}, look.unit ?? ""), h("span", {}, digits(high))),
    h("figcaption", {}, h("b", {}, name), look.at && `, ${day(look.at)}`));
}

/* Pictures need the key as well, which an address would give away */

const loaded = new Map();

function pictures() {
  const wanted = new Set();
  for (const img of document.querySelectorAll("img[data-picture]")) {
    const path = img.dataset.picture;
    wanted.add(path);
    if (!loaded.has(path)) {
      loaded.set(path, ask(`${page}/${path}`)
        .then(async (answer) => answer.ok ? URL.createObjectURL(await answer.blob()) : Promise.reject(answer))
        .catch(() => { setTimeout(() => loaded.delete(path), 10000); }));
    }
    if (!img.src) loaded.get(path).then((url) => { if (url) img.src = url; });
  }
  for (const [path, url] of loaded) {
    if (wanted.has(path)) continue;
    loaded.delete(path);
    url.then((it) => it && URL.revokeObjectURL(it));
  }
}

/* What people do */

let deciding = null;
const find = (id) => shown.sections.flatMap((one) => one.series).find((one) => one.id === id);

function open(action, id) {
  const one = find(id);
  if (!one?.release) return;
  deciding = { action, id, release: one.release };
  const isApproval = action === "approve";
  by("dialog-title").textContent = isApproval ? "Approve this Release?" : "Reject this Release?";
  by("dialog-what").textContent = `${one.dataset_id} / ${one.resource_id}, release ${one.release.version_ordinal}, revision ${one.release.revision}. `
    + (isApproval ? "It is published to the catalogue and frozen." : "It is no longer served.");
  by("clearance").hidden = !isApproval;
  by("clearance").disabled = !isApproval;
  for (const field of document.querySelectorAll("[data-of=approve]")) field.hidden = !isApproval;
  by("reason-label").textContent = isApproval ? "Notes" : "Reason";
  by("reason").required = !isApproval;
  by("reason").value = by("version").value = by("dialog-error").textContent = "";
  by("decide").textContent = isApproval ? "Approve" : "Reject";
  by("dialog").showModal();
}

async function decide(event) {
  event.preventDefault();
  const { action, id, release } = deciding;
  const now = find(id)?.release;
  by("dialog-error").textContent = "";
  if (now && (now.release_id !== release.release_id || now.revision !== release.revision)) {
    by("dialog-error").textContent = `Revision ${now.revision} was combined meanwhile: close this and look at that one.`;
    return;
  }
  const text = by("reason").value.trim();
  const body = { release_id: release.release_id, reviewer: by("reviewer").value.trim() };
  if (action === "approve") {
    body.clearance_state = new FormData(by("decision")).get("clearance");
    if (by("version").value.trim()) body.version_id = by("version").value.trim();
    if (text) body.notes = text;
  } else body.reason = text;
  by("decide").disabled = true;
  try {
    await post(`/platform/${action}`, body);
    by("dialog").close();
    etag = null;
    await poll();
    by(`t-${id}`)?.focus();
  } catch (error) {
    by("dialog-error").textContent = error.message;
  } finally {
    by("decide").disabled = false;
  }
}

const actions = {
  section(button) {
    section = section === button.dataset.section ? "" : button.dataset.section;
    etag = null;
    poll();
  },
  approve: (button) => open("approve", button.dataset.id),
  reject: (button) => open("reject", button.dataset.id),
  cancel: () => by("dialog").close(),
  async copy(button) {
    const code = button.closest("details").querySelector("code");
    const said = button.parentElement.querySelector("[data-said]");
    try {
      await navigator.clipboard.writeText(code.textContent);
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code);
      said.textContent = "Selected: copy it with the keyboard.";
    }
  },
  async token(button) {
    const { release_id: release, revision } = find(button.dataset.id).release;
    const said = button.parentElement.querySelector("[data-said]");
    try {
      addresses.set(`${release}/${revision}`, await post(`/releases/${release}/token`, { expires_in: "P7D", revision }));
      render();
    } catch (error) {
      said.textContent = error.message;
    }
  },
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) actions[button.dataset.do](button);
});
document.addEventListener("visibilitychange", poll);
by("decision").addEventListener("submit", decide);
by("search").addEventListener("submit", (event) => event.preventDefault());
let typing = 0;
by("text").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => { etag = null; poll(); }, 250);
});
setInterval(tick, 1000);
poll();
