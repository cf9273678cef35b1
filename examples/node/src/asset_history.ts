/**
 * The newest grid rows of one asset, made of its readings as they arrive, by the rules in `metadata.grid`.
 *
 * Row by row it holds what data_prep makes of the same readings, so a window of it has the features of training.
 * Readings wait until a window at or after their time is asked for: ask once per sampling interval.
 */

import { AssetEvents } from "./asset_events.js";
import type { Channel, ModelMetadata } from "./metadata.js";

/** One row of the source: all channels that were measured at an instant. */
export interface Reading {
  /** A date, or milliseconds since 1970; microseconds as fractions. */
  readonly time: Date | number;
  /**
   * By channel name; null or absent is missing, and so is a word that a categorical channel does not know. Channels that
   * the model does not know are ignored.
   */
  readonly values: Readonly<Record<string, number | boolean | string | null>>;
}

/** The part of the metadata that decides what rows look like. */
export type GridContract = Pick<ModelMetadata, "samplingIntervalSeconds" | "grid" | "window">;

const MICROSECONDS = 1_000_000;

type Kind = "last" | "mean" | "any";

interface Measured {
  readonly time: number; // microseconds
  readonly values: Float64Array;
}

export class AssetHistory {
  private readonly names: readonly string[];
  private readonly counters: readonly boolean[];
  private readonly kinds: readonly Kind[];
  /** Factor and offset from the source's unit. */
  private readonly scales: readonly (readonly [number, number])[];
  private readonly ranges: readonly Channel["validRange"][];
  /** Codes by word of the categorical channels. */
  private readonly codes: readonly (ReadonlyMap<string, number> | null)[];
  /** Events that the channels of that kind count from. */
  private readonly counted: readonly (readonly string[] | null)[];
  private readonly step: number; // these times are microseconds since 1970
  private readonly maxGap: number;
  /** rows × channels, the newest row last, NaN before the segment's start. */
  private readonly rows: Float64Array;
  private newestRow = -Infinity;
  /** Everything up to here has become rows; what arrives for it now is too late. */
  private closedUpTo = -Infinity;
  private newestReading = -Infinity;
  /** The last value of each channel in this segment, and when it was measured. */
  private readonly last: Float64Array;
  private readonly lastTime: Float64Array;
  /** Readings after `closedUpTo`, by time. */
  private pending: Measured[] = [];

  /**
   * @param capacity Rows to keep, at least `window.lookBack`.
   * @param asset Its name: assets that log slowly have a gap limit of their own.
   * @param events Its failures and maintenance, for a model with channels of that kind; missing where it has none.
   */
  constructor(
    contract: GridContract,
    capacity: number = contract.window.lookBack,
    asset = "",
    private readonly events = new AssetEvents(),
  ) {
    const { channels, lookBack } = contract.window;
    if (capacity < lookBack) throw new RangeError(`the model looks back ${lookBack} rows, not ${capacity}`);
    this.names = channels.map((channel) => channel.name);
    this.counters = channels.map((channel) => channel.kind === "counter");
    this.scales = channels.map(({ factor, offset }) => [factor, offset]);
    this.ranges = channels.map((channel) => channel.validRange);
    this.codes = channels.map(({ kind, words }) =>
      kind === "categorical" ? new Map(words.map((word, code) => [word, code])) : null,
    );
    this.counted = channels.map(({ kind, events }) => (kind === "event" ? events : null));
    this.kinds = channels.map(({ kind }) =>
      kind === "boolean" ? "any" : kind === "continuous" ? contract.grid.aggregation : "last",
    );
    this.step = contract.samplingIntervalSeconds * MICROSECONDS;
    const { maxGapSeconds, ownGaps } = contract.grid;
    this.maxGap = (Object.hasOwn(ownGaps, asset) ? ownGaps[asset]! : maxGapSeconds) * MICROSECONDS;
    this.rows = new Float64Array(capacity * channels.length).fill(NaN);
    this.last = new Float64Array(channels.length).fill(NaN);
    this.lastTime = new Float64Array(channels.length).fill(-Infinity);
  }

  /** Rows that can be asked for at once. */
  get capacity(): number {
    return this.rows.length / this.names.length;
  }

  /**
   * Take a reading, in any order of time.
   *
   * @returns False if it is ignored, because a window that should have had it was taken already. Training would have
   *   seen it: if this happens often, predict a little later.
   */
  add(reading: Reading): boolean {
    const time = microseconds(reading.time);
    if (time <= this.closedUpTo) return false;
    const measured = { time, values: this.clean(reading) };
    let place = this.pending.length;
    while (place > 0 && this.pending[place - 1]!.time > time) place -= 1;
    const repeated = place > 0 && this.pending[place - 1]!.time === time;
    this.pending.splice(repeated ? place - 1 : place, repeated ? 1 : 0, measured);
    return true;
  }

