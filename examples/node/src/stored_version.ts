/**
 * A model version as it lies on disk, read whole into memory and checked against its manifest before any of it is used.
 *
 * models/<organisation>/versions/<version>/   the files, and manifest.json with the SHA-256 of each
 * models/<organisation>/current               a link to versions/<version>, swapped in one step
 */

import { createHash } from "node:crypto";
import { readdir, readlink } from "node:fs/promises";
import path from "node:path";

import { ModelError } from "./errors.js";
import type { FileChecksum, ModelMetadata } from "./metadata.js";
import { inFolder, readPlainFile } from "./opening.js";

export const MANIFEST = "manifest.json";
const FORMAT_VERSION = 1; // of manifest.json and of metadata.json
const READ_ATTEMPTS = 5;
const IDENTIFIER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Where an organisation's models lie. */
export interface Organization {
  /** The folder of all organisations' models, which holds one folder per organisation. */
  readonly modelsFolder: string;
  readonly organizationId: string;
}

/** One version: every byte is as its manifest says. */
export interface StoredVersion {
  readonly version: string;
  readonly metadata: ModelMetadata;
  /** The files by name, the manifest not among them. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** Changes when another version is published, or a version of the same name with other content. */
  readonly identity: string;
}

interface Manifest {
  readonly formatVersion: number;
  readonly organizationId: string;
  readonly version: string;
  readonly files: Readonly<Record<string, FileChecksum>>;
}

/**
 * Read the published version: one version or the other, whole, if another one is published meanwhile.
 *
 * Rejects with a ModelError: ARTIFACT_MISSING if nothing is published, INTEGRITY_REFUSED if a byte differs,
 * ISOLATION_REFUSED if it is not this organisation's, or may not be: a link, or a file with a second name.
 */
export async function readCurrent(organization: Organization): Promise<StoredVersion> {
  for (let attempt = 1; ; attempt += 1) {
    const version = await currentVersion(organization);
    try {
      return await readVersion(organization, version);
    } catch (error) {
      // A version that is no longer the published one may be replaced while it is read; what is damaged stays so.
      const final = error instanceof ModelError && error.code === "ISOLATION_REFUSED";
      if (final || attempt === READ_ATTEMPTS) throw error;
    }
  }
}

/** What `StoredVersion.identity` would be now, without reading the model; rejects like `readCurrent`. */
export async function currentIdentity(organization: Organization): Promise<string> {
  const version = await currentVersion(organization);
  return identityOf(version, await inVersion(organization, version, (folder) => readFile(folder, MANIFEST)));
}

/** Name of the published version. */
export async function currentVersion(organization: Organization): Promise<string> {
  const name = checkedId(organization.organizationId);
  let target: string;
  try {
    target = await inFolder(organization.modelsFolder, [name], (folder) => readlink(path.join(folder, "current")));
  } catch (error) {
    if (error instanceof ModelError) throw error;
    if (isErrno(error, "ENOENT")) throw missing(`${organization.organizationId} has no published version`, error);
    throw refused(`"current" is not a link`, error);
  }
  const [folder, version, ...rest] = target.split("/");
  if (folder !== "versions" || version === undefined || !isIdentifier(version) || rest.length > 0) {
    throw refused(`"current" does not lead to a version`);
  }
  return version;
}

/** Read one version; rejects like `readCurrent`. */
export async function readVersion(organization: Organization, version: string): Promise<StoredVersion> {
  return inVersion(organization, version, async (folder) => {
    const manifestBytes = await readFile(folder, MANIFEST);
    const manifest = parseManifest(manifestBytes, organization.organizationId, version);
    const names = new Set(await readdir(folder));
    names.delete(MANIFEST);
    const files = new Map<string, Buffer>();
    for (const [name, expected] of Object.entries(manifest.files)) {
      if (!names.delete(name)) throw refused(`${name} of version "${version}" is missing`);
      files.set(name, await readExpected(folder, name, expected, version));
    }
    for (const extra of names) throw refused(`${extra} of version "${version}" is not in its manifest`);
    const metadata = parseMetadata(files.get("metadata.json"), organization.organizationId, version);
    return { version, metadata, files, identity: identityOf(version, manifestBytes) };
  });
}

