/**
 * A backend in small: runs a step if asked to, opens what is published, and replays readings as if they arrived now.
 *
 *   npm start -- --workspace DIR --organization ID --readings FILE.csv [--days 7] [--step train_model --config FILE]
 *
 * The CSV has a header; its cells are numbers, texts without commas, or empty. Ctrl-C cancels the step.
 */

import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";

import { LiveModel, ModelError, StepError, printable, runStep } from "./index.js";
import type { Reading, Step } from "./index.js";

const DAY_MS = 86_400_000;

interface Arrived {
  readonly asset: string;
  readonly reading: Reading & { readonly time: number };
}

async function main(): Promise<void> {
  const { values: given } = parseArgs({
    options: {
      workspace: { type: "string" },
      organization: { type: "string" },
      readings: { type: "string" },
      days: { type: "string", default: "7" },
      "asset-column": { type: "string", default: "asset_id" },
      "time-column": { type: "string", default: "created_timestamp" },
      step: { type: "string" },
      config: { type: "string" },
      ml: { type: "string", default: path.resolve("..", "..", "ml") },
      python: { type: "string", default: path.resolve("..", "..", ".venv", "bin", "python") },
    },
  });
  const { workspace, organization, readings } = given;
  if (workspace === undefined || organization === undefined || readings === undefined) {
    throw new TypeError("--workspace, --organization and --readings are needed");
  }
  if (given.step !== undefined && given.config !== undefined) {
    await show(given.step as Step, given.config, given.ml!, path.resolve(workspace), given.python!);
  }
  const model = await LiveModel.open({
    modelsFolder: path.join(workspace, "models"),
    organizationId: organization,
  });
  describe(model);
  const stop = model.watch({
    onChange: ({ previous, version }) => say(`version ${version} takes over from ${previous}`),
    onError: (error) => console.error(printable(String(error))),
  });
  const columns = { asset: given["asset-column"]!, time: given["time-column"]! };
  await replay(model, newest(await readCsv(readings, columns), Number(given.days)));
  stop();
  await model.close();
}

/** A line for people, whatever the names in it hold. */
function say(line: string): void {
  console.log(printable(line));
}

async function show(step: Step, config: string, mlFolder: string, workspace: string, python: string): Promise<void> {
  const cancel = new AbortController();
  const onInterrupt = (): void => cancel.abort();
  process.once("SIGINT", onInterrupt);
  const result = await runStep(step, {
    config,
    mlFolder,
    workspace,
    python,
    signal: cancel.signal,
    onProgress: ({ done, total, message }) => {
      say(`${step} ${Math.round((100 * done) / total)} % ${message ?? ""}`);
    },
  }).finally(() => process.removeListener("SIGINT", onInterrupt));
  say(`${step} made version ${result.version}`);
}

function describe({ metadata }: LiveModel): void {
  const { lookBack, channels } = metadata.window;
  const named = channels.map(({ name, unit }) => (unit === null ? name : `${name} [${unit}]`)).join(", ");
  say(`version ${metadata.version}: ${lookBack} rows of ${metadata.samplingIntervalSeconds} s, ${named}`);
  say(`failures within ${metadata.horizonSeconds / 3600} h; alarm from ${metadata.threshold.toFixed(3)} on`);
}

/** Predict for every asset at every grid instant, with the readings that had arrived by then. */
async function replay(model: LiveModel, arrived: readonly Arrived[]): Promise<void> {
  const step = model.metadata.samplingIntervalSeconds;
  const assets = [...new Set(arrived.map(({ asset }) => asset))].sort();
  const alarming = new Set<string>();
  let [next, predictions, alarms, spent] = [0, 0, 0, 0];
  const first = arrived[0]?.reading.time ?? Infinity;
  const last = arrived.at(-1)?.reading.time ?? -Infinity;
  for (let seconds = Math.ceil(first / 1000 / step) * step; seconds * 1000 <= last; seconds += step) {
    for (; arrived[next]!.reading.time <= seconds * 1000; next += 1) {
      model.add(arrived[next]!.asset, arrived[next]!.reading);
    }
    for (const asset of assets) {
      const began = performance.now();
      const prediction = await model.predict(asset, seconds);
      if (prediction === null) continue;
      spent += performance.now() - began;
      predictions += 1;
      if (prediction.alarm && !alarming.has(asset)) {
        alarms += 1;
        const when = new Date(seconds * 1000).toISOString();
        const kind = model.metadata.scoreKind === "probability" ? "probability" : "score";
        say(`${when} ${asset}: alarm, ${kind} ${prediction.score.toFixed(3)}`);
      }
      alarming[prediction.alarm ? "add" : "delete"](asset);
    }
  }
  const each = Math.round((1000 * spent) / predictions);
  say(`${predictions} predictions, ${each} µs each; ${alarms} alarms began`);
}

async function readCsv(file: string, columns: { readonly asset: string; readonly time: string }): Promise<Arrived[]> {
  const [header, ...lines] = (await readFile(file, "utf8")).trimEnd().split("\n");
  const names = header!.split(",");
  const [asset, time] = [names.indexOf(columns.asset), names.indexOf(columns.time)];
  if (time < 0) throw new TypeError(`${file} has no column "${columns.time}"`);
  const arrived = lines.map((line) => {
    const cells = line.split(",");
    const values = Object.fromEntries(names.map((name, index) => [name, cells[index] ? Number(cells[index]) : null]));
    return { asset: cells[asset] ?? "asset", reading: { time: Date.parse(cells[time]!), values } };
  });
  return arrived.sort((a, b) => a.reading.time - b.reading.time);
}

function newest(arrived: readonly Arrived[], days: number): readonly Arrived[] {
  const since = (arrived.at(-1)?.reading.time ?? 0) - days * DAY_MS;
  return arrived.filter(({ reading }) => reading.time > since);
}

main().catch((error: unknown) => {
  const known = error instanceof StepError || error instanceof ModelError;
  const text = known ? `${error.code}: ${error.message}` : error instanceof Error ? error.stack : error;
  console.error(printable(String(text)));
  process.exitCode = 1;
});
