// Generated from the models behind docs/metadata.schema.json by docs/generate.py; do not edit.

/**
 * Contributions of the graph beside exact ones (TreeSHAP), by sensor, on rows that the table was not
 * fitted on.
 */
export interface Agreement {
  /** Rows compared: those in alarm, or the highest scores if few are. (whole number, >= 0) */
  readonly rows: number;
  /** Share of them in which both name the same sensor first. (>= 0) */
  readonly sameFirstSensor: number;
  /** Share in which the three largest are the same sensors. (>= 0) */
  readonly sameFirstThree: number;
  /**
   * Mean over rows of the sum of absolute differences over the sum of absolute exact contributions.
   * (>= 0)
   */
  readonly relativeError: number;
}

/** A map from raw scores to probabilities that never falls; none: the model's own probabilities stand. */
export interface Calibration {
  /**
   * sigmoid: 1 / (1 + exp(-(slope * score + intercept))). isotonic: values[i], where i counts the
   * bounds that the score reaches.
   */
  readonly method: "none" | "sigmoid" | "isotonic";
  /** Of the sigmoid. */
  readonly slope: number | null;
  /** Of the sigmoid. */
  readonly intercept: number | null;
  /** Of isotonic steps: scores, increasing. */
  readonly bounds: readonly number[];
  /** Of isotonic steps: probabilities, increasing, one more than bounds. */
  readonly values: readonly number[];
}

/** One column of the window. */
export interface Channel {
  /** Column name of the sensor. */
  readonly name: string;
  /**
   * A reading, 0 or 1, a running total of which increases are used, the code of a word, or the time
   * since events.
   */
  readonly kind: "continuous" | "boolean" | "counter" | "categorical" | "event";
  /** What it measures, such as temperature. */
  readonly role: string | null;
  /** Its unit; null where the configuration names none. */
  readonly unit: string | null;
  /** The unit of the source, where readings are converted. */
  readonly sourceUnit: string | null;
  /** A reading of the source counts as reading * factor + offset. */
  readonly factor: number;
  /** In float64, before validRange and all else. */
  readonly offset: number;
  /** Lowest and highest possible reading, null for none; any other is missing. */
  readonly validRange: readonly [number | null, number | null];
  /** Of a categorical channel: the code of a word is its position, from 0; others are missing. */
  readonly words: readonly string[];
  /**
   * Of an event channel: the events of the asset that count, each `failure` or `maintenance` (all of
   * them), or one with a kind, such as `maintenance:filter`, in lower case. The row of an event is the
   * first grid row at or after its end. It counts in that row and later ones, a failure in those after
   * it. The value is seconds from the latest row of an event that counts, 315,360,000 at most; missing
   * before the first.
   */
  readonly events: readonly string[];
}

/** How one channel's training rows are spread, to tell drift by the population stability index. */
export interface ChannelBaseline {
  /** Increasing float32 values in the channel's unit; a counter's are increases per sample. */
  readonly edges: readonly number[];
  /** Rows per bin, one more than edges: bin i has edges[i-1] < x <= edges[i], the last all above. */
  readonly counts: readonly number[];
  /** Rows without a value. (whole number, >= 0) */
  readonly missing: number;
}

/** How often the truth lay between p10 and p90. */
export interface Coverage {
  /** Rows or failures counted: those whose truth is known as far as p90. (whole number, >= 0) */
  readonly count: number;
  /** Those of them in which the truth lay inside; null without any. */
  readonly share: number | null;
  /** 95 % interval of the share; null where it is unknown. */
  readonly interval: readonly [number, number] | null;
}

/** Which data the model has seen. */
export interface DataOrigin {
  /** SHA-256 of the prepared data. */
  readonly digest: string;
  /** First instant. */
  readonly from: string;
  /** Last instant. */
  readonly to: string;
  /** Sensor columns. */
  readonly sensors: readonly string[];
  /** Asset -> first and last epoch second of the rows that the model was fitted on or stopped by. */
  readonly seen: Readonly<Record<string, readonly [number, number]>>;
  /** How its times and numbers were found to be written, by key of formatConfig. */
  readonly notation: Readonly<Record<string, string>>;
}

