import { BangerError } from "@banger/core";
import { quoteFirecracker } from "./api-errors.js";

/** A release of Firecracker, or a build of what is to become one. */
export interface FirecrackerVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** made before the release that it is named after: `1.17.0-dev` */
  readonly isPreRelease: boolean;
  /** as it was written: `1.7.0`, `1.17.0-dev` */
  readonly text: string;
}

/** What a Firecracker can do that an older one cannot. */
export interface FirecrackerFeatures {
  /** tells the guest of its devices through ACPI */
  readonly acpi: boolean;
  /** devices on a PCI bus, with `--enable-pci` */
  readonly pci: boolean;
  /** `PUT /serial`: the guest's console in a file; an older one writes it to its standard output */
  readonly serialFile: boolean;
  /** a balloon through which the guest gives free pages back by itself */
  readonly freePageReporting: boolean;
  /** boots a bzImage; an older one needs the `vmlinux` in it */
  readonly bzImage: boolean;
}

/** The first release with each feature, major and minor, by the project's change log and pull requests. */
const since: Readonly<Record<keyof FirecrackerFeatures, Release>> = {
  // CHANGELOG.md, 1.8.0, #4428.
  acpi: [1, 8],
  // #5364; a maintainer in #5133: added with the 1.13 release.
  pci: [1, 13],
  // #5350 and #5491, release notes of 1.14.0.
  serialFile: [1, 14],
  freePageReporting: [1, 14],
  // #6037, merged in July 2026, after 1.16.0 and without a change to the API.
  bzImage: [1, 17],
};

/** What the driver is written for: everything that it sends without asking for a feature is in this release. */
const oldestSupported: Release = [1, 5];

type Release = readonly [major: number, minor: number];

/** What was asked for its version is no Firecracker. */
class FirecrackerVersionError extends BangerError {
  override readonly code = "ERR_FIRECRACKER_VERSION";
  override readonly kind = "unavailable";
  constructor(words: string) {
    super(
      `no version of Firecracker can be read from ${JSON.stringify(quoteFirecracker(words).slice(0, 100))}`,
      {
        hint: "Set vmm.firecracker_bin to a Firecracker, or use the qemu driver",
      },
    );
  }
}

/** This Firecracker cannot run our guests. */
class FirecrackerTooOldError extends BangerError {
  override readonly code = "ERR_FIRECRACKER_TOO_OLD";
  override readonly kind = "unavailable";
  constructor(version: FirecrackerVersion, needed: Release, reason: string) {
    super(`Firecracker ${version.text} is too old: ${reason}`, {
      hint: `Install Firecracker ${needed.join(".")} or later, or use the qemu driver`,
    });
  }
}

/**
 * Reads what `firecracker --version` prints, or what `GET /version` answers. Pure; any text is fine.
 * @throws {@link FirecrackerVersionError}
 */
export function parseFirecrackerVersion(text: string): FirecrackerVersion {
  // After the version of the program there may be those of snapshots, and lines of its log.
  const [line = ""] = text.trimStart().split("\n", 1);
  const match =
    /^(?:Firecracker )?v?((\d{1,4})\.(\d{1,4})\.(\d{1,4})(-[\w.-]{1,50})?)$/.exec(
      line.slice(0, 100).trim(),
    );
  if (!match) throw new FirecrackerVersionError(text);
  const [, written = "", major, minor, patch, suffix = ""] = match;
  return {
    major: Number(major),
    minor: Number(minor),
    patch: Number(patch),
    // `git describe` counts commits after a release; any other suffix is taken for a build before it, which has less.
    isPreRelease:
      suffix !== "" && !/^(-\d+-g[0-9a-f]+)?(-dirty)?$/.test(suffix),
    text: written,
  };
}

/** Negative when `a` is older than `b`, 0 when they are the same. Pure. */
export function compareFirecrackerVersions(
  a: FirecrackerVersion,
  b: FirecrackerVersion,
): number {
  return (
    a.major - b.major ||
    a.minor - b.minor ||
    a.patch - b.patch ||
    Number(b.isPreRelease) - Number(a.isPreRelease)
  );
}

/** Pure. */
export function featuresOf(version: FirecrackerVersion): FirecrackerFeatures {
  const has = (feature: keyof FirecrackerFeatures): boolean =>
    isSince(version, since[feature]);
  return {
    acpi: has("acpi"),
    pci: has("pci"),
    serialFile: has("serialFile"),
    freePageReporting: has("freePageReporting"),
    bzImage: has("bzImage"),
  };
}

/**
 * Pure.
 * @throws {@link FirecrackerTooOldError} when our images cannot boot on it
 */
export function requireBootable(version: FirecrackerVersion): void {
  if (!isSince(version, oldestSupported))
    throw new FirecrackerTooOldError(
      version,
      since.acpi,
      `its API differs from that of ${oldestSupported.join(".")}`,
    );
  if (!featuresOf(version).acpi)
    throw new FirecrackerTooOldError(
      version,
      since.acpi,
      "the guest's kernel finds its disks through ACPI only, which it has not",
    );
}

function isSince(version: FirecrackerVersion, release: Release): boolean {
  const [major, minor] = release;
  const first = { major, minor, patch: 0, isPreRelease: false, text: "" };
  return compareFirecrackerVersions(version, first) >= 0;
}
