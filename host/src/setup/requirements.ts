import { readFile } from "node:fs/promises";
import { BangerError, type CommandRunner, type HostFacts } from "@banger/core";

import { hasErrorCode } from "../files/error-code.js";
import { isStaticProgram } from "../images/elf.js";

/** A program of the host that banger calls. */
interface Requirement {
  readonly program: string;
  /** Debian's package that has it */
  readonly packageName: string;
  readonly purpose: string;
  /** who needs it; absent: everybody */
  readonly for?: "user" | "bridge";
  /** one that needs libraries does not count */
  readonly isStatic?: true;
}

/** The guest's kernel is no host package: it is downloaded into the image and never installed on the host. */
const requirements: readonly Requirement[] = [
  {
    program: "qemu-system-x86_64",
    packageName: "qemu-system-x86",
    purpose: "runs the microVMs",
  },
  {
    program: "qemu-img",
    packageName: "qemu-utils",
    purpose: "makes copy-on-write root disks",
  },
  {
    program: "mmdebstrap",
    packageName: "mmdebstrap",
    purpose: "builds the Debian image",
  },
  {
    program: "mke2fs",
    packageName: "e2fsprogs",
    purpose: "makes file systems for guests",
  },
  {
    program: "busybox",
    packageName: "busybox-static",
    purpose: "is the guest's initramfs",
    isStatic: true,
  },
  {
    program: "ssh-keygen",
    packageName: "openssh-client",
    purpose: "lets you reach VMs with ssh",
  },
  {
    program: "newuidmap",
    packageName: "uidmap",
    purpose: "builds the image without root",
    for: "user",
  },
  {
    program: "ip",
    packageName: "iproute2",
    purpose: "makes the bridge and TAP devices",
    for: "bridge",
  },
  {
    program: "nft",
    packageName: "nftables",
    purpose: "keeps each guest to its own address and to what it may reach",
    for: "bridge",
  },
  {
    program: "sysctl",
    packageName: "procps",
    purpose: "switches forwarding on for NAT",
    for: "bridge",
  },
  {
    program: "lz4",
    packageName: "lz4",
    purpose: "unpacks Debian's kernel for a Firecracker before 1.17",
    for: "bridge",
  },
];

export interface RequirementReport {
  readonly missing: readonly Requirement[];
  readonly present: readonly Requirement[];
  /** the command that installs what is missing, as arguments; empty when nothing is */
  readonly install: readonly string[];
}

class HostPackagesMissingError extends BangerError {
  override readonly code = "ERR_HOST_PACKAGES_MISSING";
  override readonly kind = "unavailable";
  readonly #missing: readonly Requirement[];
  constructor(report: RequirementReport) {
    const names = report.missing.map(({ packageName }) => packageName);
    super(
      `this host lacks ${String(names.length)} packages: ${names.join(", ")}`,
      {
        hint: `Run: ${report.install.join(" ")}`,
      },
    );
    this.#missing = report.missing;
  }
  override get details(): readonly string[] {
    return this.#missing.map(
      ({ packageName, purpose }) => `${packageName}: ${purpose}`,
    );
  }
}

/** Looks for every program that banger calls on this host. */
export class HostRequirements {
  readonly #commands: CommandRunner;
  readonly #hostFacts: HostFacts;
  readonly #networkMode: string;
  readonly #hasHelper: boolean;
  #complete = false;

  constructor(options: {
    commands: CommandRunner;
    hostFacts: HostFacts;
    /** of new VMs */
    networkMode: string;
    /** does a root helper map the ids of user namespaces? */
    hasHelper?: boolean;
  }) {
    this.#commands = options.commands;
    this.#hostFacts = options.hostFacts;
    this.#networkMode = options.networkMode;
    this.#hasHelper = options.hasHelper ?? false;
  }

  async report(): Promise<RequirementReport> {
    const needed = requirements.filter((requirement) =>
      this.#isNeeded(requirement),
    );
    const found = await Promise.all(
      needed.map((requirement) => this.#find(requirement)),
    );
    const missing = needed.filter((_, index) => found[index] === undefined);
    const apt = ["apt-get", "install", "-y", "--no-install-recommends"];
    const names = missing.map(({ packageName }) => packageName);
    const sudo = this.#hostFacts.isRoot ? [] : ["sudo"];
    return {
      missing,
      present: needed.filter((_, index) => found[index] !== undefined),
      install: missing.length === 0 ? [] : [...sudo, ...apt, ...names],
    };
  }

  /** Firecracker runs on the bridge only, so what it needs belongs there. */
  #isNeeded({ for: whom }: Requirement): boolean {
    if (whom === "user") return !this.#hostFacts.isRoot && !this.#hasHelper;
    return whom === undefined || this.#networkMode === "bridge";
  }

  async #find({ program, isStatic }: Requirement): Promise<string | undefined> {
    const path = await this.#commands.find(program);
    return path !== undefined && isStatic && !(await isUsable(path))
      ? undefined
      : path;
  }

  /**
   * Once everything was there it is not looked for again.
   * @throws {@link HostPackagesMissingError} with all that is missing
   */
  async check(): Promise<void> {
    if (this.#complete) return;
    const report = await this.report();
    if (report.missing.length > 0) throw new HostPackagesMissingError(report);
    this.#complete = true;
  }
}

/** Known only for what can be read; an image build looks once more. */
async function isUsable(path: string): Promise<boolean> {
  try {
    return isStaticProgram(await readFile(path));
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "EACCES")) return true;
    throw error;
  }
}
