/**
 * Replays a history through the TypeScript client and counts differences; called by node_exactness.py.
 *
 *   node benchmarks/node_exactness.mjs MODELS ORGANIZATION VERSION EXPECTED.json
 *
 * Prints the counts as JSON. Needs the compiled client (`make client`).
 */

import { readFileSync } from "node:fs";

import { WindowModel, readVersion } from "../examples/node/dist/src/index.js";
import { replay } from "../examples/node/dist/test/replay.js";

const [modelsFolder, organizationId, version, file] = process.argv.slice(2);
const { channels, readings, expected } = JSON.parse(readFileSync(file, "utf8"));
const byAsset = new Map();
for (const [asset, time, ...values] of readings) {
  const named = Object.fromEntries(channels.map((channel, index) => [channel, values[index]]));
  if (!byAsset.has(asset)) byAsset.set(asset, []);
  byAsset.get(asset).push({ time, values: named });
}
const model = await WindowModel.open(await readVersion({ modelsFolder, organizationId }, version));
process.stdout.write(JSON.stringify(await replay(model, (asset) => byAsset.get(asset) ?? [], expected)));
