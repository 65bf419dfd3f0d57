"use strict";
// Runs the bundled CLI once, as `node warm-up.cjs BUNDLE CACHE SOCKET ARGUMENTS…`, and saves V8's code cache of all that
// was compiled on the way. Whatever daemon socket the CLI looks for, it meets SOCKET; it can start no process.
// How the command ends does not matter: what ran is in the cache.
const childProcess = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const vm = require("node:vm");

const [, , filename, cache, socket, ...args] = process.argv;
// The same wrapper as in start.cjs: V8 compares the length of the source.
const source = fs.readFileSync(filename, "latin1");
const script = new vm.Script(
  `(function (exports, require, module, __filename, __dirname) { ${source}\n})`,
  {
    filename,
  },
);

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  const options = Array.isArray(given[0]) ? given[0][0] : given[0];
  if (typeof options === "object" && options !== null && "path" in options)
    options.path = socket;
  return connect.apply(this, given);
};
for (const name of [
  "spawn",
  "spawnSync",
  "fork",
  "exec",
  "execSync",
  "execFile",
  "execFileSync",
]) {
  childProcess[name] = () => {
    throw new Error("no process is started while the code cache is made");
  };
}

process.argv = [
  process.execPath,
  path.join(path.dirname(filename), "banger-start.cjs"),
  ...args,
];
process.on("exit", () => {
  const partial = `${cache}.${process.pid}.tmp`;
  fs.writeFileSync(partial, script.createCachedData());
  fs.renameSync(partial, cache);
});
const module_ = { exports: {} };
script
  .runInThisContext()
  .call(
    module_.exports,
    module_.exports,
    require,
    module_,
    filename,
    path.dirname(filename),
  );
