import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFile, cp, link, mkdir, readFile, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";

import { ModelError, currentVersion, readCurrent, readVersion } from "../src/index.js";
import type { Organization } from "../src/index.js";
import { copiedModels, organization } from "./golden.js";

function folderOf({ modelsFolder, organizationId }: Organization, version = "v2"): string {
  return path.join(modelsFolder, organizationId, "versions", version);
}

function refusedWith(code: string, words: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ModelError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, words);
    return true;
  };
}

/** Change one key of the manifest. */
async function editManifest(of: Organization, change: Record<string, unknown>): Promise<void> {
  const file = path.join(folderOf(of), "manifest.json");
  const manifest = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
  await writeFile(file, JSON.stringify({ ...manifest, ...change }));
}

async function pointCurrent(of: Organization, target: string): Promise<void> {
  const link = path.join(of.modelsFolder, of.organizationId, "current");
  await unlink(link);
  await symlink(target, link);
}

test("the published version is read whole", async () => {
  const stored = await readCurrent(organization);
  assert.equal(stored.version, "v2");
  assert.equal(stored.metadata.version, "v2");
  assert.equal(stored.metadata.formatVersion, 1);
  for (const name of ["model.onnx", "window.onnx", "metadata.json"]) assert.ok(stored.files.has(name), name);
  assert.ok(!stored.files.has("manifest.json"));
});

test("the checksums in metadata.json are those of the files", async () => {
  const { files, metadata } = await readCurrent(organization);
  const beside = [...files.keys()].filter((name) => name !== "metadata.json").sort();
  assert.deepEqual(Object.keys(metadata.files).sort(), beside);
  for (const [name, { sha256, bytes }] of Object.entries(metadata.files)) {
    const content = files.get(name)!;
    assert.equal(createHash("sha256").update(content).digest("hex"), sha256);
    assert.equal(content.length, bytes);
  }
});

test("an earlier version can be read by its name", async () => {
  assert.equal((await readVersion(organization, "v1")).metadata.modelType, "lightgbm");
});

for (const name of ["model.onnx", "window.onnx", "metadata.json", "scaler.pkl"]) {
  test(`one changed byte in ${name} is refused`, async (t) => {
    const copy = await copiedModels(t);
    const file = path.join(folderOf(copy), name);
    const content = await readFile(file);
    content[content.length >> 1]! ^= 1;
    await writeFile(file, content);
    const words = new RegExp(`${name}.*not what its manifest`);
    await assert.rejects(readCurrent(copy), refusedWith("INTEGRITY_REFUSED", words));
  });
}

test("a file that is longer, missing or not listed is refused", async (t) => {
  const [longer, shorter, more] = [await copiedModels(t), await copiedModels(t), await copiedModels(t)];
  await appendFile(path.join(folderOf(longer), "model.onnx"), "x");
  await assert.rejects(readCurrent(longer), refusedWith("INTEGRITY_REFUSED", /model\.onnx.*not what/));
  await rm(path.join(folderOf(shorter), "model.onnx"));
  await assert.rejects(readCurrent(shorter), refusedWith("INTEGRITY_REFUSED", /model\.onnx.*is missing/));
  await writeFile(path.join(folderOf(more), "weights.bin"), "x");
  await assert.rejects(readCurrent(more), refusedWith("INTEGRITY_REFUSED", /weights\.bin.*not in its manifest/));
});

test("a manifest of another organisation is refused", async (t) => {
  const copy = await copiedModels(t);
  await editManifest(copy, { organizationId: "somebody_else" });
  await assert.rejects(readCurrent(copy), refusedWith("ISOLATION_REFUSED", /another organisation/));
});

