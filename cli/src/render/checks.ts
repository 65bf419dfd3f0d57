import type { Check, CheckSection, CheckStatus } from "@banger/core/client";
import { printableLine } from "./printable.js";
import type { Style } from "./style.js";

/** A section for the host and each plugin, and the sum of all. */
export function renderChecks(
  sections: readonly CheckSection[],
  style: Style,
): string {
  const all = sections.flatMap(({ checks }) => checks);
  const count = (wanted: CheckStatus): number =>
    all.filter(({ status }) => status === wanted).length;
  return [
    ...sections.flatMap(({ section, checks }) => [
      style.bold(section),
      ...checks.flatMap((check) => renderCheck(check, style)),
      "",
    ]),
    `${count("pass")} passed, ${count("warn")} warnings, ${count("fail")} failed`,
  ].join("\n");
}

function renderCheck(check: Check, style: Style): readonly string[] {
  const colour = { pass: style.green, warn: style.yellow, fail: style.red };
  const { id, title, status, detail, fix } = check;
  const name = style.dim(`[${id}]`);
  return [
    `  ${colour[status](status)}  ${printableLine(title)}: ${printableLine(detail)} ${name}`,
    ...(fix === undefined ? [] : [`        fix: ${printableLine(fix)}`]),
  ];
}
