/** Names in one line that stays short: at most `most` of them, and how many more there are. */
export function nameSome(names: readonly string[], most = 5): string {
  const more = names.length - most;
  return more > 0
    ? `${names.slice(0, most).join(", ")} and ${String(more)} more`
    : names.join(", ");
}
