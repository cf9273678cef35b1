/** Whether a channel still measures what it measured while the model was trained. */

import type { ChannelBaseline } from "./metadata.js";

const SMALLEST_SHARE = 1e-4; // as in ml/evaluation/drift/baseline.py: an empty bin must not make the index infinite

/**
 * Population stability index of new values against a channel's baseline: below 0.1 is read as stable, above 0.25 as
 * another population.
 *
 * @param values Grid values, NaN where missing; of a counter its increases from row to row.
 */
export function stabilityIndex(baseline: ChannelBaseline, values: Iterable<number>): number {
  const counts = new Array<number>(baseline.counts.length + 1).fill(0); // the last one: missing
  let rows = 0;
  for (const value of values) {
    const above = baseline.edges.findIndex((edge) => Math.fround(value) <= edge);
    const bin = Number.isNaN(value) ? counts.length - 1 : above < 0 ? counts.length - 2 : above;
    counts[bin]! += 1;
    rows += 1;
  }
  const trained = [...baseline.counts, baseline.missing];
  const trainedRows = trained.reduce((sum, count) => sum + count, 0);
  if (rows === 0 || trainedRows === 0) throw new RangeError("drift needs at least one row of training and one new row");
  return trained.reduce((index, count, bin) => {
    const actual = Math.max(counts[bin]! / rows, SMALLEST_SHARE);
    const expected = Math.max(count / trainedRows, SMALLEST_SHARE);
    return index + (actual - expected) * Math.log(actual / expected);
  }, 0);
}
