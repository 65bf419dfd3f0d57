import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL(".", import.meta.url));

const e2e = (name: string): string => `test/e2e/${name}.test.ts`;

/** Real guests, often under emulation: one file at a time, and minutes rather than seconds. */
const guests = {
  globalSetup: ["test/e2e/global-setup.ts"],
  fileParallelism: false,
  testTimeout: 600_000,
  hookTimeout: 600_000,
};

export default defineConfig({
  resolve: {
    // Tests run our sources, not dist: no build is needed before `vitest`.
    alias: [
      {
        find: /^@banger\/core\/testing$/,
        replacement: `${root}core/src/testing/index.ts`,
      },
      {
        find: /^@banger\/(core|host)\/(client|helper)$/,
        replacement: `${root}$1/src/$2.ts`,
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
          exclude: [
            "test/{e2e,e2e-firecracker,e2e-network,guest-host}/**",
            "**/node_modules/**",
            "**/dist/**",
          ],
        },
      },
      { extends: true, test: { ...guests, name: "e2e", include: [e2e("*")] } },
      {
        extends: true,
        test: {
          ...guests,
          name: "guest-host",
          globalSetup: ["test/guest-host/global-setup.ts"],
          include: ["test/guest-host/*.test.ts"],
        },
      },
      {
        extends: true,
        // Only in the namespaces of scripts/test-network.mjs.
        test: {
          ...guests,
          name: "network",
          include: ["test/e2e-network/*.test.ts"],
        },
      },
      {
        extends: true,
        test: {
          ...guests,
          // What says which VMM it is and where, comes from outside: scripts/test-fc-contract.mjs, scripts/test-firecracker.mjs.
          name: "firecracker",
          include: [
            ...["run", "life", "guest", "plugins", "bad-input", "service"].map(
              e2e,
            ),
            "test/e2e-firecracker/*.test.ts",
          ],
        },
      },
    ],
  },
});