test("another organisation's whole version is refused", async (t) => {
  const copy = await copiedModels(t);
  const thief: Organization = { ...copy, organizationId: "plant_b" };
  await cp(path.join(copy.modelsFolder, copy.organizationId), path.join(copy.modelsFolder, "plant_b"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  await assert.rejects(readCurrent(thief), refusedWith("ISOLATION_REFUSED", /another organisation/));
});

test("links to another organisation are refused, of the version and of the organisation", async (t) => {
  const copy = await copiedModels(t);
  await symlink(copy.organizationId, path.join(copy.modelsFolder, "plant_b"));
  await assert.rejects(
    readCurrent({ ...copy, organizationId: "plant_b" }),
    refusedWith("ISOLATION_REFUSED", /plant_b is a link or no folder/),
  );
  await rename(folderOf(copy), path.join(copy.modelsFolder, "moved"));
  await symlink(path.join(copy.modelsFolder, "moved"), folderOf(copy));
  await assert.rejects(readCurrent(copy), refusedWith("ISOLATION_REFUSED", /v2 is a link or no folder/));
});

test("a model file that is a link is refused", async (t) => {
  const copy = await copiedModels(t);
  const file = path.join(folderOf(copy), "model.onnx");
  await rename(file, path.join(copy.modelsFolder, "model.onnx"));
  await symlink(path.join(copy.modelsFolder, "model.onnx"), file);
  await assert.rejects(readCurrent(copy), refusedWith("ISOLATION_REFUSED", /model\.onnx is a link/));
});

for (const name of ["model.onnx", "metadata.json", "manifest.json"]) {
  test(`${name} with a second name, which may be another organisation's, is refused`, async (t) => {
    const copy = await copiedModels(t);
    await link(path.join(folderOf(copy), name), path.join(copy.modelsFolder, "second"));
    await assert.rejects(readCurrent(copy), refusedWith("ISOLATION_REFUSED", new RegExp(`${name} has a second name`)));
  });
}

test("a pipe, a folder and a link to nothing are refused, and nobody waits for them", async (t) => {
  const [pipe, folder, dangling] = [await copiedModels(t), await copiedModels(t), await copiedModels(t)];
  for (const copy of [pipe, folder, dangling]) await rm(path.join(folderOf(copy), "scaler.pkl"));
  execFileSync("mkfifo", [path.join(folderOf(pipe), "scaler.pkl")]);
  await assert.rejects(readCurrent(pipe), refusedWith("ISOLATION_REFUSED", /scaler\.pkl is not a regular file/));
  await mkdir(path.join(folderOf(folder), "scaler.pkl"));
  await assert.rejects(readCurrent(folder), refusedWith("ISOLATION_REFUSED", /scaler\.pkl is not a regular file/));
  await symlink("nothing", path.join(folderOf(dangling), "scaler.pkl"));
  await assert.rejects(readCurrent(dangling), refusedWith("ISOLATION_REFUSED", /scaler\.pkl is a link/));
});

test("the folder of versions may not be a link, the folder of all models may", async (t) => {
  const copy = await copiedModels(t);
  const alias = `${copy.modelsFolder}_alias`;
  await symlink(copy.modelsFolder, alias);
  assert.equal((await readCurrent({ ...copy, modelsFolder: alias })).version, "v2");
  const versions = path.dirname(folderOf(copy));
  await rename(versions, path.join(copy.modelsFolder, "moved"));
  await symlink(path.join(copy.modelsFolder, "moved"), versions);
  await assert.rejects(readCurrent(copy), refusedWith("ISOLATION_REFUSED", /versions is a link or no folder/));
});

for (const [change, words] of [
  [{ formatVersion: 2 }, /has format 2; this client reads 1/],
  [{ version: "v1" }, /another version/],
  [{ files: null }, /lists no files/],
  [{ files: { "model.onnx": null } }, /model\.onnx.*not what its manifest/],
  [{ files: { "model.onnx": 7 } }, /model\.onnx.*not what its manifest/],
  [{ files: { "../../secret": { sha256: "", bytes: 0 } } }, /secret/],
] as const) {
  test(`a manifest with ${JSON.stringify(change)} is refused`, async (t) => {
    const copy = await copiedModels(t);
    await editManifest(copy, change);
    await assert.rejects(readCurrent(copy), refusedWith("INTEGRITY_REFUSED", words));
  });
}

for (const target of ["/etc", "../plant_b/versions/v1", "versions/../..", "versions/v1/x", "versions"]) {
  test(`"current" that leads to ${target} is refused`, async (t) => {
    const copy = await copiedModels(t);
    await pointCurrent(copy, target);
    await assert.rejects(currentVersion(copy), refusedWith("INTEGRITY_REFUSED", /does not lead to a version/));
  });
}

for (const organizationId of ["../plant_a", "", "a/b", "a..b", "plant_a.", "a\n"]) {
  test(`${JSON.stringify(organizationId)} is not the id of an organisation`, async () => {
    const nobody = { ...organization, organizationId };
    await assert.rejects(readCurrent(nobody), refusedWith("ISOLATION_REFUSED", /not the id/));
  });
}

test("what is not published is missing", async (t) => {
  const copy = await copiedModels(t);
  await assert.rejects(readVersion(copy, "v9"), refusedWith("ARTIFACT_MISSING", /no version "v9"/));
  await unlink(path.join(copy.modelsFolder, copy.organizationId, "current"));
  await assert.rejects(readCurrent(copy), refusedWith("ARTIFACT_MISSING", /no published version/));
});
