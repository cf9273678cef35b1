import assert from "node:assert/strict";
import { test } from "node:test";

import { AssetHistory } from "../src/index.js";
import type { GridContract, Reading } from "../src/index.js";
import { eventCases, gridCases, withNaN } from "./golden.js";
import type { GridCase } from "./golden.js";

const LOOK_BACK = 5;
const EMPTY = [NaN, NaN, NaN];

function contract(part: Pick<GridCase, "samplingIntervalSeconds" | "aggregation" | "maxGapSeconds">): GridContract {
  const kinds = { speed: "continuous", total: "counter", running: "boolean" } as const;
  return {
    samplingIntervalSeconds: part.samplingIntervalSeconds,
    grid: {
      instants: "multiplesOfIntervalSinceEpoch",
      covers: "afterPreviousInstantUpToOwn",
      newSegment: "afterPauseLongerThanMaxGap",
      aggregation: part.aggregation,
      maxGapSeconds: part.maxGapSeconds,
      ownGaps: {},
    },
    window: {
      lookBack: LOOK_BACK,
      channels: Object.entries(kinds).map(([name, kind]) => ({
        name,
        kind,
        words: [],
        events: [],
        sourceUnit: null,
        factor: 1,
        offset: 0,
        role: null,
        unit: null,
        validRange: name === "total" ? [0, null] : [null, null],
      })),
    },
  };
}

const MINUTE = contract({ samplingIntervalSeconds: 60, aggregation: "last", maxGapSeconds: 120 });

function reading(seconds: number, values: Reading["values"]): Reading {
  return { time: seconds * 1000, values };
}

/** The windows that Python's grid has: rows of the same segment, after rows that are missing. */
function expectedWindow(of: GridCase, row: number): number[] {
  const first = Math.max(0, row - LOOK_BACK + 1);
  const rows = of.rows.slice(first, row + 1).filter((_, place) => of.segments[first + place] === of.segments[row]);
  return [...Array<number[]>(LOOK_BACK - rows.length).fill(EMPTY), ...rows.map(withNaN)].flat();
}

for (const [number, given] of gridCases.entries()) {
  test(`readings as they arrive become the windows of Python's grid: case ${number}, ${given.aggregation}`, () => {
    const readings = given.microseconds.map((microseconds, place) => ({
      time: microseconds / 1000,
      values: Object.fromEntries(
        Object.entries(given.values).map(([name, column]) => {
          const value = column[place];
          return [name, value === null || value === undefined ? null : Number(value.replace("inf", "Infinity"))];
        }),
      ),
    }));
    const history = new AssetHistory(contract(given));
    let windows = 0;
    for (const [row, seconds] of given.seconds.entries()) {
      const previous = row === 0 ? -Infinity : given.seconds[row - 1]!;
      const due = ({ time }: { time: number }): boolean => time > previous * 1000 && time <= seconds * 1000;
      for (const each of readings.filter(due)) assert.ok(history.add(each));
      assert.deepEqual([...history.windowAt(seconds, LOOK_BACK)!], expectedWindow(given, row), `row ${row}`);
      windows += 1;
    }
    assert.equal(windows, given.rows.length);
    assert.ok(new Set(given.segments).size > 5);
  });
}

for (const [number, given] of eventCases.entries()) {
  test(`times since events are those of Python: case ${number}`, () => {
    const { window, ...grid } = contract({ ...given, aggregation: "last", maxGapSeconds: given.samplingIntervalSeconds });
    const channels = Object.entries(given.inputs).map(([name, events]) => ({
      ...window.channels[0]!,
      name,
      kind: "event" as const,
      events,
    }));
    const history = new AssetHistory({ ...grid, window: { lookBack: 1, channels } });
    const due = given.events.map(([event, microseconds]) => ({ event, time: microseconds / 1000 }));
    for (const [row, seconds] of given.seconds.entries()) {
      // Those of the future are known at once in every other case, and change nothing.
      const known = number % 2 === 0 ? due.filter(({ time }) => time <= seconds * 1000) : due;
      for (const each of known) history.event(each.event, each.time);
      due.splice(0, due.length, ...due.filter((each) => !known.includes(each)));
      history.add(reading(seconds, {}));
      assert.deepEqual([...history.windowAt(seconds, 1)!], withNaN(given.rows[row]!), `row ${row}`);
    }
  });
}

test("an event is a failure or maintenance", () => {
  const history = new AssetHistory(MINUTE);
  for (const name of ["repair", "failure:", "Failure", ""]) assert.throws(() => history.event(name, 0), RangeError);
});

test("the order in which readings arrive does not matter until a window is taken", () => {
  const [forwards, backwards] = [new AssetHistory(MINUTE), new AssetHistory(MINUTE)];
  const readings = [0, 10, 61, 100, 130].map((seconds) => reading(seconds, { speed: seconds, running: 0 }));
  for (const each of readings) forwards.add(each);
  for (const each of [...readings].reverse()) backwards.add(each);
  assert.deepEqual(forwards.windowAt(180, LOOK_BACK), backwards.windowAt(180, LOOK_BACK));
});

