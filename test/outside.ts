import { spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { runVariables } from "./run-variables.js";

/** Something that a guest reaches only by its way out. */
export interface Outside {
  /** where an HTTP server answers every request, as the guest names it */
  readonly url: string;
  stop(): Promise<void>;
}

/** A network namespace that stands for all that is beyond the host. */
interface OutsideNamespace {
  readonly name: string;
  /** IPv4 address, as the host reaches it */
  readonly address: string;
}

/** Absent in the network mode `user`, where the way out ends in this very host. */
function outsideNamespace(): OutsideNamespace | undefined {
  const [name = "", address = ""] =
    process.env[runVariables.outside]?.split(" ") ?? [];
  return name === "" ? undefined : { name, address };
}

/** Can the guests' way out be opened and closed while they run? It can where the host's own rules are that way. */
export const isEgressLive: boolean = outsideNamespace() !== undefined;

/**
 * Starts the server. Beyond a bridge it answers only what comes from its own subnet: guests' addresses must not be seen there.
 * @param body of every answer
 */
export async function startOutside(body: string): Promise<Outside> {
  const namespace = outsideNamespace();
  return namespace ? startBeyond(namespace, body) : startHere(body);
}

/** QEMU's user networking reaches the host's loopback under 10.0.2.2. */
async function startHere(body: string): Promise<Outside> {
  const server = createServer((_request, response) => response.end(body));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://10.0.2.2:${port}/`,
    stop: async () => {
      server.close();
    },
  };
}

/** The server of a namespace: a program of its own, which prints its port. */
const program = `
const [, address, body] = process.argv;
const subnet = address.slice(0, address.lastIndexOf(".") + 1);
const server = require("node:http").createServer((request, response) => {
  const peer = request.socket.remoteAddress ?? "";
  response.end(peer.startsWith(subnet) ? body : "who is " + peer + "?");
});
server.listen(0, address, () => console.log(server.address().port));
`;

async function startBeyond(
  { name, address }: OutsideNamespace,
  body: string,
): Promise<Outside> {
  const node = [process.execPath, "-e", program, address, body];
  const server = spawn("ip", ["netns", "exec", name, ...node], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<void>((done) => server.once("close", done));
  const port = await new Promise<string>((resolve, reject) => {
    server.once("error", reject);
    server.stdout.once("data", (chunk: Buffer) =>
      resolve(chunk.toString().trim()),
    );
    void ended.then(() => reject(new Error(`no server in ${name}`)));
  });
  return {
    url: `http://${address}:${port}/`,
    stop: async () => {
      server.kill();
      await ended;
    },
  };
}
