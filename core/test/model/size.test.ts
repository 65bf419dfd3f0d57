import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatSize, parseSize } from "@banger/core";

const factors = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const;

describe("parseSize", () => {
  it("reads every unit in every spelling alike", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8191 }),
        fc.constantFrom(...(["K", "M", "G", "T"] as const)),
        fc.constantFrom("", "B", "iB", "b", "IB"),
        fc.constantFrom("", " "),
        fc.boolean(),
        (number, unit, suffix, space, lower) => {
          const letter = lower ? unit.toLowerCase() : unit;
          const text = `${number}${space}${letter}${suffix}`;
          expect(parseSize(text)).toBe(number * factors[unit]);
        },
      ),
    );
  });

  it("takes a bare number as MiB", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 32 }), (number) => {
        expect(parseSize(String(number))).toBe(number * 2 ** 20);
      }),
    );
  });

  it("gives a positive safe integer or throws, whatever the text", () => {
    const nearly = fc.stringMatching(/^[0-9.eE+\- kKmMgGtTiIbB]{0,12}$/);
    fc.assert(
      fc.property(fc.oneof(fc.string(), nearly), (text) => {
        let bytes = 1;
        try {
          bytes = parseSize(text);
        } catch (error) {
          expect(error).toMatchObject({ code: "ERR_INVALID_VALUE" });
        }
        expect(Number.isSafeInteger(bytes) && bytes > 0).toBe(true);
      }),
    );
  });

  it.each(["", "0", "0G", "-1", "1e3", "G", "1.G", "9999999T", "512B", "8iB"])(
    "refuses %j",
    (text) => {
      expect(() => parseSize(text, "--memory")).toThrow(
        expect.objectContaining({
          code: "ERR_INVALID_VALUE",
          message: expect.stringContaining("--memory") as string,
        }),
      );
    },
  );

  it("takes decimals", () => expect(parseSize("1.5K")).toBe(1536));
});

describe("formatSize", () => {
  it("reads back as about the same size", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1024, max: 2 ** 52 }), (bytes) => {
        const text = formatSize(bytes);
        expect(text).toMatch(/^\d+(\.\d)? [KMGT]iB$/);
        const back = parseSize(text);
        expect(Math.abs(back - bytes) / bytes).toBeLessThanOrEqual(0.05);
      }),
    );
  });

  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1.5 * 2 ** 30, "1.5 GiB"],
    [20.4 * 2 ** 30, "20 GiB"],
    [2 ** 50, "1024 TiB"],
  ])("renders %d bytes as %s", (bytes, text) =>
    expect(formatSize(bytes)).toBe(text),
  );
});
