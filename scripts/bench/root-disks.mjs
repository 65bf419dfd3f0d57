// Making and deleting a VM's root disk over an image of 4 GiB that holds 400 MiB, with every strategy that this host has.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./install.mjs";
import { collect, summarise, table } from "./measure.mjs";

const MiB = 2 ** 20;
const imageBytes = 4096 * MiB;
const dataBytes = 400 * MiB;
const id = "00be0c000000";
const base = "qcow2";

const quiet = {
  debug() {},
  info() {},
  warn() {},
  error: console.error,
  child: () => quiet,
};

export async function rootDisks(quick) {
  const directory = mkdtempSync(join(tmpdir(), "banger-bench-disks-"));
  const mountPoint = join(directory, "xfs");
  let mounted = false;
  // Synchronous: a signal ends the bench without its `finally`.
  const clean = () => {
    // Lazily: a write that is under way in this process still has it open.
    if (mounted) execFileSync("umount", ["--lazy", mountPoint]);
    mounted = false;
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("exit", clean);
  try {
    const image = join(directory, "rootfs.ext4");
    writeImage(image);
    const host = await hostModules();
    const places = { qcow2: directory, copy: directory };
    const unmeasured = {};
    const reflink = await reflinkPlace(host, directory, mountPoint, image);
    mounted = reflink.mounted;
    if (reflink.why) unmeasured.reflink = reflink.why;
    else places.reflink = reflink.place;
    const obstacle = await host.probe.snapshotObstacle();
    if (obstacle) unmeasured.snapshot = obstacle.reason;
    else places.snapshot = directory;
    await measure(host, places, quick ? 3 : 9);
    if (mounted) console.log("  reflink: on XFS in a file, not on this disk");
    for (const [strategy, why] of Object.entries(unmeasured))
      console.log(`  ${strategy}: not measured, ${why}`);
  } finally {
    process.removeListener("exit", clean);
    clean();
  }
}

async function hostModules() {
  const load = (path) => import(join(root, "host/dist", path));
  const { ExecaCommandRunner } = await load("commands/execa-command-runner.js");
  const { InstalledRootDisks } = await load("disks/installed-root-disks.js");
  const { RootDiskProbe } = await load("disks/root-disk-probe.js");
  const { readHostFacts } = await load("facts/host-facts.js");
  const commands = new ExecaCommandRunner();
  const hostFacts = readHostFacts();
  const probe = new RootDiskProbe({ commands, hostFacts });
  return { InstalledRootDisks, commands, hostFacts, probe };
}

/** In pieces, as a file system has its data. */
function writeImage(path) {
  const file = openSync(path, "wx");
  const piece = randomBytes(4 * MiB);
  const pieces = dataBytes / piece.length;
  const stride = Math.floor(imageBytes / pieces / MiB) * MiB;
  for (let index = 0; index < pieces; index++)
    writeSync(file, piece, 0, piece.length, stride * index);
  fsyncSync(file);
  closeSync(file);
  truncateSync(path, imageBytes);
}

/** Where files share blocks: beside the image, else on a file system made for it. */
async function reflinkPlace({ probe, hostFacts }, directory, point, image) {
  const { strategy } = await probe.best("raw", directory, image);
  if (strategy === "reflink") return { place: directory, mounted: false };
  const why = (text) => ({ mounted: false, why: text });
  if (!hostFacts.isRoot) return why("only root mounts a file system for it");
  if (!existsSync("/usr/sbin/mkfs.xfs")) return why("there is no mkfs.xfs");
  if (!/\txfs$/m.test(readFileSync("/proc/filesystems", "utf8")))
    return why("this kernel has no xfs");
  const disk = join(directory, "xfs.img");
  closeSync(openSync(disk, "wx"));
  truncateSync(disk, 2 * imageBytes);
  execFileSync("mkfs.xfs", ["-q", "-m", "reflink=1", disk]);
  mkdirSync(point);
  execFileSync("mount", ["-o", "loop", "-t", "xfs", disk, point]);
  try {
    execFileSync("cp", ["--sparse=always", image, join(point, "rootfs.ext4")]);
  } catch (error) {
    execFileSync("umount", [point]);
    throw error;
  }
  return { place: point, mounted: true };
}

async function measure(host, places, rounds) {
  const variants = Object.fromEntries(
    Object.entries(places).map(([strategy, place]) => [
      strategy,
      () => makeAndDelete(host, strategy, place),
    ]),
  );
  const measured = await collect(rounds, variants);
  const what = "over 4 GiB that hold 400 MiB";
  const show = (title, pick, unit) =>
    table(title, summarise(measured, pick), base, unit);
  show(`Root disk ${what}, made`, ({ makeMs }) => makeMs);
  show(`Root disk ${what}, deleted`, ({ deleteMs }) => deleteMs);
  show("  space before the guest writes", ({ usedMiB }) => usedMiB, "MiB");
}

/** One VM's root disk, from nothing to nothing, as a create and a delete of the VM do it. */
async function makeAndDelete(host, strategy, place) {
  const directory = join(place, id);
  const rootfs = join(place, "rootfs.ext4");
  mkdirSync(directory);
  const disks = new host.InstalledRootDisks({
    commands: host.commands,
    logger: quiet,
    rootDiskProbe: host.probe,
    imageFile: () => rootfs,
  });
  let runtime = { directory, rootDisk: strategy };
  const vm = () => ({ id, name: "bench", imageId: "bench", runtime });
  const freeBefore = freeBytes(place);
  const begun = performance.now();
  await disks.ensure(
    vm(),
    { files: { rootfs } },
    async (names) => {
      runtime = { ...runtime, ...names };
    },
    new AbortController().signal,
  );
  const made = performance.now();
  const isShared = strategy === "reflink";
  const usedBytes = isShared
    ? // In stat(2) a shared block counts for both files.
      Math.max(0, freeBefore - freeBytes(place))
    : ownBytes(directory);
  const resumed = performance.now();
  await disks.release(vm());
  await rm(directory, { recursive: true });
  const deleteMs = performance.now() - resumed;
  return { makeMs: made - begun, deleteMs, usedMiB: usedBytes / MiB };
}

function freeBytes(place) {
  const { bfree, bsize } = statfsSync(place);
  return bfree * bsize;
}

function ownBytes(directory) {
  const files = ["root.qcow2", "root.raw", "root.cow"]
    .map((name) => join(directory, name))
    .filter((path) => existsSync(path));
  return files.reduce((sum, path) => sum + statSync(path).blocks * 512, 0);
}
