/** Runs a step as a child process: progress while it runs, one result or one typed error at its end. */

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";

import { StepError, kindOf } from "./errors.js";
import type { JsonValue } from "./metadata.js";

export type Step =
  | "data_prep"
  | "hyperparameter_tuning"
  | "train_model"
  | "validate_model"
  | "convert_to_onnx";

/** A line of a step's progress; at least one arrives every five seconds. */
export interface Progress {
  readonly step: string;
  readonly done: number;
  readonly total: number;
  readonly etaSeconds: number | null;
  readonly message?: string;
}

/** What a step that succeeded writes on stdout; the keys beside these depend on the step. */
export interface StepResult {
  readonly status: "SUCCESS";
  readonly step: string;
  readonly organizationId: string;
  readonly version: string;
  readonly [key: string]: JsonValue;
}

export interface StepOptions {
  /** Configuration of the organisation (JSON file). */
  readonly config: string;
  /** Further arguments, in the order of the step's command line. */
  readonly arguments?: readonly string[];
  /** The `ml` folder, which is the working directory of every step. */
  readonly mlFolder: string;
  /** Where `models` and `artifacts` lie (ML_BASE_PATH). Default: the `ml` folder. */
  readonly workspace?: string;
  /** The Python interpreter. Default: `python3`. */
  readonly python?: string;
  readonly onProgress?: (progress: Progress) => void;
  /** Aborting it sends SIGTERM, upon which a step leaves nothing half-written; the promise then rejects. */
  readonly signal?: AbortSignal;
  /** How long after SIGTERM a step that still runs is killed. A healthy one needs two seconds. */
  readonly killAfterMs?: number;
}

const KILL_AFTER_MS = 10_000;
const KEPT_LINES = 20; // of stderr, to explain an end without a result

/**
 * Run a step to its end.
 *
 * Rejects with a StepError if the step fails, is cancelled, cannot be started, or ends without a result.
 */
export async function runStep(step: Step, options: StepOptions): Promise<StepResult> {
  if (options.signal?.aborted) {
    throw new StepError("stopped", "NOT_STARTED", `${step} was cancelled before it began`, null);
  }
  const parameters = [path.join("scripts", `${step}.py`), path.resolve(options.config)];
  const child = spawn(options.python ?? "python3", [...parameters, ...(options.arguments ?? [])], {
    cwd: options.mlFolder,
    env: options.workspace === undefined ? process.env : { ...process.env, ML_BASE_PATH: options.workspace },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stopListening = cancelOn(options.signal, child, options.killAfterMs ?? KILL_AFTER_MS);
  const lastLines: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    const progress = parsed(line);
    if (isProgress(progress)) options.onProgress?.(progress);
    lastLines.push(line);
    if (lastLines.length > KEPT_LINES) lastLines.shift();
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (output += part));

  const exitCode = await ended(step, child).finally(stopListening);
  const document = parsed(output);
  if (exitCode === 0 && isResult(document)) return document;
  throw failure(step, exitCode, document, lastLines);
}

/** Resolves with the exit code once the process has ended and its pipes are read to their ends. */
function ended(step: Step, child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.on("error", (error) => {
      if (child.pid === undefined) {
        reject(new StepError("environment", "NOT_STARTED", `${step} cannot be started: ${error.message}`, null));
      }
    });
    child.on("close", resolve);
  });
}

/** SIGTERM when the signal is aborted, SIGKILL if that does not help; returns how to stop listening. */
function cancelOn(signal: AbortSignal | undefined, child: ChildProcess, killAfterMs: number): () => void {
  let killer: NodeJS.Timeout | undefined;
  const terminate = (): void => {
    child.kill("SIGTERM");
    killer = setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  };
  signal?.addEventListener("abort", terminate, { once: true });
  return () => {
    signal?.removeEventListener("abort", terminate);
    clearTimeout(killer);
  };
}

function failure(step: Step, exitCode: number | null, document: unknown, lastLines: readonly string[]): StepError {
  if (isObject(document) && document["status"] === "FAILED" && isObject(document["error"])) {
    const { code, message, field, hint } = document["error"];
    return new StepError(kindOf(exitCode), String(code), String(message), exitCode, text(field), text(hint));
  }
  const how = exitCode === null ? "was killed" : `ended with exit code ${exitCode}`;
  const kind = exitCode === 0 ? "internal" : kindOf(exitCode);
  return new StepError(kind, "NO_RESULT", `${step} ${how} and told no result:\n${lastLines.join("\n")}`, exitCode);
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined; // stderr may hold other lines, and stdout is empty when a process is killed
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isResult(value: unknown): value is StepResult {
  return isObject(value) && value["status"] === "SUCCESS";
}

function isProgress(value: unknown): value is Progress {
  return isObject(value) && value["event"] === "progress";
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
