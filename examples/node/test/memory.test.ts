/** What replaced models leave behind; in a process of its own, because its memory is measured. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";

import { LiveModel, ModelError, WindowModel, readVersion } from "../src/index.js";
import { InferenceSession } from "../src/onnx_runtime.js";
import { copiedModels, golden, organization, publish, readingsOf } from "./golden.js";

const WARM_UP = 150; // publications until the pools of the allocator and of V8 have their size: it stays for 250 more
const PUBLICATIONS = 100;
const MOST_BYTES = 12e6; // measured: -4 to -2 MB; 28 to 30 MB where sessions are left to the garbage collector
const AT_ONCE = 8;

const asset = golden.versions.v1.assets[0]!;
const instant = golden.versions.v1.seconds.at(golden.versions.v1.assets.lastIndexOf(asset) >> 1)!;

/** How many sessions have been released since; unlike a mock of node:test, it keeps none of them. */
function countReleases(t: TestContext): () => number {
  const { prototype } = InferenceSession as unknown as { prototype: { release(): Promise<void> } };
  const release = prototype.release;
  let count = 0;
  prototype.release = function (): Promise<void> {
    count += 1;
    return release.call(this);
  };
  t.after(() => (prototype.release = release));
  return () => count;
}

test("100 publications do not grow the process", async (t) => {
  const copy = await copiedModels(t);
  const model = await LiveModel.open(copy);
  const released = countReleases(t);
  let before = 0;
  for (let turn = 0; turn < WARM_UP + PUBLICATIONS; turn += 1) {
    if (turn === WARM_UP) before = process.memoryUsage.rss();
    await publish(copy, turn % 2 === 0 ? "v1" : "v2");
    assert.ok((await model.refresh()) !== null);
  }
  const grown = process.memoryUsage.rss() - before;
  assert.ok(released() >= WARM_UP + PUBLICATIONS); // two sessions where a version has reasons
  assert.ok(grown < MOST_BYTES, `grew by ${Math.round(grown / 1e6)} MB`);
});

test("no prediction fails while models are replaced", async (t) => {
  const copy = await copiedModels(t);
  const model = await LiveModel.open(copy);
  for (const reading of readingsOf(asset)) if (Number(reading.time) <= instant * 1000) model.add(asset, reading);
  for (const version of ["v1", "v2", "v1", "v2"]) {
    await publish(copy, version);
    const refreshed = model.refresh();
    let done = false;
    void refreshed.finally(() => (done = true));
    while (!done) {
      const running = Array.from({ length: AT_ONCE }, () => model.predict(asset, instant));
      for (const prediction of await Promise.all(running)) assert.ok(prediction !== null);
    }
    assert.equal((await refreshed)?.version, version);
  }
});

test("a released model ends what it has begun, and begins nothing", async () => {
  const stored = await readVersion(organization, "v1");
  const model = await WindowModel.open(stored);
  const { lookBack, channels } = stored.metadata.window;
  const window = new Float64Array(lookBack * channels.length).fill(NaN);
  const order: string[] = [];
  const running = Array.from({ length: AT_ONCE }, () => model.predict(window, [0]).then(() => order.push("predicted")));
  const released = [model.release(), model.release()].map((each) => each.then(() => order.push("released")));
  await assert.rejects(model.predict(window, [0]), (error) => error instanceof ModelError && error.code === "MODEL_RELEASED");
  await Promise.all([...running, ...released]);
  assert.equal(order.filter((each) => each === "predicted").length, AT_ONCE);
  assert.equal(order.at(-1), "released");
});

test("a model that fails to predict is released all the same", async () => {
  const model = await WindowModel.open(await readVersion(organization, "v1"));
  await assert.rejects(model.predict(new Float64Array(3), [0]));
  await model.release();
});

test("a closed live model predicts nothing more, and takes no new version", async (t) => {
  const copy = await copiedModels(t);
  await publish(copy, "v1");
  const model = await LiveModel.open(copy);
  for (const reading of readingsOf(asset)) if (Number(reading.time) <= instant * 1000) model.add(asset, reading);
  await publish(copy, "v2");
  const refreshed = model.refresh(); // begun before: its model is the one to be released
  await model.close();
  assert.equal((await refreshed)?.version, "v2");
  await publish(copy, "v1");
  assert.equal(await model.refresh(), null);
  await assert.rejects(model.predict(asset, instant), (error) => (error as ModelError).code === "MODEL_RELEASED");
});
