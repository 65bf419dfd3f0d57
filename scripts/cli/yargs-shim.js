// What yargs asks of its platform, cut down to what the bundled CLI needs. It takes the place of yargs'
// lib/platform-shims/esm.mjs: no locale detection, no look-up of the caller's package.json, and no Unicode width
// tables, which together cost a third of the time that `banger ps` takes. Our help text is plain ASCII.
import { readFileSync, readdirSync } from "node:fs";
import { basename, dirname, extname, join, relative, resolve } from "node:path";
import { format, inspect, stripVTControlCharacters } from "node:util";
import { cliui } from "cliui/core";
import Parser from "yargs-parser";
import english from "yargs/locales/en.json";

const stringWidth = (text) => stripVTControlCharacters(text).length;

/** Wraps at spaces; a word that is longer than a line is cut. */
const wrapLine = (line, width) => {
  const lines = [];
  let current;
  for (const word of line.split(" ")) {
    if (current !== undefined && current.length + 1 + word.length <= width) {
      current += ` ${word}`;
      continue;
    }
    if (current !== undefined) lines.push(current);
    current = word;
    while (current.length > width) {
      lines.push(current.slice(0, width));
      current = current.slice(width);
    }
  }
  return [...lines, current].join("\n");
};
const wrap = (text, width) =>
  text
    .split("\n")
    .map((line) =>
      line.length > width && width > 0 ? wrapLine(line, width) : line,
    )
    .join("\n");

const translate = (key, ...values) => format(english[key] ?? key, ...values);
const translatePlural = (one, other, quantity, ...values) => {
  const form = quantity === 1 ? "one" : "other";
  const text = english[one]?.[form] ?? { one, other }[form];
  return format(text, ...(text.includes("%d") ? [quantity] : []), ...values);
};

const fail = (message) => {
  throw new Error(message ?? "yargs: unexpected value");
};

export default {
  assert: {
    notStrictEqual: (actual, expected, message) =>
      void (Object.is(actual, expected) && fail(message)),
    strictEqual: (actual, expected, message) =>
      void (Object.is(actual, expected) || fail(message)),
  },
  cliui: (options) =>
    cliui(options, { stringWidth, stripAnsi: stripVTControlCharacters, wrap }),
  findUp: () => undefined,
  getCallerFile: () => "",
  getEnv: (key) => process.env[key],
  getProcessArgvBin: () => process.argv[1],
  inspect,
  mainFilename: "",
  Parser,
  path: { basename, dirname, extname, join, relative, resolve },
  process: {
    argv: () => process.argv,
    cwd: () => process.cwd(),
    emitWarning: (warning, type) => process.emitWarning(warning, type),
    execPath: () => process.execPath,
    exit: (code) => process.exit(code),
    nextTick: process.nextTick,
    // A getter: opening process.stdout loads the stream classes, which most commands need only at the end.
    get stdColumns() {
      return process.stdout.columns ?? null;
    },
  },
  readFileSync,
  readdirSync,
  require: undefined,
  stringWidth,
  y18n: {
    __: translate,
    __n: translatePlural,
    getLocale: () => "en",
    locale: "en",
    setLocale: () => undefined,
    updateLocale: () => undefined,
  },
};
