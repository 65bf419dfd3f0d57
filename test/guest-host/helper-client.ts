import type { GuestHost } from "./guest-host.js";

const path = "/opt/helper-client.py";

/** Speaks the helper's protocol without any code of ours: a line of JSON there, a line back. */
const source = `
import json, socket, sys
helper = socket.socket(socket.AF_UNIX)
helper.connect("/run/banger-root/helper.sock")
frame = {"version": 1, "request": sys.argv[1], "input": json.loads(sys.argv[2])}
helper.sendall(json.dumps(frame).encode() + b"\\n")
answer = b""
while not answer.endswith(b"\\n"):
    more = helper.recv(65536)
    if not more: break
    answer += more
print(answer.decode())
`;

/** Asks the guest's root helper for privileged requests, as one of the guest's users. */
export class HelperClient {
  readonly #guest: GuestHost;
  readonly #user: string | undefined;

  /** @param user login name; root when it is absent */
  constructor(guest: GuestHost, user: string | undefined) {
    this.#guest = guest;
    this.#user = user;
  }

  /** Puts the program that asks into the guest. */
  static async send(guest: GuestHost): Promise<void> {
    await guest.ok(`cat >${path}`, { input: source });
  }

  /** @returns the output of the request; of one that failed `{ code, message }` */
  async request(name: string, input: unknown): Promise<unknown> {
    const words = [name, JSON.stringify(input)].map((word) => `'${word}'`);
    const options = this.#user === undefined ? {} : { user: this.#user };
    const script = `python3 ${path} ${words.join(" ")}`;
    const answer = JSON.parse(await this.#guest.ok(script, options)) as {
      readonly output?: unknown;
      readonly error?: { readonly code: string; readonly message: string };
    };
    const { error } = answer;
    return error
      ? { code: error.code, message: error.message }
      : (answer.output ?? null);
  }
}
