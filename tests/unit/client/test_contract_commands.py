"""Signing, granting, revoking: everything that is signed is checked first, on the member's own machine."""

import json

from compute.protocol import documents
from compute.protocol.shapes import parse_time
from contracts import pricing
from ledger.proofs import grants, statements, typed_data

CHAIN = {"chain_id": 31337, "contract_address": "0x" + "5A" * 20}
COMMITMENTS = {"fund-a": "a" * 64, "fund-b": "b" * 64}


def serve(machine, document, *, ref="C1", **more):
    machine.exchange.answers["GET", f"/api/v1/contracts/{ref}/"] = (200, {"ref": ref, "terms": document, **more})


def test_a_provider_signs_what_the_exchange_shows(machine):
    document = machine.world.terms(COMMITMENTS)
    machine.as_member("fund-a")
    machine.pin_policy()
    serve(machine, document)
    machine.exchange.answers["POST", "/api/v1/contracts/C1/signatures/"] = (201, {"state": "signing"})

    machine.run("contract", "sign", "C1", "--yes")

    assert machine.code == 0, machine.err
    signed = machine.exchange.posted("/api/v1/contracts/C1/signatures/")[0].body["document"]
    statements.verify(signed, signers=[machine.world.keys["fund-a"].document_key])
    assert statements.digest(signed) == statements.digest(document)
    assert (machine.home / "contracts" / "C1.json").stat().st_mode & 0o777 == 0o600


def test_nothing_is_signed_without_a_yes(machine):
    machine.as_member("fund-a")
    machine.pin_policy()
    serve(machine, machine.world.terms(COMMITMENTS))
    machine.run("contract", "sign", "C1")
    assert (machine.code, machine.err.split(":")[0]) == (1, "NOT_CONFIRMED")
    assert not machine.exchange.posted("/api/v1/contracts/C1/signatures/")


def test_terms_with_a_swapped_key_or_exchange_are_not_signed(machine):
    machine.as_member("bank")
    machine.pin_policy()
    document = machine.world.terms(COMMITMENTS)
    other = machine.world.keys["helper"]
    for change, code in [
        (lambda t: t["parties"][-1].update(sealing_key=other.sealing_key), "PARTY_KEYS_DIFFER"),
        (lambda t: t["parties"][-1].update(document_key=other.document_key), "NOT_A_PARTY"),
        (lambda t: t["exchange"].update(document_key=other.document_key), "EXCHANGE_KEY_DIFFERS"),
        (lambda t: t.update(surprise=1), "DOCUMENT_INVALID"),
    ]:
        changed = _copy(document)
        change(changed)
        serve(machine, changed)
        machine.run("contract", "sign", "C1", "--yes")
        assert (machine.code, machine.err.split(":")[0]) == (1, code)
    assert not machine.exchange.posted("/api/v1/contracts/C1/signatures/")


def test_a_grant_is_for_the_pinned_chain_and_the_signed_terms(machine):
    contract = machine.world.contract(COMMITMENTS)
    machine.as_member("fund-a")
    machine.pin_policy(chain=CHAIN)
    serve(machine, contract)
    machine.exchange.answers["POST", "/api/v1/contracts/C1/grants/"] = (202, {"state": "pending"})

    machine.run("contract", "grant", "C1", "--yes", "--json")

    sent = machine.exchange.posted("/api/v1/contracts/C1/grants/")[0].body
    assert machine.code == 0, machine.err
    assert (sent["chain_id"], sent["cap"], sent["terms_digest"]) == (31337, 20, statements.digest(contract))
    assert sent["not_after"] == int(parse_time(contract["term"]["effective_to"]).timestamp())
    grants.verify_grant(sent, grantor=machine.world.keys["fund-a"].chain_address)


def test_no_grant_before_the_own_signature_or_without_a_chain(machine):
    machine.as_member("fund-a")
    machine.pin_policy(chain=CHAIN)
    serve(machine, machine.world.terms(COMMITMENTS))
    assert machine.run("contract", "grant", "C1", "--yes").err.startswith("SIGNATURE_MISSING")
    machine.pin_policy()
    serve(machine, machine.world.contract(COMMITMENTS))
    assert machine.run("contract", "grant", "C1", "--yes").err.startswith("CHAIN_NOT_IN_POLICY")


def test_without_a_grant_only_the_document_is_signed(machine):
    machine.as_member("fund-a")
    machine.pin_policy(chain=CHAIN)
    serve(machine, machine.world.contract(COMMITMENTS), grants=[])
    machine.exchange.answers["POST", "/api/v1/contracts/C1/revocations/"] = (201, {"state": "revoked"})
    machine.run("contract", "revoke", "C1", "--yes")
    assert set(machine.exchange.posted("/api/v1/contracts/C1/revocations/")[0].body) == {"document"}


