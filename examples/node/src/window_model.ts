/** `window.onnx` as a function of raw readings on the grid. */

import type { InferenceSession as Session, Tensor as Rows } from "onnxruntime-node";

import { ModelError } from "./errors.js";
import type { ModelMetadata } from "./metadata.js";
import { InferenceSession, Tensor, env } from "./onnx_runtime.js";
import type { StoredVersion } from "./stored_version.js";

/** How far a sensor moved the score of a row (log-odds), up or down: a reason of the model, not a cause. */
export interface Reason {
  readonly sensor: string;
  readonly contribution: number;
}

/** Seconds from the row's instant within which the asset fails with 10, 50 and 90 %; Infinity beyond the model's reach. */
export interface TimeToFailure {
  readonly p10: number;
  readonly p50: number;
  readonly p90: number;
}

/** What the model says of one asset at one instant. */
export interface Prediction {
  /**
   * Probability of a failure within the horizon: a float32, with the bits that Python computes; NaN while off, and of a
   * model of normal behaviour (`metadata.scoreKind` is "anomaly"), which knows none.
   */
  readonly probability: number;
  /** The probability, or of a model of normal behaviour how far the machine is from normal, 0.5 at the limit. */
  readonly score: number;
  /** Whether the score reaches the stored threshold; never while off. */
  readonly alarm: boolean;
  /** Of an alarm, every sensor, the one that raised the score most first; empty if the model gives no reasons. */
  readonly reasons: readonly Reason[];
  /** Of an alarm, if the model gives it; `metadata.timeToFailure.measured` says how often it was right. */
  readonly timeToFailure: TimeToFailure | null;
  /** Of an alarm, the most likely mode of failure; null if the model tells none apart. */
  readonly component: string | null;
  /** That the failure is of this component, if there is one: a float32 with the bits of Python. */
  readonly componentProbability: number | null;
  /** False while the machine is off by `metadata.runningWhen`: nothing is predicted then. */
  readonly running: boolean;
}

type Component = Pick<Prediction, "component" | "componentProbability">;

const NO_COMPONENT: Component = { component: null, componentProbability: null };

/** Of a machine that is off. */
const NOTHING: Prediction = {
  probability: NaN,
  score: NaN,
  alarm: false,
  running: false,
  reasons: [],
  timeToFailure: null,
  ...NO_COMPONENT,
};

export class WindowModel {
  private running = 0;
  private released = false;
  private ended: (() => void) | undefined;

  private constructor(
    readonly metadata: ModelMetadata,
    private readonly session: Session,
    private readonly reasonsSession: Session | undefined,
    private readonly timesSession: Session | undefined,
    private readonly modesSession: Session | undefined,
  ) {}

  /** Open a version; rejects with a ModelError if it has no usable window.onnx, or needs a newer onnxruntime-node. */
  static async open(stored: StoredVersion): Promise<WindowModel> {
    const { metadata } = stored;
    const content = stored.files.get("window.onnx");
    if (content === undefined) {
      throw new ModelError("ARTIFACT_MISSING", `version "${stored.version}" has no window.onnx`);
    }
    requireRuntime(metadata.runtime.minimumOnnxruntimeNode);
    // From the bytes that were checked, not from the path, which may lead to other ones by now.
    const options: Session.SessionOptions = {
      executionProviders: ["cpu"],
      intraOpNumThreads: metadata.runtime.intraOpNumThreads,
      interOpNumThreads: 1,
    };
    const create = (file: Uint8Array | undefined) => file && InferenceSession.create(file, options);
    try {
      const session = await InferenceSession.create(content, options);
      const reasons = await create(stored.files.get("reasons.onnx"));
      const times = await create(stored.files.get("time_to_failure.onnx"));
      const modes = await create(stored.files.get("modes.onnx"));
      return new WindowModel(metadata, session, reasons, times, modes);
    } catch (cause) {
      throw new ModelError("INTEGRITY_REFUSED", `a model of "${stored.version}" cannot be opened`, { cause });
    }
  }

  /**
   * Predict from windows.
   *
   * @param windows float64 values of n × lookBack × channels: raw readings, oldest row first, NaN where missing or
   *   before the segment's start, counters as totals.
   * @param seconds Epoch seconds (UTC) of the last row of each window, n of them.
   */
  async predict(windows: Float64Array, seconds: readonly number[]): Promise<Prediction[]> {
    const { lookBack, channels } = this.metadata.window;
    const n = seconds.length;
    if (windows.length !== n * lookBack * channels.length) {
      throw new RangeError(
        `${n} windows of ${lookBack} rows and ${channels.length} channels hold ` +
          `${n * lookBack * channels.length} values, not ${windows.length}`,
      );
    }
    return this.whileOpen(async () => {
      const { probabilities, label, features } = await this.session.run({
        window: new Tensor("float64", windows, [n, lookBack, channels.length]),
        timestamp: new Tensor("int64", BigInt64Array.from(seconds, BigInt), [n]),
      });
      const probability = probabilities?.data as Float32Array; // [n, 2]: no failure, failure
      const alarm = label?.data as BigInt64Array;
      const running = seconds.map((_, row) => {
        const end = (row + 1) * lookBack * channels.length;
        return isRunning(this.metadata, windows.subarray(end - channels.length, end));
      });
      const alarms = seconds.map((_, row) => row).filter((row) => running[row] && alarm[row] === 1n);
      const alarmRows = this.rowsOf(alarms, features?.data as Float32Array);
      const reasons = await this.reasonsOf(alarms, alarmRows);
      const times = await this.timesOf(alarms, alarmRows);
      const components = await this.componentsOf(alarms, alarmRows);
      return seconds.map((_, row) => {
        if (!running[row]) return NOTHING;
        const score = probability[2 * row + 1]!;
        return {
          probability: this.metadata.scoreKind === "probability" ? score : NaN,
          score,
          alarm: alarm[row] === 1n,
          running: true,
          reasons: reasons.get(row) ?? [],
          timeToFailure: times.get(row) ?? null,
          ...(components.get(row) ?? NO_COMPONENT),
        };
      });
    });
  }

