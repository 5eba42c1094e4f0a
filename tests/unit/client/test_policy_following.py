"""`hengshu policy fetch` after the exchange's keys have changed: followed where proven, refused where not."""

import json

import pytest

from exchange.members.actions import exchange_rotation
from ledger import actions as ledger
from ledger.actions import key_histories
from ledger.proofs import policies
from tests.factories import members
from tests.factories.ledger import exchange_key_files, record

pytestmark = pytest.mark.django_db

POLICY, HISTORY = "/.well-known/hengshu-policy.json", "/.well-known/hengshu-key-history.json"


@pytest.fixture(autouse=True)
def pinned(settings, tmp_path, machine):
    exchange_key_files(settings, tmp_path)
    members.exchange()
    record(3)
    ledger.seal()
    machine.as_member("bank")
    serve(machine)
    machine.run("policy", "fetch")
    assert machine.code == 0, machine.err


def serve(machine, *, history=None):
    machine.exchange.answers["GET", POLICY] = (200, ledger.trust_policy().document())
    machine.exchange.answers["GET", HISTORY] = (200, history or key_histories.history())


def kept(machine):
    return policies.parse((machine.home / "policy.json").read_bytes())


def test_a_proven_change_is_taken_without_asking(machine):
    key = exchange_rotation.rotate_exchange_key(new=exchange_rotation.make_next_key())
    serve(machine)

    machine.run("policy", "fetch")

    assert machine.code == 0, machine.err
    assert kept(machine).exchange_document_key == key
    assert len(kept(machine).exchange_keys) == 2


def test_a_change_without_its_proof_is_refused_and_the_pinned_policy_stays(machine):
    before = kept(machine)
    exchange_rotation.rotate_exchange_key(new=exchange_rotation.make_next_key())
    serve(machine, history={"type": "hengshu/key-history/v1", "entries": []})

    machine.run("policy", "fetch")

    assert (machine.code, machine.err.split(":")[0]) == (1, "POLICY_CHANGED")
    assert kept(machine) == before


def test_without_a_history_a_change_is_refused(machine):
    exchange_rotation.rotate_exchange_key(new=exchange_rotation.make_next_key())
    serve(machine)
    machine.exchange.answers["GET", HISTORY] = (404, {"code": "NOT_FOUND", "detail": "no", "status": 404})

    machine.run("policy", "fetch")

    assert machine.err.split(":")[0] == "POLICY_CHANGED"


def test_people_may_still_replace_it(machine):
    serve(machine, history={"type": "hengshu/key-history/v1", "entries": []})
    exchange_rotation.rotate_exchange_key(new=exchange_rotation.make_next_key())
    machine.exchange.answers["GET", POLICY] = (200, ledger.trust_policy().document())

    machine.run("policy", "fetch", "--replace")

    assert machine.code == 0
    assert json.loads((machine.home / "policy.json").read_text())["type"] == policies.TYPE
