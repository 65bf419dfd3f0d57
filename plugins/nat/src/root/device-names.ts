/** Names that the kernel takes for a device and that mean themselves to iptables and nft: `+` and `*` are wildcards there. IFNAMSIZ leaves 15 characters. */
export const deviceName = /^[A-Za-z0-9._@-]{1,15}$/;

/** TAP devices of guests: of one VM, or of the pool. */
export const tapName = /^(tap-fc-[0-9a-f]{8}|tap-pool-(0|[1-9][0-9]{0,5}))$/;

/** Bridges of guests. */
export const bridgeName = /^br-fc(-[a-z0-9]{1,9})?$/;

/** Addresses that nobody has on the internet: RFC 1918, and RFC 6598 between providers and their customers. */
export const privateIpv4 =
  /^(10\.|172\.(1[6-9]|2\d|3[01])\.|192\.168\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/;
