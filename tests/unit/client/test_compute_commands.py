"""Asking, watching, opening: the buyer's machine trusts its own signature and nobody's word."""

import base64
import copy
import hashlib
from datetime import timedelta

import pytest

from compute.engines import registry
from compute.engines.base import GroupedStatistics
from compute.protocol import documents, sealing
from exchange.client.commands import computations
from exchange.kernel.identifiers import parse_urn
from ledger.proofs import statements
from tests.factories.node import NOW

COMMITMENTS = {"fund-a": "a" * 64, "fund-b": "b" * 64}
CELL = {
    "group": {"district": "=North"},
    "column": "base",
    "count": 12,
    "sum": "1.00",
    "mean": "0.083333",
    "variance": "0",
}


@pytest.fixture
def contract(machine):
    signed = machine.world.contract(COMMITMENTS)
    machine.as_member("bank")
    machine.pin_policy()
    for ref in ("C1", parse_urn(signed["id"], kind="contract")):
        machine.exchange.answers["GET", f"/api/v1/contracts/{ref}/"] = (200, {"terms": signed})
    return signed


def test_a_request_is_signed_here_kept_here_and_sent_once(machine, contract):
    machine.exchange.answers["POST", "/api/v1/computations/"] = (202, {"state": "requested"})

    machine.run(
        "compute", "submit", "C1", "--group-by", "district", "--values", "base", "--filter", "age_band=20-29,30-39",
        "--json",
    )  # fmt: skip

    assert machine.code == 0, machine.err
    sent = machine.exchange.posted("/api/v1/computations/")[0]
    request = sent.body["request"]
    documents.check_request(request)
    statements.verify(request, signers=[machine.world.keys["bank"].document_key])
    assert request["parameters"] == {
        "group_by": ["district"],
        "values": ["base"],
        "filters": [{"column": "age_band", "in": ["20-29", "30-39"]}],
        "min_group": 10,
    }
    assert sent.headers["Idempotency-Key"] == request["id"]

    kept = next((machine.home / "requests").iterdir())
    machine.run("compute", "submit", "--request", str(kept))
    again = machine.exchange.posted("/api/v1/computations/")[1]
    assert (again.body["request"], again.headers["Idempotency-Key"]) == (request, request["id"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--values", "salary"), "PARAMETERS_OUT_OF_TERMS"),
        (("--values", "base", "--operation", "guess"), "OPERATION_UNKNOWN"),
        (("--values", "base", "--filter", "age_band"), "FILTER_INVALID"),
        (("--group-by", "district"), "DOCUMENT_INVALID"),
    ],
)
def test_a_request_outside_the_contract_never_leaves(machine, contract, words, code):
    machine.run("compute", "submit", "C1", *words)
    assert (machine.code, machine.err.split(":")[0]) == (1, code)
    assert not machine.exchange.posted("/api/v1/computations/")


def test_providers_of_an_aligned_run_are_found_by_their_columns():
    terms = {
        "parties": [
            {"organization": "urn:a", "name_zh": "甲", "name_en": "A"},
            {"organization": "urn:b", "name_zh": "乙", "name_en": "B"},
        ],
        "objects": [{"provider": "urn:a", "columns": ["district"]}, {"provider": "urn:b", "columns": ["pay"]}],
    }
    assert computations._provider(terms, "", columns=["district"], other=["pay"]) == "urn:a"
    assert computations._provider(terms, "乙", columns=[], other=[]) == "urn:b"


def test_watching_shows_every_party_and_ends_with_the_state(machine, contract, monkeypatch):
    monkeypatch.setattr(computations, "POLL_SECONDS", 0.01)
    parties = [
        {"name_zh": "澄江", "name_en": "Chengjiang", "state": "running", "stage": "shares", "percent": 40},
        {"name_zh": "云岭", "name_en": "Yunling", "state": "ready", "stage": "", "percent": 0},
    ]
    place = ("GET", "/api/v1/computations/R1/")
    machine.exchange.answers[place] = [
        (200, {"state": "executing", "parties": parties}),
        (200, {"state": "released", "parties": parties}),
    ]
    machine.run("compute", "watch", "R1")
    assert machine.code == 0
    assert "Chengjiang █████████░░░░░░░░░░░░░░░  40 %  running shares" in machine.err
    assert "hengshu result open R1" in machine.out

    machine.exchange.answers[place] = (200, {"state": "failed", "end_code": "PEER_LOST", "parties": parties})
    assert machine.run("--lang", "zh", "compute", "watch", "R1").code == 1
    assert "PEER_LOST" in machine.out
    machine.exchange.answers[place] = (200, {"state": "executing", "parties": []})
    assert machine.run("compute", "watch", "R1", "--timeout", "0").err.startswith("STILL_RUNNING")


