import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { renderConfig } from "../../src/render/config.js";
import { renderAge, renderDuration } from "../../src/render/duration.js";
import { renderError } from "../../src/render/error.js";
import { renderJson } from "../../src/render/json.js";
import { progressView } from "../../src/render/progress.js";
import { styleOf } from "../../src/render/style.js";
import { renderTable } from "../../src/render/table.js";
import { TerminalText } from "../../src/render/terminal-text.js";
import { renderSpec, renderVm, renderVmTable } from "../../src/render/vm.js";
import { sampleVm } from "../sample-vm.js";

const plain = styleOf(new PassThrough(), {});
const terminal = Object.assign(new PassThrough(), { isTTY: true });

describe("styleOf", () => {
  it("colours a terminal only, and never with NO_COLOR", () => {
    expect(styleOf(terminal, {}).red("x")).toBe("\u001b[31mx\u001b[39m");
    expect(styleOf(terminal, { NO_COLOR: "1" }).red("x")).toBe("x");
    expect(styleOf(terminal, { TERM: "dumb" }).red("x")).toBe("x");
    expect(plain.red("x")).toBe("x");
  });
});

describe("renderError", () => {
  it("shows message, details, hint, code and operation", () => {
    const report = {
      code: "ERR_X",
      kind: "failed",
      message: "it \u001b]0;broke\u0007",
      details: ["one\ntwo", "three"],
      hint: "mend it",
      operationId: "op-1",
    } as const;
    expect(renderError(report, plain)).toBe(
      "banger: it ]0;broke\n  one\n  two\n  three\nhint: mend it\n[ERR_X, op-1]",
    );
  });
});

describe("renderJson", () => {
  it("is the same JSON, and steers no terminal", () => {
    const value = { text: "a\u009b31m\u202e\u{e0001}\u007f\u001b\n\tä😀" };
    expect(renderJson(value)).toBe(
      String.raw`{"text":"a\u009b31m\u202e\udb40\udc01\u007f\u001b\n\tä😀"}`,
    );
    expect(JSON.parse(renderJson(value, 2))).toEqual(value);
  });
});

describe("renderTable", () => {
  it("aligns styled cells by what is seen", () => {
    const { red } = styleOf(terminal, {});
    const rows = [
      ["A", "B"],
      [red("long"), "x"],
    ];
    expect(renderTable(rows)).toBe(`A     B\n${red("long")}  x`);
  });
});

describe("times", () => {
  it("are short", () => {
    expect(renderDuration(340)).toBe("0.3 s");
    expect(renderDuration(65_000)).toBe("1 min 5 s");
    const now = Date.parse("2026-01-03T00:00:00Z");
    expect(renderAge("2026-01-02T23:59:55Z", now)).toBe("5 s");
    expect(renderAge("2026-01-02T23:00:00Z", now)).toBe("1 h");
    expect(renderAge("2026-01-01T00:00:00Z", now)).toBe("2 d");
    expect(renderAge("2027-01-01T00:00:00Z", now)).toBe("0 s");
  });
});

describe("VMs", () => {
  it("are a table, or nothing", () => {
    expect(renderVmTable([], plain)).toBe("");
    const [header, row] = renderVmTable([sampleVm()], plain).split("\n");
    expect(header).toMatch(/^NAME {2}ID/);
    expect(row).toMatch(/^web {3}0123456789ab {2}running .*2 vCPU, 2 GiB/);
    expect(renderSpec(sampleVm().spec)).toBe("2 vCPU | 2048 MiB | 8 GiB disk");
  });
});

describe("renderVm", () => {
  it("has a command line for ssh while the VM runs", () => {
    const line = "ssh -i '/my keys/k' -p 22 root@127.77.0.1";
    expect(renderVm(sampleVm(), plain, "/my keys/k")).toContain(line);
    const stopped = sampleVm({ state: "stopped" });
    expect(renderVm(stopped, plain, "/k")).not.toContain("ssh -i");
  });

  it("has problems, forwards, use and stats when there are any", () => {
    const bare = sampleVm();
    expect(renderVm(bare, plain, "/k")).not.toMatch(
      /^(problems|forwards|last used|stats)/m,
    );
    const vm = sampleVm({
      runtime: {
        ...bare.runtime,
        problems: ["the agent\u0007 is silent", "handles.json is no JSON"],
        forwards: [
          { address: "127.0.0.1", port: 8080, guestPort: 80 },
          { address: "127.0.0.1", port: 2222, guestPort: 22 },
        ],
        lastUsedAt: "2026-01-02T00:00:00.000Z",
      },
      stats: {
        collectedAt: new Date(Date.now() - 3 * 86_400_000).toISOString(),
        cpuPercent: 12.4,
        residentBytes: 310 * 2 ** 20,
        diskBytes: 1.5 * 2 ** 30,
        io: {
          diskReadBytes: 12 * 2 ** 20,
          diskWrittenBytes: 2 ** 20,
          networkReceivedBytes: 2048,
          networkSentBytes: 100,
        },
        guest: {
          memoryTotalBytes: 2 ** 30,
          memoryAvailableBytes: 2 ** 29,
          loadAverage: [0.125, 0, 0],
        },
      },
    });
    const lines = renderVm(vm, plain, "/k").split("\n");
    const at = (start: string): number =>
      lines.findIndex((line) => line.startsWith(start));
    expect(lines[at("problems")]).toBe("problems   the agent is silent");
    expect(lines[at("problems") + 1]).toBe(
      "           handles.json is no JSON",
    );
    expect(lines[at("forwards")]).toBe("forwards   127.0.0.1:8080 to port 80");
    expect(lines[at("forwards") + 1]).toBe(
      "           127.0.0.1:2222 to port 22",
    );
    expect(lines[at("last used")]).toContain("2026-01-02");
    expect(lines[at("stats")]).toBe(
      "stats      CPU 12 %, memory 310 MiB, disk 1.5 GiB; read 12 MiB, written 1 MiB, received 2 KiB, sent 100 B; guest 512 MiB of 1 GiB, load 0.13; 3 d ago",
    );
    const [, row] = renderVmTable([vm], plain).split("\n");
    expect(row).toContain("  running !  ");
  });
});

