import { describe, expect, it } from "vitest";
import { z } from "zod";
import { dnsConfigSchema, parseListen } from "../src/config.js";

describe("the section [plugins.dns]", () => {
  it("has defaults for everything", () => {
    expect(dnsConfigSchema.parse({})).toEqual({
      listen: "127.0.0.1:42069",
      ttl: 5,
      upstreams: [],
    });
  });

  it.each(["127.0.0.1:1", "127.7.7.7:65535", "0.0.0.0:53"])(
    "takes %s",
    (listen) => {
      expect(dnsConfigSchema.parse({ listen }).listen).toBe(listen);
    },
  );

  it.each([
    "127.0.0.1",
    "127.0.0.1:0",
    "127.0.0.1:65536",
    "127.0.0.1:053",
    "127.0.0.1:53 ",
    "192.168.1.1:53",
    "128.0.0.1:53",
    "127.0.0.256:53",
    "127.1:53",
    "localhost:53",
    "[::1]:53",
    ":53",
    "",
  ])("refuses the address %j", (listen) => {
    const { error } = dnsConfigSchema.safeParse({ listen });
    expect(error?.issues).toMatchObject([{ path: ["listen"] }]);
    expect(() => parseListen(listen)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_VALUE" }),
    );
  });

  it.each([-1, 3601, 1.5, "5", null])("refuses the TTL %j", (ttl) => {
    expect(dnsConfigSchema.safeParse({ ttl }).success).toBe(false);
  });

  it("refuses a key it does not know", () => {
    expect(dnsConfigSchema.safeParse({ port: 53 }).success).toBe(false);
  });

  it("describes every key with its default", () => {
    const { properties } = z.toJSONSchema(dnsConfigSchema, { io: "input" });
    for (const property of Object.values(properties ?? {})) {
      expect(property).toMatchObject({
        description: expect.stringContaining("Default ") as string,
      });
    }
  });
});
