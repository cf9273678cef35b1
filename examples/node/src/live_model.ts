/** The published model of one organisation with the newest rows of its assets; follows what is published. */

import { AssetEvents } from "./asset_events.js";
import { AssetHistory } from "./asset_history.js";
import type { GridContract, Reading } from "./asset_history.js";
import type { ModelMetadata } from "./metadata.js";
import { currentIdentity, readCurrent } from "./stored_version.js";
import type { Organization } from "./stored_version.js";
import { WindowModel } from "./window_model.js";
import type { Prediction } from "./window_model.js";

/** A newly published version is in use. */
export interface Change {
  readonly previous: string;
  readonly version: string;
  /** Whether the kept rows did not suit it, so that readings must be added again to fill the windows. */
  readonly historyRestarted: boolean;
}

export interface WatchOptions {
  readonly everyMs?: number;
  readonly onChange?: (change: Change) => void;
  /** A newly published version cannot be used; the one before stays in use. */
  readonly onError: (error: unknown) => void;
}

const WATCH_EVERY_MS = 5_000;
const SPARE = 2; // keeps twice the rows needed: a later version may look further back

export class LiveModel {
  private readonly histories = new Map<string, AssetHistory>();
  /** Kept for as long as this object, whichever version is in use. */
  private readonly events = new Map<string, AssetEvents>();
  private refreshing: Promise<Change | null> | undefined;
  private closed = false;

  private constructor(
    private readonly organization: Organization,
    private model: WindowModel,
    private identity: string,
    private readonly wantedRows: number,
  ) {}

  /**
   * Open what is published; rejects with a ModelError.
   *
   * @param keepRows Rows to keep per asset. Default: twice what the present version looks back.
   */
  static async open(organization: Organization, keepRows = 0): Promise<LiveModel> {
    const stored = await readCurrent(organization);
    return new LiveModel(organization, await WindowModel.open(stored), stored.identity, keepRows);
  }

  /** About the version in use. */
  get metadata(): ModelMetadata {
    return this.model.metadata;
  }

  /** Take a reading of an asset; false if it came too late to count (see AssetHistory.add). */
  add(asset: string, reading: Reading): boolean {
    return this.history(asset).add(reading);
  }

  /**
   * Take a failure or maintenance of an asset, of any time: those of the past before the first reading, later ones as
   * they end. Models without channels of the kind "event" pay no heed to it.
   */
  event(asset: string, event: string, time: Date | number): void {
    this.history(asset).event(event, time);
  }

  /**
   * Predict for an asset at a grid instant (epoch seconds), once all its readings up to then have been added.
   *
   * @returns Null if the asset has no row then: see AssetHistory.windowAt.
   */
  async predict(asset: string, seconds: number): Promise<Prediction | null> {
    const model = this.model; // one version for the whole of this prediction
    const window = this.histories.get(asset)?.windowAt(seconds, model.metadata.window.lookBack);
    if (window === undefined || window === null) return null;
    const [prediction] = await model.predict(window, [seconds]);
    return prediction ?? null;
  }

  /**
   * Use what is published now, if that is another version; predictions go on with the one before until it is ready.
   * The one before gives its memory back as soon as the predictions that it has begun have ended.
   *
   * Rejects with a ModelError if it cannot be used; the version before stays in use.
   */
  refresh(): Promise<Change | null> {
    this.refreshing ??= this.adopt().finally(() => (this.refreshing = undefined));
    return this.refreshing;
  }

  /** Look for a newly published version again and again; returns how to stop. */
  watch({ everyMs = WATCH_EVERY_MS, onChange, onError }: WatchOptions): () => void {
    const timer = setInterval(() => {
      this.refresh().then((change) => change && onChange?.(change), onError);
    }, everyMs);
    timer.unref();
    return () => clearInterval(timer);
  }

  /** Give the model's memory back once the predictions that run have ended; later ones reject. */
  async close(): Promise<void> {
    this.closed = true;
    await this.refreshing?.catch(() => null); // whoever asked for it hears of it
    await this.model.release();
  }

  private history(asset: string): AssetHistory {
    let history = this.histories.get(asset);
    if (history === undefined) {
      const events = this.events.get(asset) ?? new AssetEvents();
      this.events.set(asset, events);
      const rows = this.wantedRows || SPARE * this.metadata.window.lookBack;
      history = new AssetHistory(this.metadata, Math.max(rows, this.metadata.window.lookBack), asset, events);
      this.histories.set(asset, history);
    }
    return history;
  }

  private async adopt(): Promise<Change | null> {
    if (this.closed) return null;
    const published = await currentIdentity(this.organization).catch(() => null); // readCurrent tells why
    if (published === this.identity) return null;
    const stored = await readCurrent(this.organization);
    if (stored.identity === this.identity) return null;
    const model = await WindowModel.open(stored);
    const previous = this.model;
    const historyRestarted = !this.suits(model.metadata);
    if (historyRestarted) this.histories.clear();
    this.model = model;
    this.identity = stored.identity;
    await previous.release();
    return { previous: previous.metadata.version, version: stored.version, historyRestarted };
  }

  /** Whether the kept rows are those that the other version would have. */
  private suits(next: ModelMetadata): boolean {
    const enough = [...this.histories.values()].every((history) => history.capacity >= next.window.lookBack);
    return enough && rowRules(next) === rowRules(this.metadata);
  }
}

/** Everything that decides what a row looks like, to compare. */
function rowRules({ samplingIntervalSeconds, grid, window }: GridContract): string {
  const channels = window.channels.map((each) => [each.name, each.kind, each.words, each.factor, each.offset, each.events]);
  return JSON.stringify([samplingIntervalSeconds, Object.entries(grid).sort(), channels]);
}
