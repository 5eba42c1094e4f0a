"""The receipt verifier: a genuine bundle passes, and each lie is found by the question it belongs to."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.proofs import canonical, checkpoints, merkle, policies, receipts, statements
from ledger.proofs.errors import VerificationError
from ledger.proofs.receipts import Status
from tests.factories.receipts import BANK, COMPUTATION, EXCHANGE, FUND_A, FUND_B, ORIGIN, Purchase

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def purchase():
    return Purchase()


def answers(purchase: Purchase, bundle: bytes | None = None, **options) -> dict[str, receipts.Check]:
    checks = receipts.verify(bundle or purchase.bundle(), policy=options.get("policy", purchase.policy))
    return {check.name: check for check in checks}


def failed(purchase: Purchase, bundle: bytes | None = None, **options) -> dict[str, str]:
    found = answers(purchase, bundle, **options)
    return {name: check.code for name, check in found.items() if check.status is Status.FAIL}


def test_a_genuine_bundle_passes_and_says_what_it_could_not_check(purchase):
    checks = receipts.verify(purchase.bundle(), policy=purchase.policy)

    assert receipts.accepted(checks)
    open_questions = {check.name: check for check in checks if check.status is Status.NOT_CHECKED}
    assert {name: check.code for name, check in open_questions.items()} == {
        "cosignatures": "NO_QUORUM", "anchor": "NO_ANCHOR", "chain": "NO_ANCHOR", "header": "NO_ANCHOR",
        "grants": "GRANTS_NOT_DEMANDED",
    }  # fmt: skip
    assert all(check.detail and check.detail_zh and not check.required for check in open_questions.values())
    assert len(checks) == 18


def test_policy_may_come_as_document_or_bytes(purchase):
    document = purchase.policy.document()

    for policy in (document, canonical.canonicalize(document)):
        assert receipts.accepted(receipts.verify(purchase.bundle(), policy=policy))


@pytest.mark.parametrize(
    "change",
    [{"chain": {"chain_id": "1", "contract_address": "0x"}}, {"logs": []}, {"exchange_keys": [None]},
     {"type": "hengshu/trust-policy/v3"}, {"witnesses": {"keys": [], "quorum": 1}}, {"extra": 1}],
)  # fmt: skip
def test_a_policy_that_is_none_is_an_error_of_the_caller(purchase, change):
    with pytest.raises(VerificationError):
        policies.parse({**purchase.policy.document(), **change})


def test_every_single_changed_byte_fails(purchase):
    """Each position once, with a random other byte: 500 of them in full, spread over the whole bundle."""
    genuine = purchase.bundle()
    rng = random.Random(7)

    for position in rng.sample(range(len(genuine)), 500):
        changed = bytearray(genuine)
        changed[position] ^= rng.randrange(1, 256)
        assert not receipts.accepted(receipts.verify(bytes(changed), policy=purchase.policy)), position


@pytest.mark.parametrize("bundle", [b"", b"{}", b"null", b"[]", b"\xff\xfe", b'{"type":"hengshu/receipt-bundle/v1"}'])
def test_rubbish_fails_without_an_exception(purchase, bundle):
    checks = receipts.verify(bundle, policy=purchase.policy)

    assert checks[0].status is Status.FAIL
    assert {check.status for check in checks[1:]} == {Status.NOT_CHECKED}
    assert not receipts.accepted(checks)


def test_white_space_is_a_change(purchase):
    pretty = json.dumps(json.loads(purchase.bundle()), indent=1).encode()

    assert failed(purchase, pretty) == {"bundle": "NOT_CANONICAL"}


def test_another_exchange_is_not_believed(purchase):
    stranger = Purchase()

    assert failed(purchase, policy=stranger.policy) == {"bundle": "SIGNATURE_MISSING"}


def _swap_result_key(job):
    job["result"]["sealing_key"] = "A" * 43


def _drop_authorization(payloads):
    del payloads["computation.authorized"]


CASES = {
    "contract names another log": (
        "contract", lambda d: d["exchange"].update(log_origin="evil.example/log"), "contract", "EXCHANGE_UNKNOWN"),
    "receiver is not the buyer": (
        "contract", lambda d: d["output"].update(receiver=FUND_A), "contract", "CONTRACT_INVALID"),
    "an organisation twice": (
        "contract", lambda d: d["parties"].append(d["parties"][0]), "contract", "CONTRACT_INVALID"),
    "request for another computation": (
        "request", lambda d: d.update(id=COMPUTATION[:-1] + "9"), "request", "DIGEST_MISMATCH"),
    "request under other terms": (
        "request", lambda d: d.update(terms_digest="0" * 64), "request", "DIGEST_MISMATCH"),
    "operation outside the contract": (
        "request", lambda d: d.update(operation="raw_export"), "request", "REQUEST_INVALID"),
    "result sealed to another key": ("job", _swap_result_key, "job", "RESULT_KEY_MISMATCH"),
    "job with another engine": ("job", lambda d: d.update(engine="other/1"), "job", "JOB_INVALID"),
    "job on another data set": (
        "job", lambda d: d["parties"][0].update(dataset_commitment="0" * 64), "job", "DATASET_MISMATCH"),
    "job run by the buyer": (
        "job", lambda d: d["parties"].append({"organization": BANK, "rank": 2, "role": "compute"}), "job",
        "JOB_INVALID"),
    "a refusal": ("consents", lambda d: d.update(decision="refused"), "consents", "CONSENT_REFUSED"),
    "consent to another request": (
        "consents", lambda d: d.update(request_digest="0" * 64), "consents", "DIGEST_MISMATCH"),
    "a failed run": ("reports", lambda d: d.update(outcome="failed"), "reports", "REPORT_INVALID"),
    "more units reported": ("reports", lambda d: d.update(units=2), "reports", "UNITS_DIFFER"),
    "another unit reported": ("reports", lambda d: d.update(unit="per_row"), "reports", "UNITS_DIFFER"),
    "report of another job": ("reports", lambda d: d.update(job_digest="0" * 64), "reports", "DIGEST_MISMATCH"),
    "data set read in secret": ("reports", lambda d: d["datasets"].append(
        {"dataset": "salaries", "commitment": "0" * 64}), "reports", "DATASET_MISMATCH"),
    "acceptance of other reports": (
        "payloads", lambda d: d["result.accepted"].update(reports=["0" * 64]), "reports", "REPORT_MISMATCH"),
    "no authorization": ("payloads", _drop_authorization, "entry_kinds", "ENTRY_MISSING"),
    "authorization of other consents": (
        "payloads", lambda d: d["computation.authorized"].update(consents=[]), "authorization",
        "AUTHORIZATION_INVALID"),
    "authorization of another job": (
        "payloads", lambda d: d["computation.authorized"].update(job_digest="0" * 64), "authorization",
        "DIGEST_MISMATCH"),
    "another amount logged": (
        "payloads", lambda d: d["settlement.charged"].update(amount_fen=1), "charge", "CHARGE_INVALID"),
    "more units logged": (
        "payloads", lambda d: d["settlement.charged"].update(units=2), "charge", "CHARGE_INVALID"),
    "a charge logged for other reports": (
        "payloads", lambda d: d["settlement.charged"].update(reports=["0" * 64]), "charge", "CHARGE_INVALID"),
    "acceptance of another job": (
        "payloads", lambda d: d["result.accepted"].update(job_digest="0" * 64), "entry_kinds", "ENTRY_INVALID"),
    "release of another job": (
        "payloads", lambda d: d["result.released"].update(job_digest="0" * 64), "entry_kinds", "ENTRY_INVALID"),
    "another price charged": (
        "bundle", lambda d: d["charge"].update(unit_price_fen=60_000, amount_fen=60_000), "charge", "CHARGE_INVALID"),
    "an amount that does not multiply": (
        "bundle", lambda d: d["charge"].update(amount_fen=50_001), "charge", "CHARGE_INVALID"),
    "a report left out": (
        "bundle", lambda d: d["documents"]["reports"].pop(), "reports", "REPORT_MISSING"),
    "a report twice": (
        "bundle", lambda d: d["documents"]["reports"].append(d["documents"]["reports"][0]), "reports",
        "REPORT_MISSING"),
    "a consent left out": (
        "bundle", lambda d: d["documents"]["consents"].pop(), "consents", "CONSENT_MISSING"),
    "a signature taken off the contract": (
        "bundle", lambda d: d["documents"]["contract"]["proof"].pop(), "contract", "SIGNATURE_MISSING"),
    "an entry's payload exchanged": (
        "bundle", lambda d: d["entries"][3].update(payload={"amount_fen": 50_000, "extra": 1}), "commitments",
        "COMMITMENT_INVALID"),
    "an entry at another place": (
        "bundle", lambda d: d["entries"][0].update(index=3), "inclusion", "INCLUSION_INVALID"),
    "an entry shown twice": (
        "bundle", lambda d: d["entries"].append(d["entries"][1]), "entry_kinds", "ENTRY_INVALID"),
    "a path step cut off": (
        "bundle", lambda d: d["entries"][2]["path"].pop(), "inclusion", "INCLUSION_INVALID"),
    "a salt that is none": ("bundle", lambda d: d["entries"][2].update(salt="00"), "commitments",
                            "COMMITMENT_INVALID"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_bundle_that_the_exchange_signed_all_the_same_is_found_out(case):
    """The exchange itself is the liar here: the outer signature is genuine."""
    document, change, question, code = CASES[case]
    purchase = Purchase(changes={document: change})

    found = failed(purchase)

    assert found.get(question) == code
    assert "bundle" not in found
    assert not receipts.accepted(list(answers(purchase).values()))


@pytest.mark.parametrize("document", ["contract", "request", "job", "consents", "reports"])
def test_a_document_signed_by_the_wrong_key_is_found_out(document):
    """Whoever should have signed: a stranger's key has, under the right name."""
    honest, stranger = Purchase(), Purchase()
    forged = honest.document()
    for part in (
        [forged["documents"][document]]
        if isinstance(forged["documents"][document], dict)
        else forged["documents"][document]
    ):
        part.update(stranger.sign(statements.unsigned(part), FUND_B))

    found = failed(honest, canonical.canonicalize(honest.sign(forged, EXCHANGE)))

    assert found[document] == "SIGNATURE_MISSING"


