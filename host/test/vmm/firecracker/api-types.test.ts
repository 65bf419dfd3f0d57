import { execFile } from "node:child_process";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { temporaryDirectory } from "../../files/temporary-directory.js";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const sources = `${root}host/src/vmm/firecracker`;

/** Exit status and standard error of the generator's check. */
function check(...args: string[]): Promise<{ status: unknown; text: string }> {
  const script = `${root}scripts/generate-firecracker-api.mjs`;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [script, "--check", ...args],
      (error, _stdout, text) => {
        resolve({ status: error ? error.code : 0, text });
      },
    );
  });
}

describe("generated types of the API", () => {
  it("are what the description says today", async () => {
    expect(await check()).toEqual({ status: 0, text: "" });
  });

  it.each(["api-types.ts", "api-reply-schemas.ts"])(
    "are found stale when %s was edited",
    async (edited) => {
      const directory = await temporaryDirectory();
      for (const name of ["api-types.ts", "api-reply-schemas.ts"])
        await copyFile(`${sources}/${name}`, `${directory}/${name}`);
      expect(await check("--output", directory)).toMatchObject({ status: 0 });
      const text = await readFile(`${directory}/${edited}`, "utf8");
      await writeFile(`${directory}/${edited}`, text.replace("drive", "disk"));
      const { status, text: problem } = await check("--output", directory);
      expect(status).toBe(1);
      expect(problem).toContain(edited);
      expect(problem).toContain("npm run generate:firecracker-api");
    },
    30_000,
  );
});
