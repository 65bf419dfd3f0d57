/** A device's numbers as stat(2) has them in `dev` and `rdev`. Pure. @see gnu_dev_major(3) and gnu_dev_minor(3) */
export function deviceNumbers(encoded: number | bigint): {
  readonly major: number;
  readonly minor: number;
} {
  const device = BigInt(encoded);
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)),
    minor: Number((device & 0xffn) | ((device >> 12n) & ~0xffn)),
  };
}