def test_a_second_history_signed_by_another_log_key_is_found_out(purchase):
    document = purchase.document()
    other = checkpoints.Checkpoint(origin=ORIGIN, size=13, root=bytes(32))
    document["checkpoint"] = checkpoints.sign(other, key=Purchase().keys["log"].document)

    found = failed(purchase, canonical.canonicalize(purchase.sign(document, EXCHANGE)))

    assert found["checkpoint"] == "SIGNATURE_MISSING"
    assert found["inclusion"] == "SIGNATURE_MISSING"


def _anchored(purchase: Purchase, **changes) -> bytes:
    document = purchase.document()
    checkpoint = checkpoints.parse(document["checkpoint"])
    document["anchor"] = {
        "chain_id": 31337, "contract_address": "0x" + "ab" * 20, "size": checkpoint.size,
        "root": checkpoint.root.hex(), "block_number": 7, "block_hash": "0x" + "cd" * 32,
        "transaction": "0x" + "ef" * 32, **changes,
    }  # fmt: skip
    return canonical.canonicalize(purchase.sign(document, EXCHANGE))


@pytest.mark.parametrize(
    ("changes", "status", "chain"),
    [({}, Status.PASS, "CHAIN_NOT_IN_POLICY"), ({"root": "0" * 64}, Status.FAIL, "CHAIN_NOT_IN_POLICY"),
     ({"size": 1}, Status.NOT_CHECKED, "CHAIN_NOT_IN_POLICY"), ({"size": "13"}, Status.FAIL, "CHAIN_NOT_IN_POLICY"),
     ({"extra": 1}, Status.FAIL, "ANCHOR_INVALID")],
)  # fmt: skip
def test_an_anchor_is_compared_and_the_chain_left_open(purchase, changes, status, chain):
    found = answers(purchase, _anchored(purchase, **changes))

    assert found["anchor"].status is status
    assert found["chain"].code == found["header"].code == chain
    assert receipts.accepted(list(found.values())) is (status is not Status.FAIL)