/** A channel that the model makes itself: what a present value lies above its set value. */
export interface Difference {
  /** Its name in features, statistics and drivers. */
  readonly name: string;
  /** Channel that it is taken from. */
  readonly value: string;
  /** Channel that is subtracted. */
  readonly setPoint: string;
}

/** One file of the version. */
export interface FileChecksum {
  /** SHA-256 of its bytes. */
  readonly sha256: string;
  /** Its size. (whole number, >= 0) */
  readonly bytes: number;
}

/**
 * How readings become the window's rows, one per asset and sampling interval; every value is a rule to
 * follow. Before anything else a reading that is not finite (as float32, for a counter as float64) is
 * missing, and of several readings of one asset at one instant the last to arrive replaces the others.
 */
export interface Grid {
  /** Rows stand at the multiples of the interval since 1970. */
  readonly instants: "multiplesOfIntervalSinceEpoch";
  /** The row at g has the readings of (g - interval, g], so nothing later than g. */
  readonly covers: "afterPreviousInstantUpToOwn";
  /**
   * Continuous channels: the interval's last reading, or the float64 mean of its float32 readings, as
   * float32. Counters and categorical channels: always the last. Booleans: 1 if any reading is 1, else
   * 0 if there is one.
   */
  readonly aggregation: "last" | "mean";
  /**
   * A row without a reading of a channel has that channel's last one, unless that is older than this;
   * then it is missing. (whole number, > 0)
   */
  readonly maxGapSeconds: number;
  /** In place of maxGapSeconds, by the name of the asset: those that log far more slowly. */
  readonly ownGaps: Readonly<Record<string, number>>;
  /**
   * When an asset sends nothing for longer than maxGapSeconds, its window restarts: all earlier rows
   * are missing and no value is carried over.
   */
  readonly newSegment: "afterPauseLongerThanMaxGap";
}

/** Any JSON. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** Paths through the trees compared row by row and tree by tree. */
export interface LeafFigures {
  /** Rows compared. (whole number, >= 0) */
  readonly rows: number;
  /** Trees compared. (whole number, >= 0) */
  readonly trees: number;
  /** Pairs of row and tree that end in another leaf. (whole number, >= 0) */
  readonly differing: number;
}

/**
 * The time to failure on rows of the test part (of the validation part where there is none), by
 * unseeing models.
 */
export interface MeasuredTimes {
  /** Which rows; validation rows have stopped the fit. */
  readonly part: "test" | "validation";
  /** All rows. */
  readonly rows: Coverage;
  /** Rows in alarm. */
  readonly alarmRows: Coverage;
  /** The first row in alarm of each failure, within four horizons of it. */
  readonly firstAlarms: Coverage;
  /** Median of |truth - p50| at these first alarms; null if p50 is infinite at most of them. */
  readonly medianErrorSeconds: number | null;
  /** Median of p90 - p10 at these first alarms; null if p90 is infinite at most of them. */
  readonly medianWidthSeconds: number | null;
}

/**
 * What ``modes.onnx`` gives for a row of features: each mode's probability, given a failure within the
 * horizon. Times the probability of a failure, as a product of float32, it is the probability of that
 * mode.
 */
export interface Modes {
  /** Columns of `mode_probabilities`, in order. */
  readonly names: readonly string[];
  /**
   * Mode as the data has it -> its name here: its own, or other, where rare modes are pooled. Modes
   * that are missing here are never named.
   */
  readonly nameOf: Readonly<Record<string, string>>;
  /** Failures by mode that it was fitted on. */
  readonly failures: Readonly<Record<string, number>>;
  /**
   * By mode: where its probability, times that of a failure, is an alarm of this mode; by F1 on the
   * validation part, null where no row there has the mode.
   */
  readonly thresholds: readonly (number | null)[];
  /** Rows in which the graph gave the trained models' probabilities, bit by bit. (whole number, >= 0) */
  readonly parityRows: number;
}

/** What the comparison of the ONNX model with the trained one found. */
export interface Parity {
  /** Probabilities and labels. */
  readonly probabilities: ParityFigures;
  /** Paths through the trees. */
  readonly leaves: LeafFigures | null;
  /** The graph that starts from raw readings. */
  readonly windows: WindowFigures | null;
}

