import { writeFile } from "node:fs/promises";
import { expect, it } from "vitest";
import {
  hasIdRange,
  subordinateIdProblem,
} from "../../src/setup/subordinate-ids.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

it.each([
  ["ann:100000:65536\n", true],
  ["bob:1:2\n1000:100000:65536", true],
  ["ann:100000:65535\n", false],
  ["anna:100000:65536\n10000:100000:65536\n", false],
  ["ann\nann:x:y\n", false],
  ["", false],
])("%j has a range for ann, uid 1000: %s", (text, has) => {
  expect(hasIdRange(text, "ann", 1000)).toBe(has);
});

it("names the files that lack one, and the command that helps", async () => {
  const directory = await temporaryDirectory();
  const [uids, gids] = [`${directory}/subuid`, `${directory}/subgid`];
  const ann = { username: "ann", uid: 1000 };
  await writeFile(uids, "ann:100000:65536\n");
  const lack = await subordinateIdProblem([uids, gids], ann);
  expect(lack?.problem).toContain(gids);
  expect(lack?.problem).not.toContain(uids);
  expect(lack?.fix).toMatch(/^sudo usermod --add-subuids .* ann$/);
  await writeFile(gids, "1000:100000:65536\n");
  expect(await subordinateIdProblem([uids, gids], ann)).toBeUndefined();
});
