import { once } from "node:events";
import { mkdir, readdir, readlink, symlink, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { openSocketAddress } from "../../src/files/socket-address.js";
import { temporaryDirectory } from "./temporary-directory.js";

/** Says one line to whoever connects. */
async function listenAt(path: string): Promise<void> {
  const server = createServer((socket) => socket.end(path));
  onTestFinished(() => void server.close());
  server.listen(path);
  await once(server, "listening");
}

async function said(path: string): Promise<string> {
  const address = await openSocketAddress(path);
  const socket = connect(address.path);
  await once(socket, "connect");
  await address.close();
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

/** Paths below a directory that this process has open; sockets of servers and connections have none. */
async function heldBelow(directory: string): Promise<readonly string[]> {
  const targets = await Promise.all(
    (await readdir("/proc/self/fd")).map((fd) =>
      // One may be closed since it was listed, such as that of the listing.
      readlink(`/proc/self/fd/${fd}`).catch(() => ""),
    ),
  );
  return targets.filter((target) => target.startsWith(`${directory}/`));
}

it("holds what it leads to until it is closed", async () => {
  const directory = await temporaryDirectory();
  await mkdir(`${directory}/run`);
  await listenAt(`${directory}/run/api`);
  await symlink(`${directory}/run/api`, `${directory}/link`);
  const address = await openSocketAddress(`${directory}/link`);
  expect(await heldBelow(directory)).toEqual([`${directory}/run/api`]);
  await address.close();
  await address.close();
  expect(await heldBelow(directory)).toEqual([]);
});

it("leads to the socket itself, and through one link of ours", async () => {
  const directory = await temporaryDirectory();
  const plain = `${directory}/plain.sock`;
  await listenAt(plain);
  expect(await said(plain)).toBe(plain);
  await mkdir(`${directory}/run`);
  const jailed = `${directory}/run/api`;
  await listenAt(jailed);
  await symlink(jailed, `${directory}/link`);
  expect(await said(`${directory}/link`)).toBe(jailed);
  expect(await heldBelow(directory)).toEqual([]);
});

it("follows no other link, and takes nothing else for a socket", async () => {
  const directory = await temporaryDirectory();
  await mkdir(`${directory}/run`);
  const outside = `${directory}/outside`;
  await listenAt(outside);
  await symlink(outside, `${directory}/run/linked`);
  await writeFile(`${directory}/run/file`, "");
  await symlink("run", `${directory}/other`);
  for (const target of ["run/linked", "run/file", "other/linked", "run/none"]) {
    const link = `${directory}/to-${target.replace("/", "-")}`;
    await symlink(`${directory}/${target}`, link);
    await expect(openSocketAddress(link)).rejects.toThrow(Error);
  }
  await listenAt(`${directory}/run/real`);
  await symlink(`${directory}/other/real`, `${directory}/behind`);
  await expect(openSocketAddress(`${directory}/behind`)).rejects.toMatchObject({
    code: "ENOTDIR",
  });
  expect(await heldBelow(directory)).toEqual([]);
});
