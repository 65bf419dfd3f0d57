/** Is it an error of the system with one of these codes, such as `ENOENT`? */
export function hasErrorCode(
  error: unknown,
  ...codes: readonly string[]
): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    codes.includes(error.code)
  );
}