test("a reading that a window should have had is told to be late", () => {
  const history = new AssetHistory(MINUTE);
  assert.equal(history.add(reading(60, { speed: 1 })), true);
  assert.deepEqual(history.windowAt(60, 1), Float64Array.of(1, NaN, NaN));
  assert.equal(history.add(reading(60, { speed: 2 })), false);
  assert.equal(history.add(reading(60.001, { speed: 3 })), true);
  assert.deepEqual(history.windowAt(120, 2), Float64Array.of(1, NaN, NaN, 3, NaN, NaN));
  assert.equal(history.windowAt(60, 1), null);
});

test("an asset has rows while it is not silent, and none before its first reading", () => {
  const history = new AssetHistory(MINUTE);
  assert.equal(history.windowAt(0, 1), null);
  history.add(reading(30, { speed: 7 }));
  assert.equal(history.windowAt(60, 1)?.[0], 7);
  assert.equal(history.windowAt(120, 1)?.[0], 7);
  assert.equal(history.windowAt(180, 1), null); // another reading after 180 s would come after a pause of over 120 s
  history.add(reading(200, { speed: 8 }));
  assert.deepEqual(history.windowAt(240, 2), Float64Array.of(...EMPTY, 8, NaN, NaN));
});

test("an asset that logs slowly has a gap limit of its own", () => {
  const contractOfAll = { ...MINUTE, grid: { ...MINUTE.grid, ownGaps: { slow: 3600 } } };
  const [slow, other] = ["slow", "toString"].map((name) => new AssetHistory(contractOfAll, LOOK_BACK, name));
  for (const history of [slow!, other!]) history.add(reading(60, { speed: 7 }));
  for (const history of [slow!, other!]) history.add(reading(3660, { speed: 8 }));
  assert.deepEqual(slow!.windowAt(3660, 2), Float64Array.of(7, NaN, NaN, 8, NaN, NaN));
  assert.deepEqual(other!.windowAt(3660, 2), Float64Array.of(...EMPTY, 8, NaN, NaN));
});

test("windows taken before are not changed by what comes later", () => {
  const history = new AssetHistory(MINUTE);
  history.add(reading(60, { speed: 1 }));
  const window = history.windowAt(60, 1)!;
  history.add(reading(120, { speed: 2 }));
  history.windowAt(120, 1);
  assert.equal(window[0], 1);
});

test("words become the codes that the metadata lists, and words that it does not list are missing", () => {
  const channels = [{ ...MINUTE.window.channels[0]!, name: "recipe", kind: "categorical" as const, words: ["A", "7"] }];
  const grid = { ...MINUTE.grid, aggregation: "mean" as const };
  const history = new AssetHistory({ ...MINUTE, grid, window: { lookBack: 1, channels } });
  const codes = [" A ", 7, "7", "B", "a", null, "A"].map((word, row) => {
    history.add(reading(600 * row, { recipe: word }));
    return history.windowAt(600 * row, 1)![0];
  });
  assert.deepEqual(codes, [0, 1, 1, NaN, NaN, NaN, 0]);
});

test("readings are converted from the source's unit before the valid range and rounding", () => {
  const scale = { factor: 0.5555555555555556, offset: -17.77777777777778, validRange: [null, 99] as const };
  const channels = [{ ...MINUTE.window.channels[0]!, ...scale, name: "temp", kind: "continuous" as const }];
  const history = new AssetHistory({ ...MINUTE, window: { lookBack: 1, channels } });
  const cells = [68.5, 212].map((temp, row) => {
    history.add(reading(600 * row, { temp }));
    return history.windowAt(600 * row, 1)![0];
  });
  assert.deepEqual(cells, [Math.fround(68.5 * scale.factor + scale.offset), NaN]);
});

test("booleans may be true and false, and names that every object has are no channels", () => {
  const history = new AssetHistory(MINUTE);
  history.add(reading(60, { running: true, toString: 1 }));
  assert.deepEqual(history.windowAt(60, 1), Float64Array.of(NaN, NaN, 1));
});

test("instants off the grid, too many rows and times that are none are refused", () => {
  const history = new AssetHistory(MINUTE);
  assert.throws(() => history.windowAt(61, 1), /61 s is not a multiple of the sampling interval of 60 s/);
  assert.throws(() => history.windowAt(60, LOOK_BACK + 1), /only 5 rows are kept, not 6/);
  assert.throws(() => history.add({ time: new Date("nonsense"), values: {} }), /is not a time/);
  assert.throws(() => new AssetHistory(MINUTE, 3), /looks back 5 rows, not 3/);
});

test("a reading outside its valid range is missing, one at its end is not", () => {
  const history = new AssetHistory(MINUTE);
  history.add(reading(60, { speed: -5, total: 0, running: true }));
  history.add(reading(120, { speed: 1, total: -1, running: true }));
  const rows = [...history.windowAt(120, 2)!];
  assert.deepEqual(rows, [-5, 0, 1, 1, 0, 1]); // the total of before is carried
  const fresh = new AssetHistory(MINUTE);
  fresh.add(reading(60, { speed: 1, total: -1, running: true }));
  assert.deepEqual([...fresh.windowAt(60, 1)!], [1, NaN, 1]);
});
