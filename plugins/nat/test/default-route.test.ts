import { describe, expect, it } from "vitest";
import { lowestMetric } from "../src/default-route.js";

describe("the output of ip", () => {
  it("has the way out with the lowest metric", () => {
    const routes = JSON.stringify([
      { dst: "default", dev: "wlan0", metric: 600 },
      { dst: "default", dev: "eth0", metric: 100 },
      { dst: "default", dev: "eth1", metric: 1, flags: ["linkdown"] },
      { dst: "default", dev: "eth+", metric: 1 },
      { type: "blackhole", dst: "default", metric: 1 },
    ]);
    expect(lowestMetric(routes)).toBe("eth0");
    expect(lowestMetric('[{"dev":"eth0","metric":1},{"dev":"tun0"}]')).toBe(
      "tun0",
    );
  });
  it.each(["", "[ ]\n", '[{"type":"unreachable"}]'])(
    "has none when it is %j",
    (text) => {
      expect(lowestMetric(text)).toBeUndefined();
    },
  );
});
