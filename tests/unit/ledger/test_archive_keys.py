"""An archive is held against the policy's keys as receipts are: withdrawn keys, ends of logs, numbers of shards."""

from dataclasses import replace

import pytest

from ledger import actions as ledger
from ledger import keys
from ledger.actions import archiving, shards
from ledger.archive import checks, layout, stores
from ledger.proofs import canonical, statements
from ledger.proofs.checks import Status
from ledger.proofs.policies import Frozen, Revoked
from tests.factories.ledger import EXCHANGE, exchange_key_files, record

pytestmark = pytest.mark.django_db
NEXT = "hengshu.example/ledger/2027"


@pytest.fixture(autouse=True)
def _own_keys(settings, tmp_path):
    exchange_key_files(settings, tmp_path)


@pytest.fixture
def exported(tmp_path):
    record(5)
    ledger.seal()
    return archiving.export(to=tmp_path / "archive").path


def failed(path, policy) -> set[str]:
    found = checks.verify(stores.open_store(path), policy=policy)
    return {check.name for check in found if check.status is Status.FAIL}


def test_what_a_withdrawn_log_key_signed_afterwards_is_refused(exported):
    policy = ledger.trust_policy()
    (log,) = policy.logs
    for index, wanted in ((4, {"checkpoints"}), (5, set())):
        withdrawn = replace(policy, revoked=(Revoked(log.keys[0].key, log.origin, index),))
        assert failed(exported, withdrawn) == wanted, index


def test_what_a_withdrawn_exchange_key_signed_afterwards_is_refused(exported):
    policy = ledger.trust_policy()
    for index, wanted in ((4, {"manifest"}), (5, set())):
        withdrawn = replace(policy, revoked=(Revoked(policy.exchange_document_key, policy.log_origin, index),))
        assert failed(exported, withdrawn) == wanted, index


def test_a_log_whose_key_was_stolen_is_whole_up_to_its_end_and_no_further(tmp_path):
    record(2)
    ledger.seal()
    shards.revoke_key(vkey=ledger.trust_policy().log_key, reason="compromised", issuer=EXCHANGE)
    shards.open_shard(origin=NEXT, new=shards.make_next_key(), issuer=EXCHANGE)
    policy = ledger.trust_policy()

    assert failed(archiving.export(to=tmp_path / "both").path, policy) == set()


def test_another_end_of_a_frozen_log_is_refused_where_it_is_the_archives_last_too(exported):
    policy = ledger.trust_policy()
    (log,) = policy.logs
    for size, root, is_right in ((5, None, True), (6, "ab" * 32, True), (5, "ab" * 32, False)):
        end = Frozen(size, root or keys_root(exported))
        assert (failed(exported, replace(policy, logs=(replace(log, frozen=end),))) == set()) is is_right, (size, root)


def test_a_log_counts_under_its_own_number_only(exported):
    """Another shard of the contract may hold another history under the name of this log."""
    for path in sorted(exported.glob("logs/1/**/*"), key=str):
        if path.is_file():
            moved = exported / str(path.relative_to(exported)).replace("logs/1/", "logs/2/")
            moved.parent.mkdir(parents=True, exist_ok=True)
            moved.write_bytes(path.read_bytes())
            path.unlink()
    value = canonical.parse((exported / layout.MANIFEST).read_bytes())
    value["logs"][0]["number"] = 2
    for one in value["files"]:
        one["path"] = one["path"].replace("logs/1/", "logs/2/")
    unsigned = {name: value[name] for name in ("type", "logs", "files")}
    signed = statements.sign(unsigned, key=keys.exchange_keys().document, created="2026-11-21T00:00:00Z")
    (exported / layout.MANIFEST).write_bytes(canonical.encode(signed))

    assert "manifest" in failed(exported, ledger.trust_policy())


def keys_root(path) -> str:
    return canonical.parse((path / layout.MANIFEST).read_bytes())["logs"][0]["root"]
