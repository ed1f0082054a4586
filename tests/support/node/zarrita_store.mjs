// Reads every array of a served Zarr store with zarrita and prints one JSON line each: its path, shape, type and values (base64 of
// the bytes). The packages of package.json are in FOLDER; VERSION is v2 or v3:
//
//     node zarrita_store.mjs FOLDER URL VERSION
import { pathToFileURL } from "node:url";

const [folder, url, version] = process.argv.slice(2);
const load = (module) => import(pathToFileURL(`${folder}/node_modules/${module}`));
const zarr = await load("zarrita/dist/src/index.js");

const read = async (key) => (await fetch(`${url}/${key}`)).json();
const paths = version === "v2"
  ? Object.keys((await read(".zmetadata")).metadata).filter((key) => key.endsWith("/.zarray")).map((key) => key.slice(0, -8))
  : Object.entries((await read("zarr.json")).consolidated_metadata.metadata)
      .filter(([, node]) => node.node_type === "array").map(([path]) => path);
const root = zarr.root(new zarr.FetchStore(url));
for (const path of paths) {
  const array = await zarr.open[version](root.resolve(path), { kind: "array" });
  const { data, shape } = await (array.shape.length ? zarr.get(array) : array.getChunk([]));
  const values = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
  console.log(JSON.stringify({ path, shape, type: array.dtype, values }));
}
