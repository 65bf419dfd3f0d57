// Writes the contract server into a folder: `node provide-firecracker.mjs FOLDER [SETTINGS]`.
import { runTestProgram } from "../run-test-program.mjs";

await runTestProgram("firecracker/provide-main.ts");