@pytest.fixture
def released(machine, contract, monkeypatch):
    """A released computation with genuine reports and sealed parts."""
    world = machine.world
    request = world.request(contract)
    job = world.job(contract, request)
    digest = statements.digest(job)
    parts = []
    for party, code in zip(job["parties"], ("fund-a", "fund-b"), strict=True):
        info = sealing.part_context(job_digest=digest, rank=party["rank"])
        ciphertext = sealing.seal(code.encode(), recipient=world.keys["bank"].sealing_key, info=info)
        report = documents.execution_report(**_report(job, party, ciphertext))
        parts.append(
            {
                "rank": party["rank"],
                "organization": party["organization"],
                "sealed_part": base64.b64encode(ciphertext).decode(),
                "report": world.sign(report, code),
            }
        )
    answer = {"job": job, "request": request, "parts": parts, "receipt_ready": True}
    ref = parse_urn(job["id"], kind="computation")

    class Glue:
        def open(self, opened, *, job, request):
            assert list(opened) == [b"fund-a", b"fund-b"]
            return GroupedStatistics(("district",), ("base",), 10, (CELL,))

    monkeypatch.setattr(registry, "get", lambda engine: Glue())
    return ref, answer


def _report(job, party, ciphertext):
    return {
        "sequence": 1,
        "previous": None,
        "job": job,
        "organization": party["organization"],
        "rank": party["rank"],
        "outcome": "completed",
        "code": None,
        "stage": "sealed",
        "engine": {
            "id": job["engine"],
            "protocol": "additive sharing",
            "adversary_model": "semi-honest",
            "transport": documents.TRANSPORT,
            "software": {},
        },
        "gate": {"tier": 1, "min_group": 10, "rule": "fixed blocks"},
        "datasets": [{"dataset": party["dataset"], "commitment": party["dataset_commitment"]}],
        "part": {
            "digest": hashlib.sha256(ciphertext).hexdigest(),
            "size_bytes": len(ciphertext),
            "suite": sealing.SUITE,
        },
        "learned": [],
        "started": NOW,
        "finished": NOW + timedelta(seconds=5),
    }


def serve(machine, ref, answer):
    machine.exchange.answers["GET", f"/api/v1/computations/{ref}/result/"] = (200, answer)


def test_a_result_is_opened_here_and_readable_by_its_owner_only(machine, released, tmp_path):
    ref, answer = released
    serve(machine, ref, answer)

    machine.run("result", "open", ref, "--out", str(tmp_path / "out"), "--json")

    assert machine.code == 0, machine.err
    assert machine.json()["result"]["cells"] == [CELL]
    for name in ("result.csv", "result.json"):
        assert (tmp_path / "out" / name).stat().st_mode & 0o777 == 0o600
    text = (tmp_path / "out" / "result.csv").read_text(encoding="utf-8-sig")
    assert text.splitlines() == ["district,column,count,sum,mean,variance", "'=North,base,12,1.00,0.083333,0"]


def test_a_result_with_anything_changed_is_not_opened(machine, released, tmp_path):
    ref, answer = released

    def flip(text):
        raw = bytearray(base64.b64decode(text))
        raw[-1] ^= 1
        return base64.b64encode(bytes(raw)).decode()

    changes = {
        "a byte of a part": lambda a: a["parts"][0].update(sealed_part=flip(a["parts"][0]["sealed_part"])),
        "no base64": lambda a: a["parts"][0].update(sealed_part="*"),
        "a missing part": lambda a: a["parts"].pop(),
        "a part twice": lambda a: a["parts"].append(a["parts"][0]),
        "swapped parts": lambda a: a["parts"][0].update(rank=1) or a["parts"][1].update(rank=0),
        "a changed report": lambda a: a["parts"][0]["report"].update(units=0),
        "a changed job": lambda a: a["job"].update(deadline_seconds=21),
        "another's request": lambda a: a.update(request=machine.world.sign({**a["request"], "proof": []}, "helper")),
    }
    for name, change in changes.items():
        changed = copy.deepcopy(answer)
        change(changed)
        serve(machine, ref, changed)
        machine.run("result", "open", ref, "--out", str(tmp_path / "out"))
        assert machine.code == 1, name
        assert machine.err, name
    assert not (tmp_path / "out").exists()


def test_another_computation_in_its_place_is_noticed(machine, released, tmp_path):
    _, answer = released
    serve(machine, "01JD00000000000000000000R9", answer)
    machine.run("result", "open", "01JD00000000000000000000R9")
    assert machine.err.startswith("RESULT_DIFFERS")


def test_withdrawing(machine, contract):
    machine.exchange.answers["POST", "/api/v1/computations/R1/withdraw/"] = (200, {"state": "withdrawn"})
    assert machine.run("compute", "withdraw", "R1").code == 0
