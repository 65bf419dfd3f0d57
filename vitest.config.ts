import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL(".", import.meta.url));

export default defineConfig({
  resolve: {
    // Tests run our sources, not dist: no build is needed before `vitest`.
    alias: [
      {
        find: /^@banger\/core\/testing$/,
        replacement: `${root}core/src/testing/index.ts`,
      },
      {
        find: /^@banger\/(core|host)\/client$/,
        replacement: `${root}$1/src/client.ts`,
      },
      { find: /^@banger\/(core|host)$/, replacement: `${root}$1/src/index.ts` },
      {
        find: /^@banger\/plugin-([a-z-]+)$/,
        replacement: `${root}plugins/$1/src/index.ts`,
      },
    ],
  },
  test: {
    teardownTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [
            "*/test/**/*.test.ts",
            "plugins/*/test/**/*.test.ts",
            "test/**/*.test.ts",
          ],
          exclude: ["test/e2e/**", "**/node_modules/**", "**/dist/**"],
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          globalSetup: ["test/e2e/global-setup.ts"],
          // Real guests, often under emulation: one file at a time, and minutes rather than seconds.
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
