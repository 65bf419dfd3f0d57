import type { VmRecord, VmRefusals } from "@banger/core/client";
import { describe, expect, it } from "vitest";
import { refusal, startFakeDaemon, type Answers } from "../fake-daemon.js";
import { run } from "../run.js";
import { sampleVm } from "../sample-vm.js";
import { temporaryDirectory } from "../temporary-directory.js";

const web = sampleVm();
const told: VmRefusals = {
  egress: { kind: "listed", allow: ["apt.linux.test:443"], recorded: true },
  refusals: [
    {
      at: "2026-01-02T03:04:05.678Z",
      protocol: "tcp",
      address: "192.0.2.7",
      port: 80,
      name: "apt.linux.test",
      count: 12,
    },
    {
      at: "2026-01-02T03:04:04.000Z",
      protocol: "dns",
      name: "e\u001b[2Jvil",
      count: 1,
    },
    {
      at: "2026-01-02T03:04:03.000Z",
      protocol: "icmp",
      address: "192.0.2.8",
      count: 3,
    },
  ],
};

async function whyBlocked(answer: unknown, ...options: string[]) {
  return whyBlockedOf(web, answer, ...options);
}

async function whyBlockedOf(
  vm: VmRecord,
  answer: unknown,
  ...options: string[]
) {
  const home = await temporaryDirectory();
  const answers: Answers = {
    "GET /v1/vms/web": vm,
    [`GET /v1/vms/${web.id}/refusals`]: answer,
  };
  await startFakeDaemon(home, answers);
  return run(["vm", "why-blocked", "web", ...options], { home });
}

describe("vm why-blocked", () => {
  it("is what is in force, and a table", async () => {
    expect((await whyBlocked(told)).stdout).toBe(
      [
        "web has NAT and may reach what plugins.nat.allow says: apt.linux.test:443",
        "",
        "LAST                     PROTO  ADDRESS    PORT  COUNT  NAME",
        "2026-01-02 03:04:05 UTC  tcp    192.0.2.7  80    12     apt.linux.test",
        "2026-01-02 03:04:04 UTC  dns    -          -     1      e[2Jvil",
        "2026-01-02 03:04:03 UTC  icmp   192.0.2.8  -     3      -",
        "",
      ].join("\n"),
    );
  });

  it("is JSON for scripts", async () => {
    const { stdout, stderr } = await whyBlocked(told, "--json");
    expect(JSON.parse(stdout)).toEqual({ id: web.id, name: "web", ...told });
    expect(stderr).toBe("");
  });

  it.each([
    [{ kind: "closed", recorded: true }, /has no NAT[^]*Nothing was refused/],
    [{ kind: "open", recorded: true }, /everything[^]*Nothing was refused/],
    [{ kind: "listed", allow: [], recorded: true }, /nothing: .* is empty/],
    [{ kind: "open", recorded: false }, /VMM itself refuses/],
  ])("says what %j means when there is nothing", async (egress, text) => {
    const { stdout } = await whyBlocked({ egress, refusals: [] });
    expect(stdout).toMatch(text);
    expect(stdout).not.toContain("PROTO");
  });

  it("does not say of a VM with NAT that it has none, where no plugin sees to it", async () => {
    const egress = { kind: "closed", recorded: false };
    const { stdout } = await whyBlockedOf(
      { ...web, spec: { ...web.spec, nat: true } },
      { egress, refusals: [] },
    );
    expect(stdout).toContain("web has NAT");
    expect(stdout).toContain("banger doctor");
    expect(stdout).not.toContain("no NAT");
  });

  it("fails as every command does", async () => {
    const ended = await whyBlocked(
      refusal(409, {
        code: "ERR_VM_STATE",
        kind: "conflict",
        message: "web is not running",
      }),
    );
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain("ERR_VM_STATE");
  });
});
