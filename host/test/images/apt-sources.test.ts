import { writeFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { aptSources } from "../../src/images/apt-sources.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const bookworm =
  'PRETTY_NAME="Debian 12"\nID=debian\nVERSION_CODENAME=bookworm\n';
const oneLine = "deb http://deb.example/debian bookworm main\n";
const deb822 =
  "Types: deb\nURIs: http://deb.example/debian\nSuites: bookworm\n";

/** @returns which of the candidates is chosen: 0, 1, or -1 for none */
async function chosen(
  release: string | undefined,
  ...sources: (string | undefined)[]
): Promise<number> {
  const directory = await temporaryDirectory();
  const write = async (
    name: string,
    text: string | undefined,
  ): Promise<string> => {
    if (text !== undefined) await writeFile(`${directory}/${name}`, text);
    return `${directory}/${name}`;
  };
  const candidates = await Promise.all(
    sources.map((text, index) => write(String(index), text)),
  );
  const path = await aptSources("bookworm", {
    release: await write("os-release", release),
    candidates,
  });
  return path === undefined ? -1 : candidates.indexOf(path);
}

it.each([
  ["deb822", deb822],
  ["one line", `# comment\n${oneLine}`],
])("takes the host's sources in the format %s", async (_format, text) => {
  expect(await chosen(bookworm, text)).toBe(0);
});

it("takes quoted values of os-release", async () => {
  expect(
    await chosen('ID="debian"\nVERSION_CODENAME="bookworm"\n', oneLine),
  ).toBe(0);
});

it("takes the first file that has sources", async () => {
  expect(await chosen(bookworm, undefined, oneLine)).toBe(1);
  expect(await chosen(bookworm, "# moved\n", oneLine)).toBe(1);
  expect(await chosen(bookworm, deb822, oneLine)).toBe(0);
});

it.each([
  ["another distribution", "ID=ubuntu\nVERSION_CODENAME=bookworm\n"],
  ["a derivative", "ID=mydebian\nID_LIKE=debian\nVERSION_CODENAME=bookworm\n"],
  ["another suite", "ID=debian\nVERSION_CODENAME=trixie\n"],
  ["a suite whose name begins so", "ID=debian\nVERSION_CODENAME=bookworm2\n"],
  ["another field", "ID=debian\nOLD_VERSION_CODENAME=bookworm\n"],
  ["no os-release", undefined],
])("leaves the choice open on %s", async (_what, release) => {
  expect(await chosen(release, oneLine)).toBe(-1);
});

it("takes no file without sources, and none of installation media", async () => {
  expect(await chosen(bookworm, undefined)).toBe(-1);
  expect(await chosen(bookworm, "# deb http://x\n\n")).toBe(-1);
  expect(
    await chosen(bookworm, "deb cdrom:[Debian 12]/ bookworm main\n" + oneLine),
  ).toBe(-1);
});
