import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { golden, organization, temporaryFolder } from "./golden.js";

test("the example replays a history and tells what it predicts", async (t) => {
  const file = path.join(await temporaryFolder(t), "readings.csv");
  const lines = golden.readings.map(([asset, time, ...values]) =>
    [asset, new Date(time).toISOString(), ...values].join(","),
  );
  await writeFile(file, [["asset_id", "created_timestamp", ...golden.channels].join(","), ...lines, ""].join("\n"));
  const workspace = path.dirname(organization.modelsFolder);
  const script = path.resolve("dist", "src", "example.js");
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...[script, "--workspace", workspace, "--organization", golden.organizationId],
    ...["--readings", file, "--days", "1000"],
  ]);
  assert.match(stdout, /^version v2: \d+ rows of 1800 s, temperature/);
  assert.match(stdout, /PUMP-\d+: alarm, probability 0\.\d{3}/);
  // Every row of the history, and rows of pauses of which only later readings tell that training has none there.
  const predictions = Number(/^(\d+) predictions/m.exec(stdout)?.[1]);
  const rows = golden.versions.v2.seconds.length;
  assert.ok(predictions >= rows - 4 && predictions < 1.05 * rows, `${predictions} predictions, ${rows} rows`);
});
