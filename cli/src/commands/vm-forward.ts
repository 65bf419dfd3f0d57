import type { PublishedPort } from "@banger/core/client";
import type { ForwardBody } from "@banger/host/client";
import { Interruption } from "../io.js";
import { printableLine } from "../render/printable.js";
import type { Arguments } from "./arguments.js";
import type { Cli, CommandDefinition, Outcome } from "./command.js";
import { note, operate } from "./operate.js";
import { UsageError } from "./usage-error.js";
import { vmPositional } from "./vm-positional.js";

export const vmForward: CommandDefinition = {
  words: ["vm", "forward"],
  summary: "Publish a port of a guest on this host until Ctrl-C",
  positionals: [
    vmPositional,
    {
      name: "ports",
      describe: "PORT, or PORT:GUEST when the guest's port is another one",
      required: true,
    },
  ],
  options: {
    address: {
      type: "string",
      describe: "IPv4 address of this host; default the VM's own",
    },
    keep: {
      type: "boolean",
      describe: "whenever the VM runs, until it is removed",
    },
    remove: { type: "boolean", describe: "end one, a kept one for good" },
  },
  examples: [
    ["vm forward web 8080", "until Ctrl-C, which is no failure"],
    ["vm forward web 8080:80 --keep", "whenever the VM runs"],
    ["vm forward web 8080 --address 127.0.0.1", "at localhost:8080"],
    ["vm forward web 8080 --remove", "no longer"],
  ],
  endsSilently: true,
  run: async (args, cli) => {
    const { port, guestPort } = parsePorts(args.required("ports"));
    const address = args.string("address");
    const vm = encodeURIComponent(args.required("vm"));
    if (args.flag("remove")) {
      refuseBeside(args, address, guestPort);
      await operate(cli, {
        method: "DELETE",
        path: `/v1/vms/${vm}/forwards/${port}`,
      });
      return {};
    }
    const body: ForwardBody = {
      port,
      guestPort: guestPort ?? port,
      ...(address === undefined ? {} : { address }),
    };
    const path = `/v1/vms/${vm}/forwards`;
    return args.flag("keep") ? keep(cli, path, body) : hold(cli, path, body);
  },
};

async function keep(
  cli: Cli,
  path: string,
  body: ForwardBody,
): Promise<Outcome> {
  const { value } = await operate<PublishedPort>(cli, {
    method: "POST",
    path,
    body: { ...body, keep: true },
    quiet: true,
  });
  return { text: () => printableLine(value.endpoint) };
}

/** Ctrl-C is how it ends, as with `kubectl port-forward`: status 0. */
async function hold(
  cli: Cli,
  path: string,
  body: ForwardBody,
): Promise<Outcome> {
  const { client, io } = cli;
  try {
    await client.operation("POST", path, {
      body,
      signal: io.interrupted,
      onEvent: (event) => {
        if (event.type !== "progress" || event.stage !== "forward") return;
        io.stdout.write(`${printableLine(event.text)}\n`);
        note(cli, `forwarding to port ${body.guestPort} until Ctrl-C`);
      },
    });
  } catch (error) {
    const isCtrlC = error instanceof Interruption && error.exitCode === 130;
    if (!isCtrlC) throw error;
  }
  return {};
}

/** @throws {@link UsageError} */
function parsePorts(text: string): { port: number; guestPort?: number } {
  const [, port, guestPort] = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(text) ?? [];
  const isPort = (digits: string): boolean =>
    Number(digits) >= 1 && Number(digits) <= 65_535;
  if (port === undefined || ![port, guestPort ?? port].every(isPort))
    throw new UsageError(`${JSON.stringify(text)} is not PORT or PORT:GUEST`, {
      hint: "Ports are 1 to 65535, such as 8080:80",
    });
  return {
    port: Number(port),
    ...(guestPort === undefined ? {} : { guestPort: Number(guestPort) }),
  };
}

/** @throws {@link UsageError} */
function refuseBeside(
  args: Arguments,
  address: string | undefined,
  guestPort: number | undefined,
): void {
  if (args.flag("keep") || address !== undefined || guestPort !== undefined)
    throw new UsageError(
      "--remove takes the port of this host and nothing else",
    );
}
