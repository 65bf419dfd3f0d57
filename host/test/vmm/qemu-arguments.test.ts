import { fakeVm } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { kernelCommandLine } from "../../src/vmm/kernel-arguments.js";
import { qemuArguments, qmpArgument } from "../../src/vmm/qemu-arguments.js";
import { sampleLaunch, sampleMachine } from "./sample-launch.js";

function valueOf(args: readonly string[], option: string): string[] {
  return args.filter((_, index) => args[index - 1] === option);
}

describe("qemuArguments", () => {
  it("is exactly this for a plain machine", () => {
    expect(qemuArguments(sampleLaunch())).toEqual([
      ...["-name", "banger-000000000001", "-nodefaults", "-no-user-config"],
      ...["-display", "none", "-no-reboot", "-sandbox"],
      "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
      ...["-machine", "q35,usb=off,vmport=off", "-accel", "tcg,thread=multi"],
      ...["-cpu", "Nehalem", "-smp", "2", "-m", "512M"],
      ...["-kernel", "/nonexistent/images/debian/kernel"],
      ...["-initrd", "/vms/1/boot.initrd", "-append"],
      "console=ttyS0 quiet panic=-1 net.ifnames=0 random.trust_cpu=on 8250.nr_uarts=1 audit=0 mitigations=off nokaslr no_timer_check tsc=reliable nowatchdog cryptomgr.notests",
      "-blockdev",
      "node-name=root-file,driver=file,filename=/vms/1/root.qcow2,aio=threads,discard=unmap,locking=on",
      "-blockdev",
      "node-name=root,driver=qcow2,file=root-file,discard=unmap,detect-zeroes=unmap",
      ...[
        "-device",
        "virtio-blk-pci,drive=root,serial=root,werror=report,rerror=report",
      ],
      "-blockdev",
      "node-name=seed-file,driver=file,filename=/vms/1/seed.img,aio=threads,discard=unmap,locking=on,read-only=on",
      "-blockdev",
      "node-name=seed,driver=raw,file=seed-file,discard=unmap,detect-zeroes=unmap,read-only=on",
      ...[
        "-device",
        "virtio-blk-pci,drive=seed,serial=seed,werror=report,rerror=report",
      ],
      "-netdev",
      "user,id=net0,ipv6=off,restrict=on,hostfwd=tcp:127.77.0.1:22-:22",
      "-device",
      "virtio-net-pci,netdev=net0,mac=02:00:00:00:00:00,romfile=",
      ...["-device", "virtio-serial-pci", "-chardev"],
      "socket,id=ch0,path=/run/1/agent.sock,server=on,wait=off",
      "-device",
      "virtserialport,chardev=ch0,name=org.qemu.guest_agent.0",
      ...["-device", "virtio-rng-pci", "-chardev"],
      "file,id=console,path=/vms/1/console.log,append=on",
      ...["-serial", "chardev:console"],
      ...["-qmp", "unix:/run/1/qmp.sock,server=on,wait=off"],
    ]);
  });

  it("opens the way out only for an interface whose egress is open", () => {
    const open = qemuArguments(
      sampleLaunch({ machine: sampleMachine({ egress: { net0: "open" } }) }),
    );
    const blocked = qemuArguments(
      sampleLaunch({
        machine: sampleMachine({ egress: { net0: "blocked", net1: "open" } }),
      }),
    );
    expect(valueOf(open, "-netdev").join()).toContain(",restrict=off,");
    expect(valueOf(blocked, "-netdev").join()).toContain(",restrict=on,");
  });

  it("runs on the host's CPU under KVM, and keeps the guest's protections", () => {
    const args = qemuArguments(sampleLaunch({ accel: "kvm" }));
    expect(valueOf(args, "-accel")).toEqual(["kvm"]);
    expect(valueOf(args, "-cpu")).toEqual(["host"]);
    const [commandLine = ""] = valueOf(args, "-append");
    expect(commandLine.split(" ")).toContain("panic=-1");
    expect(commandLine).not.toMatch(/mitigations|nokaslr/);
  });

  it("writes a comma inside every path twice", () => {
    const vm = fakeVm({
      runtime: { directory: "/a,b", runDirectory: "/c,readonly=on" },
    });
    const args = qemuArguments(
      sampleLaunch(
        {
          machine: sampleMachine({
            drives: {
              root: { path: "/a,b/root", format: "raw", readOnly: false },
            },
            channels: { agent: { socketPath: "/c,d/agent.sock" } },
          }),
        },
        vm,
      ),
    );
    expect(valueOf(args, "-blockdev")[0]).toContain(
      ",filename=/a,,b/root,aio=",
    );
    expect(valueOf(args, "-chardev")).toEqual([
      "socket,id=ch0,path=/c,,d/agent.sock,server=on,wait=off",
      "file,id=console,path=/a,,b/console.log,append=on",
    ]);
    expect(qmpArgument(vm)).toBe(
      "unix:/c,,readonly=on/qmp.sock,server=on,wait=off",
    );
    expect(args).toContain(qmpArgument(vm));
  });

  it("gives a block device as one", () => {
    const root = { path: "/dev/dm-3", format: "raw", readOnly: false } as const;
    const args = qemuArguments(
      sampleLaunch({ machine: sampleMachine({ drives: { root } }) }),
    );
    expect(valueOf(args, "-blockdev")[0]).toMatch(
      /^node-name=root-file,driver=host_device,filename=\/dev\/dm-3,.*locking=on$/,
    );
  });

  it("attaches a TAP device without a script", () => {
    const args = qemuArguments(
      sampleLaunch({
        machine: sampleMachine({
          nics: {
            net0: { mac: "02:0", backend: { kind: "tap", device: "tap-1" } },
          },
        }),
      }),
    );
    expect(valueOf(args, "-netdev")).toEqual([
      "tap,id=net0,ifname=tap-1,script=no,downscript=no",
    ]);
  });
});

it("adds a plugin's kernel arguments, and refuses those that are our own", () => {
  const added = sampleMachine({ kernelArgs: { debug: true, a: "b" } });
  const words = kernelCommandLine(added, "kvm").split(" ");
  expect(words.slice(-2)).toEqual(["debug", "a=b"]);
  for (const key of ["panic", "console", "quiet"]) {
    const machine = sampleMachine({ kernelArgs: { [key]: "0" } });
    expect(() => kernelCommandLine(machine, "kvm")).toThrow(
      expect.objectContaining({ code: "ERR_SLOT_CONFLICT" }) as Error,
    );
  }
});

it("adds a driver's kernel arguments, which no plugin may change", () => {
  const machine = sampleMachine({ kernelArgs: { debug: true } });
  const own = { reboot: "k", "i8042.noaux": true } as const;
  expect(kernelCommandLine(machine, "kvm", own)).toBe(
    "console=ttyS0 quiet panic=-1 net.ifnames=0 random.trust_cpu=on 8250.nr_uarts=1 audit=0 reboot=k i8042.noaux debug",
  );
  const wanting = sampleMachine({ kernelArgs: { reboot: "a" } });
  expect(() => kernelCommandLine(wanting, "kvm", own)).toThrow(
    expect.objectContaining({ code: "ERR_SLOT_CONFLICT" }) as Error,
  );
});
