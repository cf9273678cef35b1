/**
 * Opens what lies in the workspace by the rules of ml/workspace/safe_open.py: folder by folder, so that no link is
 * followed on the way, and no file that is not a plain one or has a second name, which may be another organisation's.
 */

import { constants, existsSync } from "node:fs";
import type { Stats } from "node:fs";
import { open, realpath } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import path from "node:path";

import { ModelError } from "./errors.js";

const DESCRIPTORS = "/proc/self/fd"; // a path through a descriptor leads to what was opened, whatever has its name now
const PINNED = existsSync(DESCRIPTORS);
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK; // nobody waits for the end of a pipe

/**
 * What `work` makes of a path that leads to the folder `parts` below `root` until it has ended.
 *
 * Rejects with a ModelError (ISOLATION_REFUSED) if a part is a link, and as `open` of node:fs does.
 */
export async function inFolder<Result>(
  root: string,
  parts: readonly string[],
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  let place = await realpath(root);
  let handle = await openPlain(place, FOLDER);
  try {
    for (const part of parts) {
      const next = path.join(throughHandle(handle, place), part);
      const below = await openPlain(next, FOLDER);
      await handle.close();
      [handle, place] = [below, next];
    }
    return await work(throughHandle(handle, place));
  } finally {
    await handle.close();
  }
}

/**
 * The content of a file; if `bytes` is given, undefined where it has another size.
 *
 * Rejects with a ModelError (ISOLATION_REFUSED) if it is a link, no regular file, or has a second name.
 */
export async function readPlainFile(file: string, bytes?: number): Promise<Buffer | undefined> {
  const handle = await openPlain(file, FILE);
  try {
    const status = await handle.stat();
    refuseSecondName(status, path.basename(file));
    return bytes === undefined || status.size === bytes ? await handle.readFile() : undefined;
  } finally {
    await handle.close();
  }
}

function refuseSecondName(status: Stats, name: string): void {
  if (!status.isFile()) throw isolated(`${name} is not a regular file`);
  if (status.nlink > 1) throw isolated(`${name} has a second name (a hard link)`);
}

async function openPlain(place: string, flags: number): Promise<FileHandle> {
  try {
    return await open(place, flags);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ELOOP") throw isolated(`${path.basename(place)} is a link`);
    if (code === "ENOTDIR") throw isolated(`${path.basename(place)} is a link or no folder`); // the system says the same
    throw error;
  }
}

function throughHandle(handle: FileHandle, place: string): string {
  return PINNED ? `${DESCRIPTORS}/${handle.fd}` : place;
}

function isolated(message: string): ModelError {
  return new ModelError("ISOLATION_REFUSED", message);
}
