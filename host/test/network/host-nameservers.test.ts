import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { hostNameservers } from "../../src/network/host-nameservers.js";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "banger-nameservers-"));
});
afterEach(() => rm(directory, { recursive: true }));

const write = async (name: string, text: string): Promise<string> => {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
};

it("leaves out what a guest cannot ask", async () => {
  const path = await write(
    "resolv.conf",
    "# nameserver 9.9.9.9\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 0.0.0.0\nnameserver\t10.0.0.53  \nnameserver 10.0.0.54 # second\nsearch example\nnameserver 10.0.0.55\nnameserver 10.0.0.56\n",
  );
  expect(hostNameservers([path])).toEqual([
    "10.0.0.53",
    "10.0.0.54",
    "10.0.0.55",
  ]);
});

it("asks what the host's stub asks, and does without", async () => {
  const stub = await write("stub", "nameserver 127.0.0.53\n");
  const real = await write("real", "nameserver 192.168.1.1\n");
  expect(hostNameservers([stub, real])).toEqual(["192.168.1.1"]);
  expect(hostNameservers([real, stub])).toEqual(["192.168.1.1"]);
  expect(hostNameservers([stub, join(directory, "missing")])).toEqual([]);
});
