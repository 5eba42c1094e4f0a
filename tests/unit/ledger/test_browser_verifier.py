"""The verifier that runs in the reader's browser refuses what the one at home refuses; run here by the node program."""

import base64
import json
import subprocess
from pathlib import Path

from ledger.proofs import receipts
from ledger.proofs.receipts import Status
from tests.factories.receipts import Purchase
from tests.unit.ledger.test_receipts import CASES

VERIFIER = Path(__file__).parents[3] / "static" / "js" / "verify.js"
PROGRAM = """
import fs from "node:fs";
import { webcrypto } from "node:crypto";
globalThis.crypto ??= webcrypto;  // browsers have it; Debian's node 18 keeps it in a module
const { verify, accepted } = await import(process.argv[2]);
const found = {};
for (const [name, { bundle, policy }] of Object.entries(JSON.parse(fs.readFileSync(0, "utf8")))) {
  const { checks } = await verify(new Uint8Array(Buffer.from(bundle, "base64")), policy);
  found[name] = [accepted(checks), checks.filter((one) => one.status === "FAIL").map((one) => one.name).sort()];
}
console.log(JSON.stringify(found));
"""


def sent(purchase: Purchase) -> dict:
    return {"bundle": base64.b64encode(purchase.bundle()).decode(), "policy": purchase.policy.document()}


def test_both_verifiers_fail_the_same_questions(tmp_path):
    purchases = {"genuine": Purchase()} | {
        case: Purchase(changes={document: change}) for case, (document, change, _, _) in CASES.items()
    }
    module, program = tmp_path / "verify.mjs", tmp_path / "run.mjs"
    module.write_text(VERIFIER.read_text())
    program.write_text(PROGRAM)

    done = subprocess.run(
        ["node", str(program), module.as_uri()],
        input=json.dumps({name: sent(purchase) for name, purchase in purchases.items()}),
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    here = {}
    for name, purchase in purchases.items():
        checks = receipts.verify(purchase.bundle(), policy=purchase.policy)
        failing = sorted(check.name for check in checks if check.status is Status.FAIL)
        here[name] = [receipts.accepted(checks), failing]
    there = json.loads(done.stdout)
    assert here["genuine"] == there["genuine"] == [True, []]
    assert {name: (here[name], there[name]) for name in here if here[name] != there[name]} == {}