def test_a_revocation_is_signed_for_nodes_and_for_the_chain(machine):
    contract = machine.world.contract(COMMITMENTS)
    machine.as_member("fund-a")
    machine.pin_policy(chain=CHAIN)
    serve(machine, contract, grants=[{"organization": machine.world.orgs["fund-a"], "state": "active"}])
    machine.exchange.answers["POST", "/api/v1/contracts/C1/revocations/"] = (201, {"state": "revoked"})

    machine.run("contract", "revoke", "C1", "--reason", "测试", "--yes")

    body = machine.exchange.posted("/api/v1/contracts/C1/revocations/")[0].body
    keys = machine.world.keys["fund-a"]
    documents.check_revocation(body["document"])
    statements.verify(body["document"], signers=[keys.document_key])
    grant_id = grants.grant_id(grantor=keys.chain_address, terms_digest=statements.digest(contract))
    typed_data.verify(grants.revoke_digest(**CHAIN, grant=grant_id), body["chain_signature"], signer=keys.chain_address)


def test_a_proposal_carries_the_choices(machine, tmp_path):
    machine.as_member("bank")
    machine.exchange.answers["POST", "/api/v1/contracts/"] = (201, {"ref": "C9", "number": "DTC-9"})
    (tmp_path / "terms.json").write_text('{"purpose": {"code": "credit_risk_statistics"}, "quota": {"total": 5}}')
    machine.run(
        "contract", "propose", "--product", "P1", "--product", "P2", "--operation", "joint_statistics",
        "--terms", str(tmp_path / "terms.json"), "--set", "quota.total=7", "--set", "approval=per_run",
    )  # fmt: skip
    assert machine.exchange.posted("/api/v1/contracts/")[0].body == {
        "products": ["P1", "P2"],
        "operation": "joint_statistics",
        "purpose": {"code": "credit_risk_statistics"},
        "quota": {"total": 7},
        "approval": "per_run",
    }
    assert "hengshu contract sign C9" in machine.out
    for pair in ("quota", "=7", "quota..total=1", "operation.name=1"):
        words = ("contract", "propose", "--product", "P1", "--operation", "joint_statistics", "--set", pair)
        assert machine.run(*words).err.startswith("CHOICE_INVALID")


def test_a_statement_without_runs_agrees_and_a_changed_one_does_not(machine):
    contract = machine.world.contract(COMMITMENTS)
    machine.as_member("bank")
    machine.pin_policy()
    serve(machine, contract)
    stated = pricing.statement(contract, period="all", records=[])
    place = ("GET", "/api/v1/contracts/C1/statement/")
    machine.exchange.answers[place] = (200, stated)
    assert machine.run("contract", "statement", "C1").code == 0
    assert "PASS" in machine.out

    machine.exchange.answers[place] = (200, {**stated, "totals": {**stated["totals"], "amount_fen": 1}})
    machine.run("contract", "statement", "C1", "--json")
    assert (machine.code, machine.json()["agrees"]) == (1, False)


def test_a_counted_run_without_a_receipt_is_said_so(machine):
    contract = machine.world.contract(COMMITMENTS)
    machine.as_member("bank")
    machine.pin_policy()
    serve(machine, contract)
    run = pricing.Record("urn:hengshu:computation:01JD00000000000000000000R1", 1, ("a" * 64,), "2026-11-21T05:30:00Z")
    stated = pricing.statement(contract, period="all", records=[run])
    machine.exchange.answers["GET", "/api/v1/contracts/C1/statement/"] = (200, stated)
    machine.run("contract", "statement", "C1", "--json")
    assert machine.code == 1
    assert machine.json()["findings"] == [f"{run.subject}: no receipt to be had"]


def test_showing_a_contract_names_parties_and_signers(machine):
    machine.as_member("bank")
    serve(machine, machine.world.contract(COMMITMENTS), state="effective")
    machine.run("--lang", "en", "contract", "show", "C1")
    assert "fund-a (provider)" in machine.out
    assert "500.00" in machine.out


def test_the_signed_terms_are_written_to_a_file_for_the_node(machine, tmp_path):
    machine.as_member("bank")
    document = machine.world.contract(COMMITMENTS)
    serve(machine, document, state="effective")

    machine.run("contract", "show", "C1", "--out", str(tmp_path / "contract.json"))

    assert json.loads((tmp_path / "contract.json").read_text()) == document


def _copy(document):
    import copy

    return copy.deepcopy(document)