def test_an_anchor_on_a_chain_that_the_policy_does_not_name_fails(purchase):
    policy = policies.with_chain(purchase.policy, policies.Chain(chain_id=1, contract_address="0x" + "ab" * 20))

    assert failed(purchase, _anchored(purchase), policy=policy) == {"anchor": "ANCHOR_INVALID"}


def test_verifier_runs_where_django_and_the_network_are_absent(purchase, tmp_path):
    (tmp_path / "receipt.json").write_bytes(purchase.bundle())
    (tmp_path / "policy.json").write_bytes(canonical.canonicalize(purchase.policy.document()))
    program = """
import sys
for name in ("django", "celery", "rest_framework", "web3", "psycopg", "socket"):
    sys.modules[name] = None
from pathlib import Path
from ledger.proofs import receipts
here = Path(sys.argv[1])
checks = receipts.verify((here / "receipt.json").read_bytes(), policy=(here / "policy.json").read_bytes())
raise SystemExit(0 if receipts.accepted(checks) else 1)
"""

    finished = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)

    assert finished.returncode == 0, finished.stderr


def test_merkle_module_agrees_with_the_bundle(purchase):
    """The factory's log is judged by the RFC's own arithmetic, not by the code that made it."""
    document = purchase.document()
    checkpoint = checkpoints.parse(document["checkpoint"])

    for entry in document["entries"]:
        merkle.verify_inclusion(
            index=entry["index"], size=checkpoint.size, root=checkpoint.root,
            leaf_hash=merkle.leaf_hash(entry["leaf"].encode()), path=[bytes.fromhex(step) for step in entry["path"]],
        )  # fmt: skip