describe("renderConfig", () => {
  const entries = [
    {
      key: "plugins.file-sync.entries",
      value: ["x".repeat(200)],
      source: "/home/somebody/.config/banger/config.toml:12",
      description: "d".repeat(100),
    },
    { key: "a.b", value: 1, source: "default", description: "short" },
  ];

  it("shows everything where there is no width", () => {
    const text = renderConfig("/f", entries, plain);
    expect(text).toContain("x".repeat(200));
    expect(text).not.toContain("…");
  });

  it.each([40, 60, 80, 120, 200])("keeps within %i columns", (width) => {
    const text = renderConfig("/f", entries, plain, width);
    const widths = text.split("\n").map((line) => line.length);
    expect(Math.max(...widths)).toBeLessThanOrEqual(width);
    expect(text).toContain("plugins.file-sync.entries");
    expect(text).toContain("…");
    expect(text).toMatch(/^a\.b +1 +de/m);
  });
});

describe("TerminalText", () => {
  const hostile =
    "a\u001b[31mred\u001b[0m\r\n\u001b]0;title\u0007b\tc\u009b1mz\u202eq\u0000";

  it.each([1, 2, 3, 5, 100])("cleans pieces of %i bytes", (size) => {
    const filter = new TerminalText();
    const bytes = Buffer.from(hostile);
    let shown = "";
    for (let at = 0; at < bytes.length; at += size)
      shown += filter.push(bytes.subarray(at, at + size));
    shown += filter.end();
    expect(shown.replaceAll("1m", "")).toBe("ared\nb\tczq");
  });

  it("does not keep text back that ends in no sequence", () => {
    expect(new TerminalText().push(Buffer.from("login: "))).toBe("login: ");
  });

  it("does not wait for a sequence without end", () => {
    const filter = new TerminalText();
    expect(filter.push(Buffer.from(`\u001b]${"x".repeat(5000)}`))).not.toBe("");
  });
});

describe("progress", () => {
  const events = [
    { type: "begin", operationId: "op-1" },
    { type: "progress", stage: "boot", text: "one", elapsedMs: 1 },
    { type: "progress", stage: "boot", text: "two", elapsedMs: 2 },
    { type: "progress", stage: "boot", text: "warning: odd", elapsedMs: 2 },
    { type: "progress", stage: "ssh", text: "th\u001b[2Jree", elapsedMs: 3 },
  ] as const;

  function shown(isTTY: boolean, options: object, failed = false): string {
    const output = Object.assign(new PassThrough(), { isTTY });
    const view = progressView(output, styleOf(output, {}), options);
    for (const event of events) view.show(event);
    view.end(failed);
    return String(output.read() ?? "");
  }

  it("is a line a stage without a terminal", () => {
    expect(shown(false, {})).toBe(
      "boot: one\nboot: warning: odd\nssh: th[2Jree\n",
    );
    expect(shown(true, { label: "web" })).toMatch(/^web: boot: one\n/);
  });

  it("is a live line on a terminal, with lines of what is done", () => {
    const text = shown(true, {});
    const lines = text
      .split("\n")
      .map((line) => line.split("\u001b[2K").at(-1));
    expect(lines[0]).toContain("warning: odd");
    expect(lines[1]).toMatch(/^ {2}boot +/);
    expect(lines[2]).toMatch(/^ {2}ssh +/);
    expect(shown(true, {}, true).endsWith("\u001b[2K")).toBe(true);
  });

  it.each([true, false])(
    "tells only warnings once it is cancelled, on a terminal: %s",
    (isTTY) => {
      const output = Object.assign(new PassThrough(), { isTTY });
      const view = progressView(output, styleOf(output, {}));
      view.cancelling();
      for (const event of events) view.show(event);
      view.end(true);
      const text = String(output.read() ?? "");
      expect(text).toContain("warning: odd");
      expect(text).not.toMatch(/one|two|ssh/);
      expect(text.includes("cancelling")).toBe(isTTY);
      // The live line is gone at the end.
      expect(text.endsWith(isTTY ? "\u001b[2K" : "\n")).toBe(true);
    },
  );

  it("is nothing when quiet", () => {
    expect(shown(true, { quiet: true })).toBe("");
  });
});
