/**
 * Times one-row predictions in Node on one thread; called by latency.py, which writes the folder that it reads.
 *
 *   node benchmarks/node_latency.mjs FOLDER
 *
 * Reads shape.json, window.onnx, model.onnx, windows.f64, seconds.i64 and rows.f32. Prints JSON: microseconds of each
 * call, in the order of the calls. Every call has another row than the one before.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

process.env.ORT_DISABLE_TELEMETRY = "1"; // before the library is loaded
const client = new URL("../examples/node/package.json", import.meta.url);
const { InferenceSession, Tensor, env } = createRequire(client)("onnxruntime-node");

const folder = process.argv[2];
const read = (name) => readFileSync(path.join(folder, name));
const numbers = (Kind, name) => new Kind(Uint8Array.from(read(name)).buffer);
const { rows, lookBack, channels, features, warmUp, calls } = JSON.parse(read("shape.json"));
const windows = numbers(Float64Array, "windows.f64");
const seconds = numbers(BigInt64Array, "seconds.i64");
const matrix = numbers(Float32Array, "rows.f32");

function windowFeeds(row) {
  const size = lookBack * channels;
  return {
    window: new Tensor("float64", windows.subarray(row * size, (row + 1) * size), [1, lookBack, channels]),
    timestamp: new Tensor("int64", seconds.subarray(row, row + 1), [1]),
  };
}

function modelFeeds(row) {
  return { input: new Tensor("float32", matrix.subarray(row * features, (row + 1) * features), [1, features]) };
}

async function time(name, feedsOf) {
  const options = { executionProviders: ["cpu"], intraOpNumThreads: 1, interOpNumThreads: 1 };
  const session = await InferenceSession.create(read(name), options);
  const microseconds = [];
  for (let call = -warmUp; call < calls; call += 1) {
    const feeds = feedsOf((call + warmUp) % rows);
    const began = process.hrtime.bigint();
    await session.run(feeds);
    if (call >= 0) microseconds.push(Number(process.hrtime.bigint() - began) / 1000);
  }
  return microseconds;
}

const report = {
  node: process.version,
  onnxruntimeNode: env.versions.node,
  cpu: os.cpus()[0].model,
  window: await time("window.onnx", windowFeeds),
  model: await time("model.onnx", modelFeeds),
};
process.stdout.write(JSON.stringify(report));
