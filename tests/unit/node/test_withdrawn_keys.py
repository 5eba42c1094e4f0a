"""A key that was withdrawn: what the node believes of it, and that nothing more happens under it."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compute.node import admission, journal, withdrawn_keys
from compute.protocol import key_documents
from compute.protocol.codes import Refused
from tests.factories.node import NOW, Provider
from tests.unit.node.cases import case_of, genuine


def revocation(fund: Provider, of: str, *purposes: str, by: Any) -> dict[str, Any]:
    keys = fund.world.keys[of]
    texts = {"document": keys.document_key, "chain": keys.chain_address, "sealing": keys.sealing_key}
    return key_documents.revoke(
        organization=fund.world.orgs[of],
        keys=[(purpose, texts[purpose]) for purpose in purposes],
        reason="compromised",
        by=by,
        created=NOW,
    )


def learn(fund: Provider, document: Any) -> bool:
    return withdrawn_keys.learn(document, config=fund.config, store=fund.store)


def refusal(fund: Provider) -> str:
    with pytest.raises(Refused) as refused:
        admission.admit(case_of(fund, genuine(fund)))
    return refused.value.code


@pytest.mark.parametrize(
    ("of", "purpose"), [("bank", "document"), ("bank", "sealing"), ("fund-b", "chain"), ("fund-a", "document")]
)
def test_nothing_runs_under_a_contract_that_names_a_withdrawn_key(fund: Provider, of: str, purpose: str) -> None:
    bundle = genuine(fund)
    assert learn(fund, revocation(fund, of, purpose, by=fund.world.keys[of].document))

    with pytest.raises(Refused) as refused:
        admission.admit(case_of(fund, bundle))

    assert refused.value.code == "KEY_REVOKED"
    assert fund.store.meter(fund.contract["id"])["reserved"] == 0


def test_a_request_under_it_gets_a_signed_no(fund: Provider) -> None:
    learn(fund, revocation(fund, "bank", "document", by=fund.world.keys["bank"].document))

    decision = fund.consented(fund.world.request(fund.contract))[0]

    assert (decision["decision"], decision["reason"]) == ("refused", "KEY_REVOKED")


def test_the_exchange_and_the_chain_key_may_withdraw_too(fund: Provider) -> None:
    assert learn(fund, revocation(fund, "bank", "document", "sealing", by=fund.world.exchange.document))
    assert learn(fund, revocation(fund, "fund-b", "document", by=fund.world.keys["fund-b"].chain))


def test_the_word_of_a_stranger_stops_nothing(fund: Provider) -> None:
    for by in (Ed25519PrivateKey.generate(), fund.world.keys["fund-b"].document):
        assert not learn(fund, revocation(fund, "bank", "document", by=by))
    forged = revocation(fund, "bank", "document", by=fund.world.exchange.document)
    assert not learn(fund, forged | {"reason": "lost"})
    assert not learn(fund, "anything")

    admission.admit(case_of(fund, genuine(fund)))


def test_a_party_withdraws_its_own_keys_and_nobody_elses(fund: Provider) -> None:
    """Withdrawn is for good: a party that could name another's key would shut it out for ever."""
    bank, other = fund.world.keys["bank"], fund.world.keys["fund-b"]
    for keys, is_news in (
        ([("document", bank.document_key)], False),
        ([("sealing", bank.sealing_key), ("chain", other.chain_address)], True),
    ):
        document = key_documents.revoke(
            organization=fund.world.orgs["fund-b"], keys=keys, reason="compromised", by=other.document, created=NOW
        )
        assert learn(fund, document) is is_news
    assert learn(fund, revocation(fund, "fund-b", "document", "chain", "sealing", by=other.document))

    assert not withdrawn_keys.is_any(fund.store, [bank.document_key, bank.sealing_key])


def test_a_withdrawal_is_kept_and_journalled_once(fund: Provider) -> None:
    document = revocation(fund, "bank", "document", by=fund.world.keys["bank"].document)

    assert learn(fund, document)
    assert not learn(fund, document)

    events = [line["event"] for line in journal.read(fund.store.connection(), limit=100)]
    assert events.count("key.revoked") == 1
    assert withdrawn_keys.is_any(fund.store, [fund.world.keys["bank"].document_key])
    assert not withdrawn_keys.is_any(fund.store, [fund.world.keys["fund-b"].document_key])


def test_an_address_counts_in_capitals_and_without(fund: Provider) -> None:
    learn(fund, revocation(fund, "fund-b", "chain", by=fund.world.exchange.document))

    assert withdrawn_keys.is_any(fund.store, [fund.world.keys["fund-b"].chain_address.lower()])
