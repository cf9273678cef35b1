import assert from "node:assert/strict";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";

import { StepError, readVersion, runStep } from "../src/index.js";
import type { FailureKind, Progress, Step, StepOptions } from "../src/index.js";
import { configFile, mlFolder, python, temporaryFolder } from "./golden.js";

/** Options for real steps with an empty workspace, and a configuration in which some keys are replaced. */
async function prepared(test: TestContext, changes: Record<string, unknown> = {}): Promise<StepOptions> {
  const folder = await temporaryFolder(test);
  const config = path.join(folder, "config.json");
  const content = JSON.parse(await readFile(configFile, "utf8")) as Record<string, unknown>;
  await writeFile(config, JSON.stringify({ ...content, ...changes }));
  return { config, mlFolder, workspace: folder, python };
}

/** A step that is a few lines of Python, to see what ours never do. */
async function scripted(test: TestContext, lines: string[]): Promise<StepOptions> {
  const folder = await temporaryFolder(test);
  await mkdir(path.join(folder, "scripts"));
  await writeFile(path.join(folder, "scripts", "data_prep.py"), lines.join("\n"));
  return { config: configFile, mlFolder: folder, python };
}

async function failureOf(step: Step, options: StepOptions): Promise<StepError> {
  const error: unknown = await runStep(step, options).then(
    () => assert.fail(`${step} succeeded`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof StepError, String(error));
  return error;
}

test("training tells its progress and ends with a version that can be read", async (t) => {
  const progress: Progress[] = [];
  const options = await prepared(t);
  const result = await runStep("train_model", { ...options, onProgress: (event) => progress.push(event) });
  assert.equal(result.status, "SUCCESS");
  assert.equal(result.version, "from_node");
  assert.ok(progress.length > 3);
  assert.ok(progress.every(({ step, done, total }) => step === "train_model" && done >= 0 && done <= total));
  const modelsFolder = path.join(options.workspace!, "models");
  const stored = await readVersion({ modelsFolder, organizationId: result.organizationId }, result.version);
  assert.equal(stored.metadata.training.rows, result["dataPoints"]);
});

test("cancelling stops a step with nothing half-written", async (t) => {
  const options = await prepared(t, { tuningConfig: { searchMethod: "random", nTrials: 500, cvFolds: 2 } });
  const cancel = new AbortController();
  let cancelled = 0;
  const onProgress = ({ message }: Progress): void => {
    if (message !== undefined && cancelled === 0) {
      cancelled = Date.now();
      cancel.abort();
    }
  };
  const error = await failureOf("hyperparameter_tuning", { ...options, signal: cancel.signal, onProgress });
  assert.deepEqual([error.kind, error.code, error.exitCode], ["stopped", "STOPPED", 143]);
  assert.ok(Date.now() - cancelled < 4000); // promised are two seconds
  const left = await readdir(options.workspace!, { recursive: true });
  assert.deepEqual(left.filter((name) => /staging|tmp/.test(name)), []);
});

test("a mistake in the configuration names its field", async (t) => {
  const error = await failureOf("data_prep", await prepared(t, { dataConfig: { predictionHorizonSeconds: -1 } }));
  assert.deepEqual([error.kind, error.code, error.exitCode], ["configuration", "CONFIG_INVALID", 2]);
  assert.equal(error.field, "dataConfig.predictionHorizonSeconds");
});

test("each exit code is the kind of failure that it documents", async (t) => {
  const cases: [Record<string, unknown>, FailureKind, string][] = [
    [{ dataRange: { startDate: "1999-01-01", endDate: "1999-02-01" } }, "data", "NO_ROWS"],
    [{ organizationId: "../other" }, "refused", "ISOLATION_REFUSED"],
  ];
  for (const [changes, kind, code] of cases) {
    const error = await failureOf("data_prep", await prepared(t, changes));
    assert.deepEqual([error.kind, error.code], [kind, code]);
  }
  const unpublished = await failureOf("convert_to_onnx", await prepared(t));
  assert.deepEqual([unpublished.kind, unpublished.code], ["data", "ARTIFACT_MISSING"]);
  assert.ok(unpublished.hint);
});

test("a step that is cancelled before it begins does not begin", async (t) => {
  const error = await failureOf("data_prep", { ...(await prepared(t)), signal: AbortSignal.abort() });
  assert.deepEqual([error.kind, error.code], ["stopped", "NOT_STARTED"]);
});

test("an interpreter that does not exist is told", async (t) => {
  const error = await failureOf("data_prep", { ...(await prepared(t)), python: "/no/such/python" });
  assert.deepEqual([error.kind, error.code, error.exitCode], ["environment", "NOT_STARTED", null]);
});

test("an end without a result carries the last lines of stderr", async (t) => {
  const options = await scripted(t, ["import sys", "sys.stderr.write('out of memory\\n')", "sys.exit(1)"]);
  const error = await failureOf("data_prep", options);
  assert.deepEqual([error.kind, error.code, error.exitCode], ["internal", "NO_RESULT", 1]);
  assert.match(error.message, /exit code 1.*\nout of memory$/);
});

test("success without a result is a failure", async (t) => {
  const error = await failureOf("data_prep", await scripted(t, ["print('done')"]));
  assert.deepEqual([error.kind, error.code, error.exitCode], ["internal", "NO_RESULT", 0]);
});

test("a step that does not heed SIGTERM is killed", async (t) => {
  const options = await scripted(t, [
    "import json, signal, sys, time",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "sys.stderr.write(json.dumps({'event': 'progress', 'done': 0, 'total': 1}) + '\\n')",
    "sys.stderr.flush()",
    "time.sleep(60)",
  ]);
  const cancel = new AbortController();
  const onProgress = (): void => cancel.abort();
  const error = await failureOf("data_prep", { ...options, onProgress, signal: cancel.signal, killAfterMs: 100 });
  assert.deepEqual([error.code, error.exitCode], ["NO_RESULT", null]);
});
