import assert from "node:assert/strict";
import type { Check } from "../model/check.js";
import { fakeOperation } from "./fixtures.js";
import { PluginBench, type BenchOptions } from "./plugin-bench.js";

/** Preflight reads only, names its findings, and turns missing tools into findings. */
export async function checkPreflight(options: BenchOptions): Promise<void> {
  await PluginBench.use(options, async (bench) => {
    const { id } = options.plugin;
    const before = await bench.state();
    const set = await bench.load();
    const ask = async (): Promise<void> => {
      const findings = await set.preflight(
        await bench.vm(),
        bench.host.image,
        fakeOperation(),
      );
      for (const finding of findings) {
        assert.notEqual(
          finding.id,
          `${id}.preflight`,
          `preflight throws: ${finding.message}`,
        );
        checkId(id, finding.id);
        assert.notEqual(finding.message, "", `${finding.id} says nothing`);
      }
    };
    await ask();
    bench.host.commands.uninstallAll();
    await ask();
    assert.deepEqual(await bench.state(), before, "preflight changes the host");
  });
}

/** Doctor reads only, reports at least one check, under ids that stay the same with and without tools. */
export async function checkDoctor(options: BenchOptions): Promise<void> {
  await PluginBench.use(options, async (bench) => {
    const { id } = options.plugin;
    const before = await bench.state();
    const set = await bench.load();
    const ask = async (): Promise<readonly string[]> => {
      const sections = await set.doctor(fakeOperation());
      const checks = sections.flatMap((section) => section.checks);
      for (const check of checks) checkCheck(id, check);
      const ids = checks.map((check) => check.id).sort();
      assert.equal(
        new Set(ids).size,
        ids.length,
        `ids repeat: ${ids.join(", ")}`,
      );
      return ids;
    };
    const ids = await ask();
    assert.ok(ids.length > 0, "doctor reports nothing");
    assert.deepEqual(await ask(), ids, "doctor's ids change");
    bench.host.commands.uninstallAll();
    assert.deepEqual(await ask(), ids, "doctor's ids change without tools");
    assert.deepEqual(await bench.state(), before, "doctor changes the host");
  });
}

function checkCheck(plugin: string, check: Check): void {
  assert.notEqual(
    check.id,
    `${plugin}.doctor`,
    `doctor throws: ${check.detail}`,
  );
  checkId(plugin, check.id);
  assert.ok(
    ["pass", "warn", "fail"].includes(check.status),
    `${check.id} has the status ${check.status}`,
  );
  assert.notEqual(check.title, "", `${check.id} has no title`);
  assert.notEqual(check.detail, "", `${check.id} does not say what was seen`);
}

function checkId(plugin: string, id: string): void {
  assert.ok(
    id.startsWith(`${plugin}.`) && id.length > plugin.length + 1,
    `the id ${id} does not begin with ${plugin}.`,
  );
}
