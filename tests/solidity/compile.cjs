// Compiles the contracts named on the command line and prints {name: {abi, bytecode, storage}} as JSON.
// The settings are those of the deployed program's chain: London rules, optimizer at 200 runs.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const sources = Object.fromEntries(
  process.argv.slice(2).map((file) => [path.basename(file), { content: fs.readFileSync(file, "utf8") }]),
);
const settings = {
  evmVersion: "london",
  optimizer: { enabled: true, runs: 200 },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "storageLayout"] } },
};
const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
const complaints = (output.errors || []).map((error) => error.formattedMessage);
if (complaints.length > 0) {
  process.stderr.write(complaints.join("\n"));
  process.exit(1);
}
const contracts = Object.values(output.contracts).flatMap((file) => Object.entries(file));
const compiled = contracts.map(([name, contract]) => [
  name,
  { abi: contract.abi, bytecode: "0x" + contract.evm.bytecode.object, storage: contract.storageLayout.storage },
]);
process.stdout.write(JSON.stringify(Object.fromEntries(compiled)));
