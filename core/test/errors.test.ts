import { describe, expect, it } from "vitest";
import {
  BangerError,
  CancelledError,
  describeError,
  InvalidValueError,
  isBangerError,
  JoinedError,
  ReportedError,
  reportError,
} from "@banger/core";

class SampleError extends BangerError {
  override readonly code = "ERR_SAMPLE";
}

describe("isBangerError", () => {
  it("knows errors of another copy of core by their brand, and nothing else", () => {
    const foreign = Object.assign(new Error("x"), {
      [Symbol.for("banger.error")]: true,
    });
    expect(isBangerError(new SampleError("x"))).toBe(true);
    expect(isBangerError(foreign)).toBe(true);
    for (const other of [new Error("x"), undefined, null, "x", { code: "E" }])
      expect(isBangerError(other)).toBe(false);
  });
});

describe("BangerError", () => {
  it("is named after its class and has a cause only when one is given", () => {
    const cause = new Error("inner");
    expect(new SampleError("x", { cause })).toMatchObject({
      name: "SampleError",
      kind: "failed",
      cause,
    });
    expect("cause" in new SampleError("x")).toBe(false);
  });
});

describe("describeError", () => {
  it("joins messages and causes, without repeating what is said already", () => {
    const root = new Error("disk full");
    const middle = new Error("write failed: disk full", { cause: root });
    expect(describeError(new Error("start failed", { cause: middle }))).toBe(
      "start failed: write failed: disk full",
    );
  });

  it("ends on a chain of causes that is a ring", () => {
    const ring = new Error("a");
    ring.cause = new Error("b", { cause: ring });
    expect(describeError(ring)).toBe("a: b");
  });

  it("shows what is no error", () => {
    expect(describeError("text")).toBe("text");
    expect(describeError({ errno: 5 })).toContain("errno: 5");
  });
});

describe("reportError", () => {
  it("calls what is no BangerError a bug, with its causes and the operation", () => {
    const error = new TypeError("x is undefined", { cause: new Error("y") });
    expect(reportError(error, "op-1")).toMatchObject({
      code: "ERR_INTERNAL",
      kind: "failed",
      message: "x is undefined: y",
      operationId: "op-1",
    });
  });

  it("gives details, or else the cause, and no empty keys", () => {
    const joined = new JoinedError("two things", [new Error("a"), "b"]);
    expect(reportError(joined)).toEqual({
      code: "ERR_SEVERAL",
      kind: "failed",
      message: "two things",
      details: ["a", "b"],
    });
    const caused = new InvalidValueError("no", { cause: new Error("why") });
    expect(reportError(caused).details).toEqual(["caused by: why"]);
    expect(Object.keys(reportError(new SampleError("x")))).toEqual([
      "code",
      "kind",
      "message",
    ]);
  });

  it("tells of a cause only what the message has not said", () => {
    const cause = new CancelledError("start", new Error("the client left"));
    const error = new SampleError(cause.message, { cause });
    expect(reportError(error).details).toEqual(["caused by: the client left"]);
  });

  it("survives the way over the API", () => {
    const original = reportError(
      new CancelledError("start", new Error("the client left")),
    );
    const parsed = JSON.parse(JSON.stringify(original)) as typeof original;
    expect(reportError(new ReportedError(parsed))).toEqual(original);
  });
});
