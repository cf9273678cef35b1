/** A history of readings given to the client as it happened, compared with what Python says of its rows. */

import { AssetHistory } from "../src/index.js";
import type { Reading, WindowModel } from "../src/index.js";

/** Rows to predict, each asset's by time, with the float32 bits and the labels that Python has for them. */
export interface Expected {
  readonly assets: readonly string[];
  readonly seconds: readonly number[];
  readonly bits: readonly number[];
  readonly labels: readonly number[];
}

interface Feed {
  readonly history: AssetHistory;
  readonly waiting: readonly Reading[];
  next: number;
}

export interface Differences {
  readonly rows: number;
  readonly alarms: number;
  readonly differingBits: number;
  readonly differingLabels: number;
}

/** The bits of a float32. */
export function bits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

/** Count the rows whose prediction differs; a row that the client does not have differs in both. */
export async function replay(
  model: WindowModel,
  readingsOf: (asset: string) => readonly Reading[],
  expected: Expected,
): Promise<Differences> {
  const { lookBack } = model.metadata.window;
  const feeds = new Map<string, Feed>();
  let [alarms, differingBits, differingLabels] = [0, 0, 0];
  for (const [row, asset] of expected.assets.entries()) {
    const seconds = expected.seconds[row]!;
    let feed = feeds.get(asset);
    if (feed === undefined) {
      const waiting = [...readingsOf(asset)].sort((a, b) => Number(a.time) - Number(b.time));
      feeds.set(asset, (feed = { history: new AssetHistory(model.metadata, lookBack, asset), waiting, next: 0 }));
    }
    for (; Number(feed.waiting[feed.next]?.time) <= seconds * 1000; feed.next += 1) {
      feed.history.add(feed.waiting[feed.next]!);
    }
    const window = feed.history.windowAt(seconds, lookBack);
    const [prediction] = window === null ? [] : await model.predict(window, [seconds]);
    alarms += Number(prediction?.alarm ?? false);
    differingBits += Number(prediction === undefined || bits(prediction.probability) !== expected.bits[row]);
    differingLabels += Number(prediction === undefined || Number(prediction.alarm) !== expected.labels[row]);
  }
  return { rows: expected.assets.length, alarms, differingBits, differingLabels };
}
