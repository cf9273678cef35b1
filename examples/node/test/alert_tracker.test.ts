import assert from "node:assert/strict";
import { test } from "node:test";

import { AlertTracker, WindowModel, readVersion } from "../src/index.js";
import { alertCases, goldenModes, organization, withNaN } from "./golden.js";
import { bits } from "./replay.js";

for (const [number, { rows, middle, last, advanceTo, ended }] of alertCases().entries()) {
  for (const from of ["the beginning", "a state that Python wrote"]) {
    test(`case ${number}: alerts begin, rise and end as in Python, from ${from}`, () => {
      const fromState = from !== "the beginning";
      let tracker = fromState ? AlertTracker.from(middle) : new AlertTracker(last.cooldownSeconds);
      let kinds = new Set<string>();
      for (const { asset, seconds, modelVersion, events, ...given } of rows.slice(fromState ? 100 : 0)) {
        const probability = given.probability ?? NaN;
        const row = { ...given, probability, timeToFailure: given.timeToFailure && { ...given.timeToFailure, p90: Infinity } };
        assert.deepEqual(tracker.take(asset, seconds, row, modelVersion), events);
        assert.deepEqual(tracker.take(asset, seconds, row, modelVersion), [], "a row that comes again");
        for (const { kind } of events) kinds.add(kind);
        tracker = AlertTracker.from(JSON.parse(JSON.stringify(tracker)) as typeof last);
      }
      assert.deepEqual(tracker.toJSON(), last);
      assert.deepEqual(tracker.advance(advanceTo), ended);
      assert.equal(kinds.size, 3);
    });
  }
}

test("alarms name the component that Python names, with its bits, one by one and all at once", async () => {
  const { organizationId, seconds, windows, components, bits: expected } = goldenModes();
  const model = await WindowModel.open(await readVersion({ ...organization, organizationId }, "v1"));
  const all = await model.predict(Float64Array.from(windows.flatMap(withNaN)), seconds);
  for (const [row, { alarm, component, componentProbability }] of all.entries()) {
    assert.ok(alarm);
    assert.equal(component, components[row]);
    assert.equal(bits(componentProbability!), expected[row]);
    if (row % 20 > 0) continue;
    const [alone] = await model.predict(Float64Array.from(withNaN(windows[row]!)), [seconds[row]!]);
    assert.deepEqual(alone, all[row]);
  }
  assert.ok(new Set(components).size > 2 && components.length > 50);
  assert.equal(AlertTracker.cooldownOf(model.metadata), 300);
  await model.release();
});

test("a model that tells no modes apart names no component", async () => {
  const model = await WindowModel.open(await readVersion(organization, "v1"));
  const { lookBack, channels } = model.metadata.window;
  const [prediction] = await model.predict(new Float64Array(lookBack * channels.length), [1_700_000_000]);
  assert.deepEqual([prediction!.component, prediction!.componentProbability], [null, null]);
});
