import assert from "node:assert/strict";
import { test } from "node:test";

import { printable } from "../src/index.js";

test("what steers a terminal is shown, what people write stays", () => {
  assert.equal(printable("a\x1b]0;title\x07b\x9b31m\r\u202e\u2028\ud800"), "a\\u{1b}]0;title\\u{7}b\\u{9b}31m\\u{d}\\u{202e}\\u{2028}\\u{d800}");
  for (const text of ["", "two\nlines", "Pumpe 7 °C µs – ✓ 泵 😀", "\\x1b"]) assert.equal(printable(text), text);
});
