import assert from "node:assert/strict";
import { cp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { LiveModel, ModelError, readCurrent } from "../src/index.js";
import type { Change, Organization } from "../src/index.js";
import { bits, copiedModels, golden, organization, readingsOf } from "./golden.js";

let swaps = 0;

/** Publish as Python does: a new link, renamed over the old one. */
async function publish({ modelsFolder, organizationId }: Organization, version: string): Promise<void> {
  const folder = path.join(modelsFolder, organizationId);
  const staged = path.join(folder, `.staged-${(swaps += 1)}`);
  await symlink(`versions/${version}`, staged);
  await rename(staged, path.join(folder, "current"));
}

/** An asset and a row in the middle of its history, and what each version says there. */
const middle = golden.versions.v1.assets.lastIndexOf(golden.versions.v1.assets[0]!) >> 1;
const asset = golden.versions.v1.assets[middle]!;
const instant = golden.versions.v1.seconds[middle]!;
const said = { v1: golden.versions.v1.bits[middle]!, v2: golden.versions.v2.bits[middle]! };

function feed(model: LiveModel): void {
  for (const reading of readingsOf(asset)) if (Number(reading.time) <= instant * 1000) model.add(asset, reading);
}

test("a live model predicts from readings, for assets that it knows", async () => {
  const model = await LiveModel.open(organization);
  feed(model);
  assert.equal(bits((await model.predict(asset, instant))!.probability), said.v2);
  assert.equal(await model.predict("PUMP-99", instant), null);
});

test("a newly published version is used without a restart, and the history stays", async (t) => {
  const copy = await copiedModels(t);
  await publish(copy, "v1");
  const model = await LiveModel.open(copy);
  feed(model);
  assert.equal(bits((await model.predict(asset, instant))!.probability), said.v1);
  assert.equal(await model.refresh(), null);
  await publish(copy, "v2");
  assert.deepEqual(await model.refresh(), { previous: "v1", version: "v2", historyRestarted: false });
  assert.equal(bits((await model.predict(asset, instant))!.probability), said.v2);
  assert.notEqual(said.v1, said.v2);
});

test("watching notices what is published", async (t) => {
  const copy = await copiedModels(t);
  await publish(copy, "v1");
  const model = await LiveModel.open(copy);
  const changed = new Promise<Change>((onChange, onError) => {
    t.after(model.watch({ everyMs: 10, onChange, onError }));
  });
  const awake = setInterval(() => undefined, 1000); // watching alone does not keep a process alive
  t.after(() => clearInterval(awake));
  await publish(copy, "v2");
  assert.equal((await changed).version, "v2");
  assert.equal(model.metadata.version, "v2");
});

test("a version that is refused leaves the one before in use", async (t) => {
  const copy = await copiedModels(t);
  await publish(copy, "v1");
  const model = await LiveModel.open(copy);
  feed(model);
  await writeFile(path.join(copy.modelsFolder, copy.organizationId, "versions", "v2", "model.onnx"), "other");
  await publish(copy, "v2");
  const failed = new Promise<unknown>((onError) => t.after(model.watch({ everyMs: 10, onError })));
  const awake = setInterval(() => undefined, 1000);
  t.after(() => clearInterval(awake));
  const error = await failed;
  assert.ok(error instanceof ModelError && error.code === "INTEGRITY_REFUSED");
  assert.equal(model.metadata.version, "v1");
  assert.equal(bits((await model.predict(asset, instant))!.probability), said.v1);
});

test("a version with other rows starts the history anew and says so", async (t) => {
  const copy = await copiedModels(t);
  const model = await LiveModel.open(copy, 1); // keeps no spare rows
  feed(model);
  const lookBack = model.metadata.window.lookBack;
  Object.assign(model.metadata.window, { lookBack: lookBack - 1 }); // as if the present version looked back less
  await publish(copy, "v1");
  const fresh = await LiveModel.open(copy, 1);
  assert.equal((await fresh.refresh()), null);
  Object.assign(model.metadata.grid, { aggregation: "mean" });
  assert.deepEqual(await model.refresh(), { previous: "v2", version: "v1", historyRestarted: true });
  assert.equal(await model.predict(asset, instant), null);
});

test("while versions are swapped and replaced, a reader gets one or the other, whole", async (t) => {
  const copy = await copiedModels(t);
  const versions = path.join(copy.modelsFolder, copy.organizationId, "versions");
  const manifests = new Set<string>();
  for (const version of ["v1", "v2"]) manifests.add(await readFile(path.join(versions, version, "manifest.json"), "utf8"));
  let stop = false;
  const publisher = (async () => {
    for (let turn = 0; !stop; turn += 1) {
      const [next, other] = turn % 2 === 0 ? ["v1", "v2"] : ["v2", "v1"];
      await publish(copy, next!);
      // The version that is not published may be replaced as a whole, as training again does.
      const again = path.join(versions, `.again-${turn}`);
      await cp(path.join(versions, other!), again, { recursive: true });
      const old = path.join(versions, `.old-${turn}`);
      await rename(path.join(versions, other!), old);
      await rename(again, path.join(versions, other!));
      await rm(old, { recursive: true });
      await sleep(1);
    }
    return swaps;
  })();
  const seen = { v1: 0, v2: 0 };
  try {
    for (let read = 0; read < 300; read += 1) {
      const stored = await readCurrent(copy);
      assert.equal(stored.metadata.version, stored.version);
      assert.ok(stored.files.has("window.onnx"));
      seen[stored.version as "v1" | "v2"] += 1;
    }
  } finally {
    stop = true;
    await publisher;
  }
  assert.ok(seen.v1 > 0 && seen.v2 > 0, JSON.stringify(seen));
});
