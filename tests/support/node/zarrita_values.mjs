// Reads every array of a kerchunk JSON document with zarrita and prints one JSON line each: its path, shape, type and
// values (base64 of the bytes). The packages of package.json are in FOLDER:
//
//     node zarrita_values.mjs FOLDER REFERENCE
//
// zarrita fetches s3:// and https:// by itself; for file:// it takes a `fetch` of one's own.
import { open, readFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

const [folder, reference] = process.argv.slice(2);
const load = (module) => import(pathToFileURL(`${folder}/node_modules/${module}`));
const zarr = await load("zarrita/dist/src/index.js");
const { default: ReferenceStore } = await load("@zarrita/storage/dist/src/ref.js");

/** A range of a local file, as a server would answer. */
async function fetchFile(request) {
  const [first, last] = request.headers.get("range").replace("bytes=", "").split("-").map(Number);
  const file = await open(fileURLToPath(request.url));
  const { buffer } = await file.read({ position: first, buffer: Buffer.alloc(last - first + 1) });
  await file.close();
  return new Response(buffer, { status: 206 });
}

const document = JSON.parse(await readFile(reference, "utf8"));
const root = zarr.root(ReferenceStore.fromSpec(document, { fetch: fetchFile }));
const paths = Object.keys(document.refs).filter((key) => key.endsWith("/.zarray"));
for (const path of paths.map((key) => key.slice(0, -"/.zarray".length))) {
  const array = await zarr.open.v2(root.resolve(path), { kind: "array" });
  const { data, shape } = await (array.shape.length ? zarr.get(array) : array.getChunk([]));
  const values = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
  console.log(JSON.stringify({ path, shape, type: array.dtype, values }));
}
