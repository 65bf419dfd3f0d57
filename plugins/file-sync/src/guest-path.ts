/** Longest path that ends in the archive, bytes with the closing NUL (PATH_MAX). */
const mostBytes = 4096;

/**
 * Where an entry's guest path is, relative to the guest's root directory: `~/.aws/config` and `/root/.aws/config` are both
 * `root/.aws/config`. Pure.
 * @returns what is wrong with it as `problem` otherwise
 */
export function parseGuestPath(
  text: string,
): { readonly path: string } | { readonly problem: string } {
  const below = text.startsWith("~/")
    ? text.slice(2)
    : text.startsWith("/root/")
      ? text.slice(6)
      : undefined;
  if (text === "") return { problem: "it is empty" };
  if (below === undefined) {
    return text.startsWith("~")
      ? { problem: "only ~/ is known, no ~user" }
      : { problem: "it must be below ~/ or /root/, which the work disk is" };
  }
  const problem = componentProblem(below);
  if (problem !== undefined) return { problem };
  const parts = below.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.length === 0) return { problem: "it names no file in ~/" };
  const path = ["root", ...parts].join("/");
  return Buffer.byteLength(path) < mostBytes
    ? { path }
    : { problem: "it is too long" };
}

/** What is wrong with an entry's host path, or `undefined`. Pure. */
export function hostPathProblem(text: string): string | undefined {
  if (text === "") return "it is empty";
  if (/^~[^/]/.test(text)) return "only ~/ is known, no ~user";
  if (!text.startsWith("/") && !text.startsWith("~/"))
    return "it must be absolute or begin with ~/";
  return componentProblem(text);
}

/** Absolute path on the host, without a closing `/`. Pure. */
export function expandHostPath(text: string, homeDirectory: string): string {
  const path = text.startsWith("~/")
    ? `${homeDirectory}/${text.slice(2)}`
    : text;
  return path.replace(/(?<=.)\/+$/, "");
}

/** The directories between /root and a guest path, outermost first: `root/.config`, `root/.config/gh`. Pure. */
export function parentsOf(guestPath: string): readonly string[] {
  const parts = guestPath.split("/");
  return parts
    .slice(1, -1)
    .map((_, index) => parts.slice(0, index + 2).join("/"));
}

function componentProblem(text: string): string | undefined {
  if (text.includes("\0")) return "it has a NUL";
  if (text.split("/").includes("..")) return "it must not contain ..";
  return undefined;
}
