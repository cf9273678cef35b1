/** What Python wrote for these tests (tests/pipeline/golden_vectors.py), and throw-away copies of its models. */

import { readFileSync } from "node:fs";
import { cp, mkdtemp, rename, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";

import type { AlertEvent, AlertState, ChannelBaseline, Grid, Organization, Prediction, Reading } from "../src/index.js";
import type { Expected } from "./replay.js";

export interface GoldenVersion extends Expected {
  readonly windows: readonly { readonly row: number; readonly values: readonly (number | null)[] }[];
  /** Bits of p10, p50 and p90 of each window; null for a version without times. */
  readonly times: readonly number[] | null;
}

export interface Golden {
  readonly organizationId: string;
  readonly channels: readonly string[];
  /** Asset, milliseconds, then one value per channel. */
  readonly readings: readonly [string, number, ...(number | null)[]][];
  readonly versions: Readonly<Record<"v1" | "v2", GoldenVersion>>;
}

export interface GridCase {
  readonly samplingIntervalSeconds: number;
  readonly aggregation: Grid["aggregation"];
  readonly maxGapSeconds: number;
  readonly microseconds: readonly number[];
  readonly values: Readonly<Record<string, readonly (string | null)[]>>;
  readonly seconds: readonly number[];
  readonly segments: readonly number[];
  readonly rows: readonly (readonly (number | null)[])[];
}

export interface EventCase {
  readonly samplingIntervalSeconds: number;
  readonly inputs: Readonly<Record<string, readonly string[]>>;
  /** Name and microseconds since 1970. */
  readonly events: readonly (readonly [string, number])[];
  readonly seconds: readonly number[];
  readonly rows: readonly (readonly (number | null)[])[];
}

export interface DriftCase {
  readonly baseline: ChannelBaseline;
  readonly values: readonly (number | null)[];
  readonly index: number;
}

export interface AlertCase {
  readonly rows: readonly (Prediction & {
    readonly asset: string;
    readonly seconds: number;
    readonly modelVersion: string;
    readonly events: readonly AlertEvent[];
  })[];
  /** The state before row 100, and the one after all rows. */
  readonly middle: AlertState;
  readonly last: AlertState;
  readonly advanceTo: number;
  readonly ended: readonly AlertEvent[];
}

/** Windows of alarm rows of a model that tells modes of failure apart. */
export interface GoldenModes {
  readonly organizationId: string;
  readonly seconds: readonly number[];
  readonly windows: readonly (readonly (number | null)[])[];
  readonly components: readonly string[];
  readonly bits: readonly number[];
}

const folder = required("EAGLE_GOLDEN");
export const python = process.env["EAGLE_PYTHON"] ?? "python3";
export const mlFolder = process.env["EAGLE_ML"] ?? path.resolve("..", "..", "ml");
export const configFile = path.join(folder, "config.json");

export const golden = load<Golden>("golden.json");
export const gridCases = load<readonly GridCase[]>("grid.json");
export const eventCases = load<readonly EventCase[]>("events.json");
export const driftCases = load<readonly DriftCase[]>("drift.json");
/** Read when asked for: the memory of other tests is measured. */
export const alertCases = (): readonly AlertCase[] => load("alerts.json");
export const goldenModes = (): GoldenModes => load("modes.json");

/** The published models, to be read only. */
export const organization: Organization = {
  modelsFolder: path.join(folder, "models"),
  organizationId: golden.organizationId,
};

/** A folder that goes when the test ends. */
export async function temporaryFolder(test: TestContext): Promise<string> {
  const made = await mkdtemp(path.join(tmpdir(), "eagle-"));
  test.after(() => rm(made, { recursive: true }));
  return made;
}

/** A copy of the models that a test may spoil. */
export async function copiedModels(test: TestContext): Promise<Organization> {
  const modelsFolder = path.join(await temporaryFolder(test), "models");
  await cp(organization.modelsFolder, modelsFolder, { recursive: true, verbatimSymlinks: true });
  return { ...organization, modelsFolder };
}

let swaps = 0;

/** Publish as Python does: a new link, renamed over the old one. */
export async function publish({ modelsFolder, organizationId }: Organization, version: string): Promise<void> {
  const folder = path.join(modelsFolder, organizationId);
  const staged = path.join(folder, `.staged-${(swaps += 1)}`);
  await symlink(`versions/${version}`, staged);
  await rename(staged, path.join(folder, "current"));
}

/** The readings of one asset, in the order in which the source has them. */
export function readingsOf(asset: string): Reading[] {
  return golden.readings
    .filter(([name]) => name === asset)
    .map(([, time, ...values]) => ({
      time,
      values: Object.fromEntries(golden.channels.map((channel, index) => [channel, values[index] ?? null])),
    }));
}

export function withNaN(values: readonly (number | null)[]): number[] {
  return values.map((value) => value ?? NaN);
}

function load<Content>(name: string): Content {
  return JSON.parse(readFileSync(path.join(folder, name), "utf8")) as Content;
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) {
    throw new Error(`${name} must name the folder of golden vectors; \`make client\` writes it and runs these tests`);
  }
  return value;
}
