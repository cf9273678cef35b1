import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { renameSync, rmSync, symlinkSync } from "node:fs";
import { cp, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { LiveModel, ModelError, readCurrent } from "../src/index.js";
import type { Change, ModelMetadata, Organization } from "../src/index.js";
import { copiedModels, golden, organization, publish, readingsOf } from "./golden.js";
import { bits } from "./replay.js";

/** A copy of v1 under another name, with some metadata changed and a manifest that vouches for it. */
async function installEdited(of: Organization, version: string, changes: Partial<ModelMetadata>): Promise<void> {
  const versions = path.join(of.modelsFolder, of.organizationId, "versions");
  const folder = path.join(versions, version);
  await cp(path.join(versions, "v1"), folder, { recursive: true });
  const edit = async (name: string, change: object): Promise<Buffer> => {
    const old = JSON.parse(await readFile(path.join(folder, name), "utf8")) as object;
    const content = Buffer.from(JSON.stringify({ ...old, version, ...change }));
    await writeFile(path.join(folder, name), content);
    return content;
  };
  const metadata = await edit("metadata.json", changes);
  const { files } = JSON.parse(await readFile(path.join(folder, "manifest.json"), "utf8")) as { files: object };
  const entry = { sha256: createHash("sha256").update(metadata).digest("hex"), bytes: metadata.length };
  await edit("manifest.json", { files: { ...files, "metadata.json": entry } });
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

test("kept rows serve a version that looks further back, as far as they go", async (t) => {
  const copy = await copiedModels(t);
  await publish(copy, "v1");
  const model = await LiveModel.open(copy);
  feed(model);
  const { lookBack, channels } = model.metadata.window;
  await installEdited(copy, "v3", { window: { channels, lookBack: 2 * lookBack } });
  await publish(copy, "v3");
  assert.equal((await model.refresh())?.historyRestarted, false);
  await installEdited(copy, "v4", { window: { channels, lookBack: 2 * lookBack + 1 } });
  await publish(copy, "v4");
  assert.equal((await model.refresh())?.historyRestarted, true);
});

test("a version with other rows starts the history anew and says so", async (t) => {
  const copy = await copiedModels(t);
  await publish(copy, "v1");
  const model = await LiveModel.open(copy);
  feed(model);
  await installEdited(copy, "v3", { grid: { ...model.metadata.grid, aggregation: "mean" } });
  await publish(copy, "v3");
  assert.deepEqual(await model.refresh(), { previous: "v1", version: "v3", historyRestarted: true });
  assert.equal(await model.predict(asset, instant), null);
});

test("a version that goes while it is read, because another one is published, is not missed", async (t) => {
  const copy = await copiedModels(t);
  const folder = path.join(copy.modelsFolder, copy.organizationId);
  let looks = 0;
  const racing: Organization = {
    organizationId: copy.organizationId,
    get modelsFolder(): string {
      looks += 1;
      if (looks === 2) {
        // The link has been read and leads to v2; the files have not.
        symlinkSync("versions/v1", path.join(folder, ".staged"));
        renameSync(path.join(folder, ".staged"), path.join(folder, "current"));
        rmSync(path.join(folder, "versions", "v2"), { recursive: true });
      }
      return copy.modelsFolder;
    },
  };
  assert.equal((await readCurrent(racing)).version, "v1");
});

test("while versions are swapped and replaced, a reader gets one or the other, whole", async (t) => {
  const copy = await copiedModels(t);
  const versions = path.join(copy.modelsFolder, copy.organizationId, "versions");
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
