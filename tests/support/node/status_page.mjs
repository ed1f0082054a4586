// Looks at the status page of a running `landfall dev` as a person does, with Chromium: bars that move, a file at fault, an
// approval by keyboard, dark and light, on a phone. Ends with 0 if all of it holds. The packages of package.json are in FOLDER, the
// files of a series in SERIES; with SHOTS, pictures of the page are put there:
//
//     node status_page.mjs FOLDER URL BRONZE SERIES PROFILE [SHOTS]
import assert from "node:assert/strict";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, url, bronze, series, profile, shots] = process.argv.slice(2);
const packages = createRequire(`${folder}/`);
const { chromium } = packages("playwright-core");
const axe = await readFile(packages.resolve("axe-core/axe.min.js"), "utf8");

const KEY = "a key of the host";
const PATIENCE = 40_000;
const EVIL = "tas_<img src=x onerror=window.wasFooled=1>.nc";
const files = (await readdir(series)).sort();

const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.LANDFALL_TEST_CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
  bypassCSP: false,
  viewport: { width: 1180, height: 900 },
  colorScheme: "light",
});
context.setDefaultTimeout(PATIENCE);
const page = context.pages()[0] ?? await context.newPage();

const complaints = [], asked = [];
page.on("console", (line) => ["error", "warning"].includes(line.type()) && complaints.push(line.text()));
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => asked.push(request));

const land = (name, to) => copyFile(join(series, name), join(bronze, to, name));
const card = (dataset) => page.locator("article", { has: page.getByRole("heading", { name: dataset }) });
const says = (where, text) => where.getByText(text).first().waitFor();
const shot = async (name, fullPage = true) => shots && page.screenshot({ path: join(shots, `${name}.png`), fullPage });
const step = (what) => console.log(what);

/** Presses Tab until what has the focus is called so. */
async function tabTo(name) {
  for (let presses = 0; presses < 60; presses++) {
    const focused = await page.evaluate(() => {
      const at = document.activeElement;
      return at.labels?.[0]?.textContent ?? at.textContent ?? "";
    });
    if (focused.trim().startsWith(name)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`the keyboard does not get to ${name}`);
}

/** What axe-core finds, as lines. */
async function barriers() {
  // The policy of the page lets no script in; one of the browser's own is none of its business.
  const found = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] })`);
  return found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).join(", ")}: ${one.help}`);
}

/** The page as it is, in both colours, on a screen and on a phone. */
async function looksRight(name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1180, 360]) {
      await page.setViewportSize({ width, height: 900 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${name} is ${wide} wide on ${width}`);
      assert.deepEqual(await barriers(), [], `${name}, ${colorScheme}, ${width}`);
      await shot(`${name}-${colorScheme}-${width}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1180, height: 900 });
}

step("an empty page");
const opened = await page.goto(`${url}/api/status?code=${encodeURIComponent(KEY)}`);
assert.equal(opened.status(), 200);
await says(page, "No series yet");
await says(page, /^Live, /);
await looksRight("empty");

step("bars move by themselves");
await mkdir(join(bronze, "x"), { recursive: true });
const declaration = { dataset_id: "demo-tas", resource_id: "watched", title: "Demo <b>series</b>",
  processing_options: { expected: { count: files.length } } };
await writeFile(join(bronze, "x/landfall.json"), JSON.stringify(declaration));
const first = card("demo-tas");
const bar = first.getByRole("progressbar");
await bar.waitFor();
await land(files[0], "x");
const reaches = (count) => page.waitForFunction(
  (count) => document.querySelector("article [role=progressbar]")?.ariaValueNow === String(count), count);
await reaches(1);
await land(files[2], "x");
await reaches(2);
assert.equal(await bar.getAttribute("aria-valuemax"), "3");
await says(first, /^Gap: nothing after .+ until .+/);
await shot("collecting");

