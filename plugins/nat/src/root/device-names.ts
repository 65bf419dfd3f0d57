/** Names that the kernel takes for a device and that mean themselves to iptables and nft: `+` and `*` are wildcards there. IFNAMSIZ leaves 15 characters. */
export const deviceName = /^[A-Za-z0-9._@-]{1,15}$/;
