import { InvalidValueError } from "../errors.js";

const pattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Checks a VM name, which is also a DNS label and the guest's host name: 1 to 63 of `a-z 0-9 -`, no `-` at either end. It is
 * never rewritten (RFC 1123 §2.1 gives the rule).
 * @throws {@link InvalidValueError}
 */
export function parseVmName(text: string): string {
  if (pattern.test(text)) return text;
  throw new InvalidValueError(`${JSON.stringify(text)} is not a VM name`, {
    hint: "Use 1 to 63 lower-case letters, digits and '-', with no '-' at either end",
  });
}

const adjectives =
  "able bold brave brisk calm clear cool crisp deft eager early fair fast fine fond glad gold good grand keen kind late lean light live lucky mild neat new nice open pale plain prime proud quick quiet rare ripe safe sharp sleek smart snug soft solid spry stout sunny sure swift tidy true vivid warm wide wise witty young zesty".split(
    " ",
  );
const animals =
  "ant bat bear bee bison boar crab crane crow deer dove duck eagle eel elk emu finch fox frog gecko goat goose hare hawk heron ibis koala lark lion llama lynx mole moose moth mouse newt orca otter owl panda puma quail raven robin seal shark sheep shrew skunk sloth snail swan tapir tern tiger toad trout viper vole wasp whale wolf wren yak zebra".split(
    " ",
  );

/** An adjective and an animal, `calm-otter`; `random` returns a whole number in `[0, below)`. */
export function generateVmName(random: (below: number) => number): string {
  const adjective = adjectives[random(adjectives.length)] ?? "plain";
  const animal = animals[random(animals.length)] ?? "otter";
  return `${adjective}-${animal}`;
}
