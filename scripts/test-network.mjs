// `npm run test:network [-- <vitest's arguments>]`: guests on a bridge, in network namespaces with real servers beyond. When it cannot run
// here it says so in a line "test:network did not run: …" and ends with 0.
import { runTestProgram } from "./run-test-program.mjs";

await runTestProgram("e2e-network/main.ts");