/** Probabilities and labels compared row by row. */
export interface ParityFigures {
  /** Rows compared. (whole number, >= 0) */
  readonly rows: number;
  /** Rows whose float32 probability has other bits. (whole number, >= 0) */
  readonly differingBits: number;
  /** Rows with another label. (whole number, >= 0) */
  readonly differingLabels: number;
  /** Largest absolute difference of probabilities. (>= 0) */
  readonly maxDifference: number;
}

/** What ``reasons.onnx`` gives for a row of features: how far each sensor moved its score (log-odds). */
export interface Reasons {
  /** Columns of `contributions`, in order. */
  readonly sensors: readonly string[];
  /** The score that contributions are counted from. */
  readonly expectedScore: number;
  /** Beside exact contributions. */
  readonly agreement: Agreement;
  /** Rows in which the graph gave the table's sums, bit by bit. (whole number, >= 0) */
  readonly parityRows: number;
}

/**
 * What tells on the grid that a machine runs: the float32 of a channel equals a value, or lies above
 * one.
 */
export interface Running {
  /** Channel that tells it. */
  readonly column: string;
  /** The machine runs while the channel has this value. */
  readonly equals: number | null;
  /** The machine runs while the channel is above this. */
  readonly above: number | null;
}

/** What a client must run the models with to get these bits. */
export interface Runtime {
  /** Oldest onnxruntime in Python. */
  readonly minimumOnnxruntime: string;
  /** Oldest onnxruntime-node. */
  readonly minimumOnnxruntimeNode: string;
  /** Session option; with more threads the trees are summed in another order. */
  readonly intraOpNumThreads: 1;
  /** Operator sets that the models use. */
  readonly opset: Readonly<Record<string, number>>;
  /** Version of the ONNX file format. (whole number) */
  readonly irVersion: number;
}

/** The scaler that is folded into the model: scaled = (x - center) / scale, in float32. */
export interface ScalingConstants {
  /** How the constants were found. */
  readonly method: "none" | "standard" | "minmax" | "robust";
  /** Per feature; empty for none. */
  readonly center: readonly number[];
  /** Per feature; empty for none. */
  readonly scale: readonly number[];
}

/** A sensor over the training part; null where it had no (or one) reading. */
export interface SensorStatistics {
  /** Mean, in the sensor's unit. */
  readonly mean: number | null;
  /** Standard deviation, ddof = 1, in the sensor's unit. */
  readonly std: number | null;
}

/**
 * What ``time_to_failure.onnx`` gives for a row of features: three quantiles of the seconds to the
 * next failure.
 */
export interface TimeToFailure {
  /** Of the columns of `time_to_failure`. */
  readonly levels: readonly number[];
  /** Where the model was asked; a quantile beyond the last is +Infinity. */
  readonly horizonsSeconds: readonly number[];
  /**
   * How a quantile between two horizons is found; below the first, the probability is linear and p10
   * is 0.
   */
  readonly between: "logOddsLinearInTime";
  /** Trees of the model. (whole number, > 0) */
  readonly trees: number;
  /** On rows that the models had not seen. */
  readonly measured: MeasuredTimes;
  /** Rows in which the graph gave the same bits as numpy. (whole number, >= 0) */
  readonly parityRows: number;
}

/** How the model was fitted. */
export interface Training {
  /** Labelled rows of the training part. (whole number, > 0) */
  readonly rows: number;
  /** Those of them with a failure ahead. (whole number, >= 0) */
  readonly positives: number;
  /** Seed of everything random. (whole number) */
  readonly seed: number;
  /** Where it was fitted: in one process, or by partitions on a Dask cluster. */
  readonly engine: "local" | "dask";
  /** Parameters of the model type. */
  readonly parameters: Readonly<Record<string, JsonValue>>;
  /** Trees in use. (whole number, > 0) */
  readonly rounds: number;
  /** Score at which early stopping chose them. */
  readonly bestScore: number | null;
  /** Whether it was judged on a test part, or its recipe in folds. */
  readonly scheme: "holdout" | "backtest";
  /** Rows that the model was fitted on; all includes those that it is judged on. */
  readonly seen: "training" | "trainingAndValidation" | "all";
  /** Models that have answered for it on rows they had not seen: rows, threshold, rounds. */
  readonly folds: Readonly<Record<string, Readonly<Record<string, JsonValue>>>>;
}

