/**
 * Order within a hook across plugins: taps with a lower number run first, equal ones in plugin order. Cleanup runs the same
 * numbers backwards.
 */
export const Stage = { disks: 100, network: 200, services: 300 } as const;
