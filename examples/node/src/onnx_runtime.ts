/**
 * onnxruntime-node with its telemetry off. Nothing else of the client loads it.
 *
 * The library reports to its maker over the network, and keeps what it could not send, what a model says of itself
 * among it, in a cache in the home folder that all organisations would share. Only this variable stops it, and only
 * before the library is loaded; so it is loaded by a call, which no bundler moves above the line before it.
 */

import { createRequire } from "node:module";
import { isMainThread } from "node:worker_threads";

const VARIABLE = "ORT_DISABLE_TELEMETRY";

if (!isMainThread && process.env[VARIABLE] !== "1") {
  // A worker thread has a copy of the environment, which the library does not read.
  throw new Error(`set ${VARIABLE}=1 in the main thread, before it starts the worker that loads onnxruntime-node`);
}
process.env[VARIABLE] = "1"; // whatever it was: "0" or "" would leave telemetry on

export const { InferenceSession, Tensor, env } = createRequire(import.meta.url)(
  "onnxruntime-node",
) as typeof import("onnxruntime-node");