/** The stretch of history that one prediction needs. */
export interface Window {
  /** Samples, the newest included. (whole number, > 0) */
  readonly lookBack: number;
  /** Sensors, in the order of the window's columns. */
  readonly channels: readonly Channel[];
}

/** The graph that starts from raw readings compared with features computed offline. */
export interface WindowFigures {
  /** Rows compared. (whole number, >= 0) */
  readonly rows: number;
  /** Feature values compared. (whole number, >= 0) */
  readonly cells: number;
  /** Feature values that differ. (whole number, >= 0) */
  readonly differingCells: number;
  /** Rows whose float32 probability has other bits. (whole number, >= 0) */
  readonly differingBits: number;
  /** Rows with another label. (whole number, >= 0) */
  readonly differingLabels: number;
}

/** The content of ``metadata.json``. */
export interface ModelMetadata {
  /** Version of this format. */
  readonly formatVersion: 1;
  /** Whose model it is. */
  readonly organizationId: string;
  /** Version of the model. */
  readonly version: string;
  /** As in trainingConfig.modelType. */
  readonly modelType: string;
  /** Columns of the model's input, in order. */
  readonly features: readonly string[];
  /** How far ahead a failure is predicted; 0: detection. (whole number, >= 0) */
  readonly horizonSeconds: number;
  /** Time between two samples. (whole number, > 0) */
  readonly samplingIntervalSeconds: number;
  /** The server that computes these features itself; null where only window.onnx does. */
  readonly servingProfile: "backend" | null;
  /**
   * What the second column of probabilities is: the probability of a failure, or how far the machine
   * is from normal behaviour (score / (score + 1), 0.5 at the limit), which is none.
   */
  readonly scoreKind: "probability" | "anomaly";
  /** label is 1 where the float32 probability is at least this. (>= 0, <= 1) */
  readonly threshold: number;
  /** The same, for a server that has an alarm threshold of its own. */
  readonly suggestedThreshold: number | null;
  /** What turns scores into probabilities; part of both models. */
  readonly calibration: Calibration;
  /** The policy that chose it, whether its limit is met, and what it did on the validation part. */
  readonly thresholdChoice: Readonly<Record<string, JsonValue>>;
  /** History that one prediction needs. */
  readonly window: Window;
  /** Channels that window.onnx makes of pairs of others; a client sends nothing for them. */
  readonly differences: readonly Difference[];
  /**
   * What the newest grid row must show, the numbers as float32, for a prediction to count; where its
   * column has another value, there is none. A row without a value counts. Null: every row counts.
   */
  readonly runningWhen: Running | null;
  /** How readings become the rows of the window. */
  readonly grid: Grid;
  /** State of the feature engineer, for its from_dict. */
  readonly engine: Readonly<Record<string, JsonValue>>;
  /** Scaler folded into the model. */
  readonly scaling: ScalingConstants;
  /** Metrics on the validation part. */
  readonly metrics: Readonly<Record<string, JsonValue>>;
  /** Rows, parameters and seed of the fit. */
  readonly training: Training;
  /** Which data it has seen. */
  readonly data: DataOrigin;
  /** Sensors over the training part, by name. */
  readonly sensorStatistics: Readonly<Record<string, SensorStatistics>>;
  /** Channels over the training part, by name. */
  readonly driftBaseline: Readonly<Record<string, ChannelBaseline>>;
  /** Sensors that seem to know the label or the time: column, reason and figure. */
  readonly suspiciousColumns: readonly (Readonly<Record<string, JsonValue>>)[];
  /** Versions of this program, Python and the libraries used. */
  readonly libraries: Readonly<Record<string, string>>;
  /** What reasons.onnx gives; null where there is no such file. */
  readonly reasons: Reasons | null;
  /** What time_to_failure.onnx gives; null where there is no such file. */
  readonly timeToFailure: TimeToFailure | null;
  /** What modes.onnx gives; null where no modes of failure are told apart. */
  readonly modes: Modes | null;
  /** Null while the model has not been compared. */
  readonly parity: Parity | null;
  /** What the models must be run with. */
  readonly runtime: Runtime;
  /**
   * The other files of the version by name. Their checksums stand in manifest.json as well, with that
   * of this file; check the manifest first.
   */
  readonly files: Readonly<Record<string, FileChecksum>>;
  /** SHA-256 of the resolved configuration, without secrets. */
  readonly configDigest: string;
}
