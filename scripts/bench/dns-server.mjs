// The DNS server of the plugin with its names and nothing else: `dns-server.mjs <port> <names>`, until its stdin ends.
import { join } from "node:path";
import { root } from "./install.mjs";

const [port, count] = process.argv.slice(2).map(Number);
const { DnsServer } = await import(join(root, "plugins/dns/dist/server.js"));
const ignore = () => {};
const server = new DnsServer({
  listen: { host: "127.0.0.1", port },
  ttlSeconds: 5,
  logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
});
for (let n = 1; n <= count; n++)
  await server.publish(`vm-${n}.vm`, `172.16.0.${n + 1}`);
console.log("listening");
process.stdin.on("end", () => server.close()).resume();
