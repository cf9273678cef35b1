import assert from "node:assert/strict";
import { test } from "node:test";

import { ModelError, WindowModel, readVersion } from "../src/index.js";
import type { ModelErrorCode, Prediction } from "../src/index.js";
import { compareVersions, isRunning } from "../src/window_model.js";
import { golden, organization, readingsOf, withNaN } from "./golden.js";
import { bits, replay } from "./replay.js";

for (const version of ["v1", "v2"] as const) {
  const expected = golden.versions[version];

  async function open(): Promise<WindowModel> {
    return WindowModel.open(await readVersion(organization, version));
  }

  function check(prediction: Prediction | undefined, row: number): void {
    assert.equal(bits(prediction!.probability), expected.bits[row], `bits of row ${row}`);
    assert.equal(Number(prediction!.alarm), expected.labels[row], `label of row ${row}`);
  }

  test(`${version}: windows written by Python give its bits and labels, one by one`, async () => {
    const model = await open();
    for (const { row, values } of expected.windows) {
      const [prediction] = await model.predict(Float64Array.from(withNaN(values)), [expected.seconds[row]!]);
      check(prediction, row);
    }
    assert.ok(expected.windows.length >= 190);
  });

  test(`${version}: and all at once`, async () => {
    const model = await open();
    const together = Float64Array.from(expected.windows.flatMap(({ values }) => withNaN(values)));
    const seconds = expected.windows.map(({ row }) => expected.seconds[row]!);
    const predictions = await model.predict(together, seconds);
    for (const [place, { row }] of expected.windows.entries()) check(predictions[place], row);
  });

  test(`${version}: raw readings as they arrive give the bits and labels of every row of the history`, async () => {
    const found = await replay(await open(), readingsOf, expected);
    assert.equal(found.rows, expected.bits.length);
    assert.deepEqual([found.differingBits, found.differingLabels], [0, 0]);
    assert.ok(found.rows > 4000 && found.alarms > 100 && found.alarms < found.rows / 2, JSON.stringify(found));
  });
}

test("the threshold and the label agree", async () => {
  const { metadata } = await readVersion(organization, "v1");
  const { bits: all, labels } = golden.versions.v1;
  const probabilities = new Float32Array(Uint32Array.from(all).buffer);
  assert.deepEqual(Array.from(probabilities, (each) => Number(each >= metadata.threshold)), labels);
});

test("an alarm comes with the contribution of each sensor, largest first, which add up to its score", async () => {
  const stored = await readVersion(organization, "v1");
  const model = await WindowModel.open(stored);
  const { sensors, expectedScore } = stored.metadata.reasons!;
  const { windows, seconds } = golden.versions.v1;
  let alarms = 0;
  for (const { row, values } of windows) {
    const [found] = await model.predict(Float64Array.from(withNaN(values)), [seconds[row]!]);
    const given = found!.reasons.map(({ contribution }) => contribution);
    assert.equal(given.length, found!.alarm ? sensors.length : 0);
    if (!found!.alarm) continue;
    alarms += 1;
    assert.deepEqual([...given].sort((a, b) => b - a), given);
    const score = given.reduce((sum, each) => sum + each, expectedScore);
    assert.ok(Math.abs(1 / (1 + Math.exp(-score)) - found!.probability) < 1e-3);
  }
  assert.ok(alarms > 0);
});

test("an alarm comes with the time to failure that Python computes, bit by bit, and other rows without", async () => {
  const stored = await readVersion(organization, "v2");
  const model = await WindowModel.open(stored);
  const { windows, seconds, times } = golden.versions.v2;
  assert.ok(stored.metadata.timeToFailure!.horizonsSeconds.length > 2);
  const together = Float64Array.from(windows.flatMap(({ values }) => withNaN(values)));
  const found = await model.predict(together, windows.map(({ row }) => seconds[row]!));
  let alarms = 0;
  for (const [place, { alarm, timeToFailure }] of found.entries()) {
    const given = timeToFailure && [timeToFailure.p10, timeToFailure.p50, timeToFailure.p90].map(bits);
    assert.deepEqual(given, alarm ? times!.slice(3 * place, 3 * place + 3) : null);
    alarms += Number(alarm);
  }
  assert.ok(alarms > 3);
  const without = await WindowModel.open(await readVersion(organization, "v1"));
  const first = await without.predict(together.subarray(0, together.length / windows.length), [seconds[windows[0]!.row]!]);
  assert.equal(first[0]!.timeToFailure, null);
});

test("nothing is predicted while the machine is off, and rows without a value count", async () => {
  const stored = await readVersion(organization, "v1");
  const { channels } = stored.metadata.window;
  const last = channels.length - 1;
  const rule = { column: channels[last]!.name, equals: null, above: 0.1 };
  const model = await WindowModel.open({ ...stored, metadata: { ...stored.metadata, runningWhen: rule } });
  const { windows, seconds, bits: expected } = golden.versions.v1;
  let resting = 0;
  for (const { row, values } of windows) {
    const window = Float64Array.from(withNaN(values));
    const newest = window.at(-1)!;
    const [prediction] = await model.predict(window, [seconds[row]!]);
    assert.equal(prediction!.running, Number.isNaN(newest) || newest > 0.1);
    if (prediction!.running) assert.equal(bits(prediction!.probability), expected[row]);
    else assert.deepEqual([prediction!.probability, prediction!.alarm], [NaN, false]);
    resting += Number(!prediction!.running);
  }
  assert.ok(resting > 0, "no row of the history is off");
});

test("the bound is compared as float32, like the values", () => {
  const { window } = { window: { lookBack: 1, channels: [{ name: "speed" }] as never } };
  const runs = (rule: { equals: number | null; above: number | null }, value: number): boolean =>
    isRunning({ runningWhen: { column: "speed", ...rule }, window }, Float64Array.of(value));
  const tenth = Math.fround(0.1);
  assert.deepEqual([runs({ equals: 0.1, above: null }, tenth), runs({ equals: null, above: 0.1 }, tenth)], [true, false]);
  assert.deepEqual([runs({ equals: 1, above: null }, NaN), runs({ equals: 1, above: null }, 0)], [true, false]);
});

test("a window of another size is refused", async () => {
  const model = await WindowModel.open(await readVersion(organization, "v1"));
  await assert.rejects(model.predict(new Float64Array(3), [0]), /1 windows of \d+ rows and 9 channels hold/);
});

function refusedWith(code: ModelErrorCode): (error: unknown) => boolean {
  return (error) => error instanceof ModelError && error.code === code;
}

test("a version that needs a newer runtime is refused", async () => {
  const stored = await readVersion(organization, "v1");
  const runtime = { ...stored.metadata.runtime, minimumOnnxruntimeNode: "99.0.0" };
  const demanding = { ...stored, metadata: { ...stored.metadata, runtime } };
  await assert.rejects(WindowModel.open(demanding), refusedWith("RUNTIME_TOO_OLD"));
});

test("a version whose window model is absent or no model is refused", async () => {
  const stored = await readVersion(organization, "v1");
  await assert.rejects(WindowModel.open({ ...stored, files: new Map() }), refusedWith("ARTIFACT_MISSING"));
  const noise = new Map([["window.onnx", Buffer.from("not a model")]]);
  await assert.rejects(WindowModel.open({ ...stored, files: noise }), refusedWith("INTEGRITY_REFUSED"));
});

test("versions are compared by number", () => {
  assert.ok(compareVersions("1.9.0", "1.26.0") < 0);
  assert.ok(compareVersions("2.0", "1.26.0") > 0);
  assert.equal(compareVersions("1.26.0-dev.2026", "1.26.0"), 0);
});