  /** Some rows of features, n × features, as a tensor. */
  private rowsOf(rows: readonly number[], features: Float32Array): Rows {
    const width = this.metadata.features.length;
    const input = new Float32Array(rows.length * width);
    rows.forEach((row, at) => input.set(features.subarray(row * width, (row + 1) * width), at * width));
    return new Tensor("float32", input, [rows.length, width]);
  }

  /** The most likely mode of failure of some rows; of equal ones the first. */
  private async componentsOf(rows: readonly number[], input: Rows): Promise<Map<number, Component>> {
    const names = this.metadata.modes?.names;
    if (this.modesSession === undefined || !names || rows.length === 0) return new Map();
    const { mode_probabilities } = await this.modesSession.run({ input });
    const values = mode_probabilities?.data as Float32Array;
    return new Map(
      rows.map((row, at) => {
        const own = values.subarray(at * names.length, (at + 1) * names.length);
        const best = own.reduce((found, value, mode) => (value > own[found]! ? mode : found), 0);
        return [row, { component: names[best]!, componentProbability: own[best]! }];
      }),
    );
  }

  /** The contributions of some rows. */
  private async reasonsOf(rows: readonly number[], input: Rows): Promise<Map<number, readonly Reason[]>> {
    const sensors = this.metadata.reasons?.sensors;
    if (this.reasonsSession === undefined || !sensors || rows.length === 0) return new Map();
    const { contributions } = await this.reasonsSession.run({ input });
    const values = contributions?.data as Float32Array;
    return new Map(
      rows.map((row, at) => {
        const own = sensors.map((sensor, s) => ({ sensor, contribution: values[at * sensors.length + s]! }));
        return [row, own.sort((a, b) => b.contribution - a.contribution)];
      }),
    );
  }

  /** The time to failure of some rows. */
  private async timesOf(rows: readonly number[], input: Rows): Promise<Map<number, TimeToFailure>> {
    if (this.timesSession === undefined || rows.length === 0) return new Map();
    const { time_to_failure } = await this.timesSession.run({ input });
    const values = time_to_failure?.data as Float32Array;
    return new Map(
      rows.map((row, at) => [row, { p10: values[3 * at]!, p50: values[3 * at + 1]!, p90: values[3 * at + 2]! }]),
    );
  }

  /**
   * Give the model's memory back once the predictions that run have ended; later ones reject.
   *
   * Its memory is not JavaScript's: the garbage collector, which sees a small object, leaves it for long.
   */
  async release(): Promise<void> {
    if (this.released) return;
    this.released = true;
    if (this.running > 0) await new Promise<void>((resolve) => (this.ended = resolve));
    await this.session.release();
    await this.reasonsSession?.release();
    await this.timesSession?.release();
    await this.modesSession?.release();
  }

  private async whileOpen<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.released) throw new ModelError("MODEL_RELEASED", `version "${this.metadata.version}" has been released`);
    this.running += 1;
    try {
      return await work();
    } finally {
      this.running -= 1;
      if (this.running === 0) this.ended?.();
    }
  }
}

/** Whether a grid row, in channel order, is one of a machine that runs, as far as is known. */
export function isRunning(
  { runningWhen, window }: Pick<ModelMetadata, "runningWhen" | "window">,
  row: Float64Array,
): boolean {
  if (runningWhen === null) return true;
  const value = row[window.channels.findIndex(({ name }) => name === runningWhen.column)]!;
  if (Number.isNaN(value)) return true;
  return runningWhen.equals === null
    ? Math.fround(value) > Math.fround(runningWhen.above!)
    : Math.fround(value) === Math.fround(runningWhen.equals);
}

/** Older runtimes lack operators or misread trees. */
function requireRuntime(minimum: string): void {
  const present = env.versions.node ?? "0";
  if (compareVersions(present, minimum) < 0) {
    throw new ModelError("RUNTIME_TOO_OLD", `the model needs onnxruntime-node ${minimum}; this is ${present}`);
  }
}

/** Below 0 if version a is older than b; "1.26.0-dev" counts as 1.26.0. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(/[.-]/).slice(0, 3).map(Number));
  for (let part = 0; part < 3; part += 1) {
    const difference = (left?.[part] || 0) - (right?.[part] || 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