/** What `work` makes of the folder of a version, which stays the same folder until it has ended. */
async function inVersion<Result>(
  organization: Organization,
  version: string,
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  const name = checkedId(organization.organizationId);
  if (!isIdentifier(version)) throw isolated(`"${version}" is not the name of a version`);
  try {
    return await inFolder(organization.modelsFolder, [name, "versions", version], work);
  } catch (error) {
    if (isErrno(error, "ENOENT")) throw missing(`there is no version "${version}"`, error);
    throw error;
  }
}

async function readExpected(folder: string, name: string, expected: FileChecksum, version: string): Promise<Buffer> {
  const content = await readFile(folder, name, Number(expected?.bytes));
  if (content === undefined || sha256(content) !== expected.sha256) {
    throw refused(`${name} of version "${version}" is not what its manifest says`);
  }
  return content;
}

async function readFile(folder: string, name: string): Promise<Buffer>;
async function readFile(folder: string, name: string, bytes: number): Promise<Buffer | undefined>;
async function readFile(folder: string, name: string, bytes?: number): Promise<Buffer | undefined> {
  if (name !== path.basename(name)) throw refused(`a manifest names "${name}", which is not a file beside it`);
  try {
    return await readPlainFile(path.join(folder, name), bytes);
  } catch (error) {
    if (error instanceof ModelError) throw error;
    throw refused(`${name} cannot be read`, error);
  }
}

function parseManifest(content: Buffer, organizationId: string, version: string): Manifest {
  const manifest = parseJson<Manifest>(content, MANIFEST);
  if (manifest.formatVersion !== FORMAT_VERSION) {
    throw refused(`${MANIFEST} has format ${manifest.formatVersion}; this client reads ${FORMAT_VERSION}`);
  }
  if (manifest.organizationId !== organizationId) throw isolated(`the manifest belongs to another organisation`);
  if (manifest.version !== version) throw refused(`the manifest belongs to another version`);
  if (typeof manifest.files !== "object" || manifest.files === null) throw refused(`${MANIFEST} lists no files`);
  return manifest;
}

/** The type of the content is what the checked manifest vouches for, once format and origin are right. */
function parseMetadata(content: Buffer | undefined, organizationId: string, version: string): ModelMetadata {
  if (content === undefined) throw refused(`version "${version}" has no metadata.json`);
  const metadata = parseJson<ModelMetadata>(content, "metadata.json");
  if (metadata.formatVersion !== FORMAT_VERSION) {
    throw refused(`metadata.json has format ${String(metadata.formatVersion)}; this client reads ${FORMAT_VERSION}`);
  }
  if (metadata.organizationId !== organizationId) throw isolated("metadata.json belongs to another organisation");
  if (metadata.version !== version) throw refused("metadata.json belongs to another version");
  return metadata;
}

function parseJson<Content>(content: Buffer, name: string): Content {
  let value: unknown;
  try {
    value = JSON.parse(content.toString("utf8"));
  } catch (error) {
    throw refused(`${name} is not JSON`, error);
  }
  if (typeof value !== "object" || value === null) throw refused(`${name} holds no object`);
  return value as Content;
}

function identityOf(version: string, manifest: Buffer): string {
  return `${version}:${sha256(manifest)}`;
}

function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

function isIdentifier(name: string): boolean {
  return IDENTIFIER.test(name) && !name.includes("..") && !name.endsWith(".");
}

function checkedId(organizationId: string): string {
  if (!isIdentifier(organizationId)) throw isolated(`"${organizationId}" is not the id of an organisation`);
  return organizationId;
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}

function missing(message: string, cause: unknown): ModelError {
  return new ModelError("ARTIFACT_MISSING", message, { cause });
}

function refused(message: string, cause?: unknown): ModelError {
  return new ModelError("INTEGRITY_REFUSED", message, { cause });
}

function isolated(message: string): ModelError {
  return new ModelError("ISOLATION_REFUSED", message);
}
