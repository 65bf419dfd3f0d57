// `npm run test:fc-contract [-- <vitest's arguments>]`: the e2e suite on the driver for Firecracker, over the contract server. When it
// cannot run here it says so in a line "test:fc-contract did not run: …" and ends with 0.
import { runTestProgram } from "./run-test-program.mjs";

await runTestProgram("second-run/contract-main.ts");
