/**
 * The life of alerts: begun, risen, over. The rule of ml/predict/alert_tracker.py, which goes on from the same state.
 *
 * Rows in alarm of one asset that name one component are one alert, as long as each is at most the cool-down after the
 * one before. An alert is over once a row of its asset, or the clock, is further from its last row.
 */

import type { ModelMetadata } from "./metadata.js";
import type { Prediction, Reason, TimeToFailure } from "./window_model.js";

/** One alarm of one component of one asset; times in ISO 8601, whole seconds. */
export interface Alert {
  readonly asset: string;
  /** The most likely mode of failure of its rows; null where the model tells none apart. */
  readonly component: string | null;
  /** The first and the last row in alarm, and the one of highest probability. */
  readonly start: string;
  readonly end: string;
  readonly peak: string;
  /** Of a failure within the horizon, at the peak; a model of normal behaviour has a score in its place. */
  readonly probability?: number;
  readonly score?: number;
  /** That the failure is of this component, if there is one, at the peak. */
  readonly componentProbability: number | null;
  /** The sensors that raised the score most at the peak, three at most. */
  readonly reasons: readonly Reason[];
  readonly modelVersion: string;
  /** Counted from `end`: whole seconds, null beyond the model's reach. Null if the model gives none. */
  readonly timeToFailure: Readonly<Record<keyof TimeToFailure, number | null>> | null;
}

/** Something that happened to an alert: it began, its probability rose above all before, or it is over. */
export interface AlertEvent {
  readonly kind: "start" | "update" | "end";
  /** When this became known. */
  readonly time: string;
  readonly alert: Alert;
}

/** What a tracker holds, as plain JSON: to go on with in another process. */
export interface AlertState {
  readonly formatVersion: 1;
  readonly cooldownSeconds: number;
  readonly open: readonly Alert[];
  /** The last row of each asset. */
  readonly seen: Readonly<Record<string, string>>;
}

const FORMAT_VERSION = 1;
const NAMED = 3;

type Row = Omit<Prediction, "running">;

export class AlertTracker {
  private readonly opened = new Map<string, Map<string | null, Alert>>();
  private readonly seen = new Map<string, number>();

  /** @param cooldownSeconds Rows of one alert are at most so far apart; see `cooldownOf`. */
  constructor(readonly cooldownSeconds: number) {}

  /** The cool-down that the model's threshold was chosen with; never less than its sampling interval. */
  static cooldownOf({ thresholdChoice, samplingIntervalSeconds }: ModelMetadata): number {
    return Math.max(Number(thresholdChoice["alarmCooldownSeconds"] ?? 0), samplingIntervalSeconds);
  }

  /** The tracker that `toJSON` described; throws a TypeError for anything else. */
  static from(state: AlertState): AlertTracker {
    if (state.formatVersion !== FORMAT_VERSION) throw new TypeError("this is no state of an alert tracker");
    const tracker = new AlertTracker(state.cooldownSeconds);
    for (const alert of state.open) tracker.ofAsset(alert.asset).set(alert.component, alert);
    for (const [asset, time] of Object.entries(state.seen)) tracker.seen.set(asset, Date.parse(time) / 1000);
    return tracker;
  }

  /** Alerts that are not over. */
  get open(): Alert[] {
    return [...this.opened.values()].flatMap((alerts) => [...alerts.values()]);
  }

  /**
   * What the prediction for an asset at an instant (epoch seconds) changes; those of an asset in order of time.
   *
   * One at or before the last of its asset changes nothing, so that rows may be given again after a restart.
   */
  take(asset: string, seconds: number, row: Row, modelVersion: string): AlertEvent[] {
    if (seconds <= (this.seen.get(asset) ?? -Infinity)) return [];
    this.seen.set(asset, seconds);
    const events = this.ended(asset, seconds);
    if (!row.alarm) return events;
    const time = isoTime(seconds);
    const alerts = this.ofAsset(asset);
    const before = alerts.get(row.component);
    const now: Alert = {
      asset,
      component: row.component,
      start: before?.start ?? time,
      end: time,
      peak: time,
      ...(Number.isNaN(row.probability) ? { score: row.score } : { probability: row.probability }),
      componentProbability: row.componentProbability,
      reasons: row.reasons.filter(({ contribution }) => contribution > 0).slice(0, NAMED),
      modelVersion,
      timeToFailure: row.timeToFailure && wholeSeconds(row.timeToFailure),
    };
    const risen = before === undefined || row.score > (before.probability ?? before.score!);
    const alert = risen ? now : { ...before, end: time, timeToFailure: now.timeToFailure };
    alerts.set(row.component, alert);
    if (risen) events.push({ kind: before === undefined ? "start" : "update", time, alert });
    return events;
  }

  /** The alerts that are over by a time (epoch seconds), also of assets that send nothing any more. */
  advance(seconds: number): AlertEvent[] {
    return [...this.opened.keys()].flatMap((asset) => this.ended(asset, seconds));
  }

  toJSON(): AlertState {
    return {
      formatVersion: FORMAT_VERSION,
      cooldownSeconds: this.cooldownSeconds,
      open: this.open,
      seen: Object.fromEntries([...this.seen].map(([asset, seconds]) => [asset, isoTime(seconds)])),
    };
  }

  private ofAsset(asset: string): Map<string | null, Alert> {
    let alerts = this.opened.get(asset);
    if (alerts === undefined) this.opened.set(asset, (alerts = new Map<string | null, Alert>()));
    return alerts;
  }

  private ended(asset: string, seconds: number): AlertEvent[] {
    const alerts = this.opened.get(asset);
    if (alerts === undefined) return [];
    const over = [...alerts.values()].filter(({ end }) => seconds - Date.parse(end) / 1000 > this.cooldownSeconds);
    for (const { component } of over) alerts.delete(component);
    if (alerts.size === 0) this.opened.delete(asset);
    return over.map((alert) => ({ kind: "end", time: isoTime(seconds), alert }));
  }
}

function wholeSeconds({ p10, p50, p90 }: TimeToFailure): Alert["timeToFailure"] {
  const [low, middle, high] = [p10, p50, p90].map((each) => (Number.isFinite(each) ? Math.round(each) : null));
  return { p10: low!, p50: middle!, p90: high! };
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
}