step("a file at fault has its name, its reason, and what to do");
await writeFile(join(bronze, "x", EVIL), "this is no NetCDF file");
await says(page.getByRole("heading", { name: "Needs attention" }), "Needs attention");
await says(first, "Blocked");
await says(first, `abfs://bronze/x/${EVIL}`);
await says(first, /not a NetCDF or HDF5 file/);
await says(first, /upload a NetCDF or HDF5 file/);
assert.match(await page.title(), /^\([1-9]/);
await looksRight("attention");
assert.equal(await page.locator("main img:not([data-picture]), main b b").count(), 0, "names are no elements");
assert.equal(await page.evaluate(() => window.wasFooled), undefined);

step("it goes on when the file is gone, and waits for a person");
await rm(join(bronze, "x", EVIL));
await land(files[1], "x");
await says(first, "Awaiting approval");
await page.waitForFunction(() => document.querySelector("article img")?.naturalWidth > 0);
const scale = await first.locator("figure .ends span").allTextContents();
assert.equal(scale[1], "K");
assert.ok(Number(scale[0]) > 180 && Number(scale[0]) < Number(scale[2]) && Number(scale[2]) < 340, `temperatures: ${scale}`);
assert.match(await first.locator(".line").getAttribute("aria-label"), /^Time covered: 2000-01-\S+ to 2002-12-\S+$/);

step("a second series, that others approve meanwhile");
await mkdir(join(bronze, "y"), { recursive: true });
await writeFile(join(bronze, "y/landfall.json"), JSON.stringify({ ...declaration, dataset_id: "second" }));
for (const name of files) await land(name, "y");
const second = card("second");
await says(second, "Awaiting approval");
await looksRight("review");
await second.getByText("Read it with xarray").click();
await says(second, /ds = xr\.open_zarr\("http/);
await second.getByRole("button", { name: "Approve…" }).click();
await page.getByRole("radio", { name: /^Official/ }).check();
await page.getByRole("textbox", { name: "Reviewer" }).fill("grace");
await page.getByRole("textbox", { name: "Notes" }).fill("Units checked");
assert.deepEqual(await barriers(), [], "the dialog");
await shot("dialog", false);
const overview = await (await fetch(`${url}/api/status/overview?search=second`)).json();
const [{ release }] = overview.sections.flatMap((one) => one.series);
const decided = await fetch(`${url}/api/platform/approve`, {
  method: "POST", body: JSON.stringify({ release_id: release.release_id, reviewer: "ada", clearance_state: "public" }),
});
assert.equal(decided.status, 200);
await page.getByRole("button", { name: "Approve", exact: true }).click();
await says(page.getByRole("alert"), /its approval_state is approved/);
await page.keyboard.press("Escape");
await says(second, "Approved, public");
assert.ok(await second.getByText("ds = xr.open_zarr").isVisible(), "what was opened stays open");

step("an approval by keyboard alone");
await page.reload();
await first.waitFor();
await tabTo("Approve…");
await page.keyboard.press("Enter");
await tabTo("Official");
await page.keyboard.press("ArrowDown");
await tabTo("Reviewer");
await page.keyboard.type("ada");
await page.keyboard.press("Enter");
await says(first, "Approved, public");
const focused = await page.evaluate(() => document.activeElement.textContent);
assert.match(focused, /^demo-tas/, "the keyboard stays where it was");
const approved = await (await fetch(`${url}/api/platform/status?dataset_id=demo-tas&resource_id=watched`)).json();
assert.equal(approved.release.clearance_state, "public");

step("what is looked for is found");
await page.getByRole("searchbox").fill("SECOND");
await first.waitFor({ state: "detached" });
await second.waitFor();
await page.getByRole("searchbox").fill("");
await first.waitFor();
await page.getByRole("button", { name: "Collecting" }).click();
await says(page, "Nothing of that kind");
await page.getByRole("button", { name: "Collecting" }).click();
await first.waitFor();

step("a source that changed under an approved Release");
await rm(join(bronze, "y", files[0]));
await says(second, "Source gone");
await says(second, "Source changed: 1 file of the approved Release v1");
await looksRight("all");

step("what has not changed is not sent again");
await page.waitForResponse((answer) => answer.status() === 304);

step("nothing was asked of others, and the key is in no address");
// The browser tells of the approval that was refused above.
assert.deepEqual(complaints.filter((line) => !line.includes("status of 400")), []);
const calls = asked.filter((request) => request.url().startsWith("http") && !request.isNavigationRequest());
assert.deepEqual(calls.filter((request) => !request.url().startsWith(url)).map((request) => request.url()), []);
assert.deepEqual(calls.filter((request) => /key/.test(request.url())).map((request) => request.url()), []);
assert.deepEqual([...new Set(calls.map((request) => request.headers()["x-functions-key"]))], [KEY]);

step("the app is away, and comes back");
await context.setOffline(true);
await says(page, "No connection, trying again");
await context.setOffline(false);
await says(page, /^Live, /);
await context.close();
