import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, Home } from "./harness.js";

/** Asks the agent on vsock port 1024 of this guest itself (VMADDR_CID_LOCAL), as its host would, and prints each answer. */
const asksItself = `
import json, socket, sys
agent = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
agent.settimeout(60)
agent.connect((1, 1024))
replies = agent.makefile("rb")
def ask(command, **arguments):
    request = json.dumps({"execute": command, "arguments": arguments})
    agent.sendall(request.encode() + b"\\n")
agent.sendall(b"\\xff")
ask("guest-sync-delimited", id=4711)
while not replies.readline().startswith(b"\\xff"): pass
for command in sys.argv[1:]:
    ask(command)
    print(replies.readline().decode(), end="")
`;

/** Units of the image, one for each way to its agent. */
const serial = "qemu-guest-agent";
const vsock = "qemu-guest-agent-vsock";

describe("the agent's unit for vsock", () => {
  const name = "vsockguest";
  let home: Home;
  beforeAll(async () => {
    home = new Home(Home.dnsConfig(15_389));
    const size = ["--memory", "512M", "--disk-size", "64M"];
    await home.ok(["vm", "run", "-d", "--name", name, ...size]);
  });
  afterAll(() => home.remove());

  const guest = (...argv: string[]): Promise<string> =>
    home.ok(["vm", "exec", name, "--", ...argv]);
  const state = async (unit: string): Promise<string> => {
    const { stdout } = await home.run([
      ...["vm", "exec", name, "--", "systemctl", "is-active", unit],
    ]);
    return stdout.trim();
  };
  const ask = (...commands: string[]): Promise<string> =>
    guest("python3", "-c", asksItself, ...commands);

  it("does not start in a guest with a virtio-serial port, where no vsock is", async () => {
    expect(await state(serial)).toBe("active");
    expect(await state(vsock)).toBe("inactive");
    const modules = await guest("cat", "/proc/modules");
    expect(modules).not.toContain("vsock");
    expect(modules).toContain("virtio_blk ");
  });

  it("answers on vsock in a guest without one", async () => {
    // The loopback transport of the kernel is the device that this guest has not.
    await guest("modprobe", "vsock_loopback");
    await guest("systemctl", "start", vsock);
    expect(await state(vsock)).toBe("inactive");
    // Read-only, as udev would make the link to the port anew.
    const hidden = ["-o", "ro", "none", "/dev/virtio-ports"];
    await guest("mount", "-t", "tmpfs", ...hidden);
    await guest("systemctl", "start", vsock);
    expect(await state(vsock)).toBe("active");
    const [pong, info, time] = (
      await ask("guest-ping", "guest-info", "guest-get-time")
    )
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { return: unknown }).return);
    expect(pong).toEqual({});
    expect(info).toHaveProperty("version");
    expect(Math.abs(Number(time) / 1e6 - Date.now())).toBeLessThan(600_000);
  });

  it("serves one client after the other, and starts again when it dies", async () => {
    expect(await ask("guest-ping")).toBe('{"return": {}}\n');
    expect(await ask("guest-ping")).toBe('{"return": {}}\n');
    await guest("systemctl", "kill", "--signal=KILL", vsock);
    // Until systemd has started it again nobody listens.
    const asks = `until python3 -c "$0" guest-ping; do sleep 1; done 2>/dev/null`;
    expect(await guest("timeout", "120", "sh", "-c", asks, asksItself)).toBe(
      '{"return": {}}\n',
    );
  });

  it("leaves the way that this guest really has alone", async () => {
    await guest("umount", "/dev/virtio-ports");
    expect(await home.ok(["vm", "ping", name])).toMatch(/^\d+\.\d ms\n$/);
    const health = (await home.json(["vm", "health", name, "--json"])) as [
      { checks: readonly { id: string; status: string }[] },
    ];
    expect(health[0].checks.find(({ id }) => id === "vm.clock")).toMatchObject({
      status: "pass",
    });
  });

  it("runs a command over it where SSH does not get through, and ends it when its caller leaves", async () => {
    const run = (...argv: string[]) =>
      home.run(["vm", "exec", name, "--agent", "--", ...argv]);
    await guest("systemctl", "stop", "ssh");
    const script = "echo out; echo err >&2; exit 7";
    expect(await run("sh", "-c", script)).toEqual({
      ...{ status: 7, stdout: "out\n", stderr: "err\n" },
    });
    const flood = await run("head", "-c", "5000000", "/dev/zero");
    expect(flood).toMatchObject({ status: 125, stdout: "" });
    expect(flood.stderr).toContain("ERR_AGENT_PROTOCOL");

    const sleeps = async (): Promise<boolean> =>
      (await run("pgrep", "-x", "sleep")).status === 0;
    const left = home.start([
      ...["vm", "exec", name, "--agent", "--"],
      ...["sh", "-c", "sleep 1000 & sleep 1001"],
    ]);
    const ended = new Promise((resolve) => left.on("exit", resolve));
    await eventually("the processes", sleeps);
    left.kill("SIGINT");
    expect(await ended).toBe(130);
    await eventually("their end", async () => !(await sleeps()));
    await run("systemctl", "start", "ssh");
    await home.ok(["vm", "stop", name]);
  });
});
