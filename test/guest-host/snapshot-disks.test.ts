import { afterEach, beforeAll, expect, inject, it } from "vitest";
import { GuestHost } from "./guest-host.js";
import { sendProgram } from "./guest-program.js";

const guest = new GuestHost(inject("guestHostHome"));
const directory = "/var/tmp/disks";
/** What the record of a VM for tests names. */
const imageDirectory = `${directory}/images/debian-000000000000`;
const imageFile = `${imageDirectory}/rootfs.ext4`;
const imageMiB = 16;
/** What a whole disk takes: a loop device on the image, one on the overlay, the device over them. */
const changesOfOne = 3;

let program: string;

beforeAll(async () => {
  program = await sendProgram(guest, "disk-program.ts");
  // What doctor says to do on a host that has the target as a module.
  await guest.ok("modprobe dm-snapshot");
});

afterEach(async () => {
  await guest.ok(`
    umount --quiet /mnt || true
    for name in $(dmsetup ls | sed -n 's/^\\(fc-rootfs-[0-9a-f]*\\).*/\\1/p'); do dmsetup remove --retry $name; done
    losetup --detach-all
    umount --quiet ${directory}/vms || true
    rm -rf ${directory}`);
});

interface Outcome {
  readonly code?: string;
  readonly baseLoop?: string;
  readonly cowLoop?: string;
  readonly dmName?: string;
}

/** A VM of one image: an ext4 file system with one file in it. */
async function makeImage(): Promise<void> {
  await guest.ok(`
    mkdir -p ${imageDirectory} ${directory}/tree
    echo of the image >${directory}/tree/file
    mke2fs -q -t ext4 -d ${directory}/tree ${imageFile} ${String(imageMiB)}M
    sha256sum ${imageFile} >${directory}/sum`);
}

function idOf(number: number): string {
  return number.toString(16).padStart(12, "0");
}

function deviceOf(number: number): string {
  return `fc-rootfs-${idOf(number).slice(0, 8)}`;
}

function overlayOf(number: number): string {
  return `${directory}/vms/${idOf(number)}/root.cow`;
}

function command(number: number, verb: string, death = 0): string {
  return `node ${program} ${directory} ${String(number)} ${verb} ${String(death)}`;
}

async function call(number: number, verb: string): Promise<Outcome> {
  const { stdout, stderr } = await guest.run(command(number, verb));
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as Outcome;
}

/** What the guest's kernel has of us: mapped devices with their UUIDs, and loop devices with their files. */
async function devices(): Promise<readonly string[]> {
  return guest.lines(`
    dmsetup info -c --noheadings --separator ' ' -o name,uuid | grep -v 'No devices' || true
    losetup --list --noheadings --raw --output RO,BACK-FILE | sort`);
}

function whole(...numbers: readonly number[]): readonly string[] {
  return [
    ...numbers.map((number) => `${deviceOf(number)} banger-${idOf(number)}`),
    ...numbers.map((number) => `0 ${overlayOf(number)}`),
    ...numbers.map(() => `1 ${imageFile}`),
  ];
}

/** Ids whose first eight digits differ. */
const one = 0x1_0000;
const two = 0x2_0000;

it("gives each VM a disk of its own over one image, and keeps what was written", async () => {
  await makeImage();
  expect(await call(one, "ensure")).toMatchObject({ dmName: deviceOf(one) });
  expect(await call(two, "ensure")).toMatchObject({ dmName: deviceOf(two) });
  expect(await devices()).toEqual(whole(one, two));
  const seen = await guest.lines(`
    mount /dev/mapper/${deviceOf(one)} /mnt
    cat /mnt/file
    echo of the first >/mnt/file
    umount /mnt
    mount -o ro /dev/mapper/${deviceOf(two)} /mnt
    cat /mnt/file
    umount /mnt`);
  expect(seen).toEqual(["of the image", "of the image"]);
  const first = await guest.ok(`dmsetup table ${deviceOf(one)}`);
  expect(await call(one, "ensure")).toMatchObject({ dmName: deviceOf(one) });
  expect(await guest.ok(`dmsetup table ${deviceOf(one)}`)).toBe(first);
  await call(one, "release");
  expect(await devices()).toEqual(whole(two));
  await call(one, "ensure");
  const again = await guest.lines(`
    e2fsck -fn /dev/mapper/${deviceOf(one)} >/dev/null 2>&1
    mount /dev/mapper/${deviceOf(one)} /mnt
    cat /mnt/file
    umount /mnt
    sha256sum --quiet --check ${directory}/sum`);
  expect(again).toEqual(["of the first"]);
  await call(one, "release");
  await call(two, "release");
  expect(await devices()).toEqual([]);
});

it.each(Array.from({ length: changesOfOne }, (_, index) => index + 1))(
  "goes on where it was killed behind change %i of its making, and of its release",
  async (death) => {
    await makeImage();
    const making = await guest.run(command(one, "ensure", death));
    expect(making.stdout).toBe("");
    expect(await devices()).toHaveLength(death);
    expect(await call(one, "ensure")).toMatchObject({ dmName: deviceOf(one) });
    expect(await devices()).toEqual(whole(one));
    const release = await guest.run(command(one, "release", death));
    expect(release.stdout).toBe("");
    expect(await devices()).toHaveLength(changesOfOne - death);
    await call(one, "release");
    expect(await devices()).toEqual([]);
  },
);

it("releases what was killed half-way", async () => {
  await makeImage();
  await guest.run(command(one, "ensure", 2));
  expect(await devices()).toHaveLength(2);
  await call(one, "release");
  expect(await devices()).toEqual([]);
});

it("refuses a disk that is in use, and releases it once it is not", async () => {
  await makeImage();
  await call(one, "ensure");
  await guest.ok(`mount /dev/mapper/${deviceOf(one)} /mnt`);
  expect(await call(one, "release")).toMatchObject({
    details: [
      expect.stringContaining(`${deviceOf(one)} is still in use`) as string,
      expect.stringContaining("is still in use") as string,
    ],
  });
  expect(await devices()).toEqual(whole(one));
  await guest.ok("umount /mnt");
  await call(one, "release");
  expect(await devices()).toEqual([]);
});

it("leaves devices of somebody else alone that have a name of ours", async () => {
  await makeImage();
  await guest.ok(
    `dmsetup create ${deviceOf(one)} --table '0 8 zero' || dmsetup create ${deviceOf(one)} --table '0 8 error'`,
  );
  expect(await call(one, "ensure")).toMatchObject({
    code: "ERR_ROOT_DISK_BUSY",
  });
  await call(one, "release");
  expect(await devices()).toEqual([`${deviceOf(one)} `]);
});

it("says so when the host's disk was full while the guest wrote", async () => {
  await makeImage();
  await guest.ok(
    `mkdir ${directory}/vms && mount -t tmpfs -o size=1M tmpfs ${directory}/vms`,
  );
  await call(one, "ensure");
  const device = `/dev/mapper/${deviceOf(one)}`;
  const written = await guest.run(
    `dd if=/dev/urandom of=${device} bs=1M count=4 conv=fsync,nocreat`,
  );
  expect(written.status).not.toBe(0);
  expect(await guest.ok(`dmsetup status ${deviceOf(one)}`)).toContain(
    "Invalid",
  );
  await call(one, "release");
  expect(await devices()).toEqual([]);
  expect(await call(one, "ensure")).toMatchObject({
    code: "ERR_ROOT_DISK_INVALID",
  });
  expect(await devices()).toEqual([]);
});
