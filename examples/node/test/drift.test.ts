import assert from "node:assert/strict";
import { test } from "node:test";

import { stabilityIndex } from "../src/index.js";
import { driftCases, withNaN } from "./golden.js";

for (const [number, { baseline, values, index }] of driftCases.entries()) {
  test(`the index is that of Python: case ${number}`, () => {
    const relative = Math.abs(stabilityIndex(baseline, withNaN(values)) / index - 1);
    assert.ok(relative < 1e-12, `${relative}`); // the logarithms of two languages may differ in their last bit
  });
}

test("the cases hold stable and moved channels", () => {
  assert.ok(driftCases.some(({ index }) => index < 0.25) && driftCases.some(({ index }) => index > 0.25));
});

test("drift of nothing is refused", () => {
  assert.throws(() => stabilityIndex({ edges: [1], counts: [1, 1], missing: 0 }, []), /at least one row/);
});
