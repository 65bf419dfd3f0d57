#!/usr/bin/env node
"use strict";
// Starts the bundled CLI with V8's code cache, which saves compiling it. A cache that is missing, or made by another
// Node, is no error: V8 rejects it and compiles.
const fs = require("node:fs");
const vm = require("node:vm");

const filename = `${__dirname}/banger.cjs`;
let cachedData;
try {
  cachedData = fs.readFileSync(
    `${filename}.${process.version}-${process.arch}.cache`,
  );
} catch {
  // No cache for this Node.
}
// The bundle is ASCII (bundle-cli.mjs sees to it), and latin1 is the fastest way to read that.
const source = fs.readFileSync(filename, "latin1");
const script = new vm.Script(
  `(function (exports, require, module, __filename, __dirname) { ${source}\n})`,
  {
    filename,
    cachedData,
  },
);
script
  .runInThisContext()
  .call(exports, exports, require, module, filename, __dirname);