  /**
   * Take a failure or maintenance, in any order of time; it counts in the rows that are made from now on.
   *
   * @param event As the model's channels of the kind "event" name it: `failure`, `maintenance:filter`.
   * @param time When it ended; when it began, where it has no end.
   */
  event(event: string, time: Date | number): void {
    this.events.add(event, microseconds(time));
  }

  /**
   * The window that ends at a grid instant, once all readings up to it have been added: lookBack × channels.
   *
   * @param seconds Epoch seconds, a multiple of the sampling interval.
   * @returns Null where the asset has no row then: it has been silent for maxGapSeconds, or has sent nothing yet. Also
   *   for an instant before one that was asked for earlier.
   */
  windowAt(seconds: number, lookBack: number): Float64Array | null {
    const instant = seconds * MICROSECONDS;
    if (!Number.isInteger(instant / this.step)) {
      throw new RangeError(`${seconds} s is not a multiple of the sampling interval of ${this.step / MICROSECONDS} s`);
    }
    if (lookBack > this.capacity) throw new RangeError(`only ${this.capacity} rows are kept, not ${lookBack}`);
    this.closeUpTo(instant);
    return this.newestRow === instant ? this.rows.slice((this.capacity - lookBack) * this.names.length) : null;
  }

  /** Make rows of all readings up to an instant, and of the pause after them as long as the asset is not silent. */
  private closeUpTo(instant: number): void {
    if (instant <= this.closedUpTo) return;
    let taken = 0;
    while (taken < this.pending.length && this.pending[taken]!.time <= instant) {
      const first = this.pending[taken]!.time;
      const row = Math.ceil(first / this.step) * this.step;
      let end = taken + 1;
      while (end < this.pending.length && this.pending[end]!.time <= row) end += 1;
      if (first - this.newestReading > this.maxGap) this.startSegment(row);
      this.carryUntil(row);
      this.append(row, this.pending.slice(taken, end));
      taken = end;
    }
    this.pending.splice(0, taken);
    this.carryUntil(Math.min(instant + this.step, this.newestReading + this.maxGap));
    this.closedUpTo = instant;
  }

  private startSegment(firstRow: number): void {
    this.rows.fill(NaN);
    this.last.fill(NaN);
    this.lastTime.fill(-Infinity);
    this.newestRow = firstRow - this.step;
  }

  /** Rows without readings, up to an instant that is not included. */
  private carryUntil(end: number): void {
    for (let row = this.newestRow + this.step; row < end; row += this.step) this.append(row, []);
  }

  private append(row: number, readings: readonly Measured[]): void {
    const width = this.names.length;
    this.rows.copyWithin(0, width);
    for (let channel = 0; channel < width; channel += 1) {
      this.rows[this.rows.length - width + channel] = this.cell(channel, row, readings);
    }
    this.newestRow = row;
    this.newestReading = readings.at(-1)?.time ?? this.newestReading;
  }

  private cell(channel: number, row: number, readings: readonly Measured[]): number {
    const counted = this.counted[channel];
    if (counted) return this.events.since(counted, row, this.step);
    let count = 0;
    let sum = 0;
    let any = 0;
    for (const { time, values } of readings) {
      const value = values[channel]!;
      if (Number.isNaN(value)) continue;
      count += 1;
      sum += value;
      if (value === 1) any = 1;
      this.last[channel] = value;
      this.lastTime[channel] = time;
    }
    const kind = this.kinds[channel]!;
    if (count > 0 && kind === "mean") return Math.fround(sum / count);
    if (count > 0 && kind === "any") return any;
    return row - this.lastTime[channel]! <= this.maxGap ? this.last[channel]! : NaN;
  }

  /** Values in channel order, in the precision that training gave them; what is impossible or not finite is missing. */
  private clean({ values }: Reading): Float64Array {
    return Float64Array.from(this.names, (name, channel) => {
      const value = Object.hasOwn(values, name) ? values[name] : null;
      if (value === null || value === undefined) return NaN;
      const codes = this.codes[channel];
      if (codes) return codes.get(String(value).trim()) ?? NaN;
      const [factor, offset] = this.scales[channel]!;
      const converted = factor !== 1 || offset !== 0;
      const measured = converted ? Number(value) * factor + offset : Number(value);
      const [lowest, highest] = this.ranges[channel]!;
      if ((lowest !== null && measured < lowest) || (highest !== null && measured > highest)) return NaN;
      const number = this.counters[channel] ? measured : Math.fround(measured);
      const usable = this.kinds[channel] === "any" ? number === 0 || number === 1 : Number.isFinite(number);
      return usable ? number : NaN;
    });
  }
}

function microseconds(time: Date | number): number {
  const value = Math.round(Number(time) * 1000);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${String(time)} is not a time`);
  return value;
}
