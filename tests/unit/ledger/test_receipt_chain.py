"""Witnesses, chain state, seals, grants and withdrawn keys in a receipt: what is demanded, what fails, what is open."""

from dataclasses import replace
from typing import Any

import pytest

from ledger.proofs import (
    canonical,
    chain,
    checkpoints,
    cosignatures,
    grants,
    layout,
    merkle,
    notes,
    policies,
    receipts,
    statements,
)
from ledger.proofs.policies import Frozen, Log, Revoked, TrustPolicy, Window
from ledger.proofs.receipts import Status
from tests.factories.receipts import BLOCK, EXCHANGE, FUND_A, FUND_B, NOW, ORIGIN, Purchase, witness_name

SEALED = {"witnesses": 3, "quorum": 2, "chain": "sealed"}


@pytest.fixture(scope="module")
def purchase():
    return Purchase(**SEALED)


@pytest.fixture
def document(purchase):
    return purchase.document()


def judge(purchase: Purchase, document: dict[str, Any] | None = None, *, policy: TrustPolicy | None = None):
    """The answers by question, and whether the bundle is accepted."""
    signed = purchase.sign(purchase.document() if document is None else document, EXCHANGE)
    checks = receipts.verify(canonical.encode(signed), policy=policy or purchase.policy)
    return {check.name: check for check in checks}, receipts.accepted(checks)


def code(purchase: Purchase, question: str, document: dict[str, Any] | None = None, **options: Any) -> str:
    """Why one question failed; the bundle must then be refused, and nothing else may have failed."""
    found, is_accepted = judge(purchase, document, **options)
    failed = {name for name, check in found.items() if check.status is Status.FAIL}
    assert is_accepted is (not failed)
    assert failed <= {question}
    return found[question].code if failed else ""


def test_with_witnesses_and_a_sealed_chain_every_question_passes_and_is_demanded(purchase):
    found, is_accepted = judge(purchase)

    assert is_accepted
    assert {check.status for check in found.values()} == {Status.PASS}
    assert all(check.required for check in found.values())
    assert f"As of block {BLOCK}, 0x" in found["grants"].detail
    assert f"截至区块 {BLOCK}" in found["grants"].detail_zh


# --- what a policy demands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["development", "plain"])
def test_without_validators_a_header_is_vouched_for_by_nobody_and_no_chain_is_demanded(kind):
    found, is_accepted = judge(Purchase(chain=kind))

    assert is_accepted
    assert found["chain"].status is found["grants"].status is Status.PASS
    assert found["header"].code == {"development": "DEVELOPMENT_CHAIN", "plain": "HEADER_NOT_VOUCHED"}[kind]
    assert not any(found[name].required for name in ("anchor", "chain", "header", "grants"))


def test_a_policy_with_validators_demands_the_proof_and_one_without_does_not():
    found, is_accepted = judge(Purchase(chain="sealed", proven=False))
    assert not is_accepted
    assert {found[name].code for name in ("chain", "header", "grants")} == {"NO_CHAIN_PROOF"}
    assert judge(Purchase(chain="development", proven=False))[1]


def test_a_policy_with_validators_demands_an_anchor(purchase, document):
    document["anchor"] = None
    found, is_accepted = judge(purchase, document)
    assert not is_accepted
    assert found["anchor"].code == found["chain"].code == "NO_ANCHOR"


def test_terms_without_a_chain_need_no_grants_even_on_a_sealed_chain():
    plain = Purchase(**SEALED, changes={"contract": lambda terms: terms.update(evidence={"chain": "none"})})
    found, is_accepted = judge(plain)
    assert is_accepted
    assert (found["grants"].code, found["grants"].required) == ("GRANTS_NOT_DEMANDED", False)


def test_a_missing_grant_proof_is_refused_only_where_it_is_demanded():
    for kind, wanted in (("sealed", False), ("development", True)):
        bought = Purchase(chain=kind)
        document = bought.document()
        document["anchor"]["evidence"]["storage"] = document["anchor"]["evidence"]["storage"][:1]
        found, is_accepted = judge(bought, document)
        assert (found["chain"].status, found["grants"].code) == (Status.PASS, "NO_GRANT_PROOF")
        assert is_accepted is wanted


# --- witnesses ---------------------------------------------------------------------------------------------------


def _with_note(purchase: Purchase, document: dict[str, Any], lines: list[str]) -> dict[str, Any]:
    note = checkpoints.sign(checkpoints.parse(document["checkpoint"]), key=purchase.keys["log"].document)
    return {**document, "checkpoint": notes.add_signatures(note, lines)}


def _cosigned(purchase: Purchase, document: dict[str, Any], number: int, *, text: str = "") -> str:
    name = witness_name(number)
    shown = text or checkpoints.format_text(checkpoints.parse(document["checkpoint"]))
    return cosignatures.sign(shown, name=name, key=purchase.keys[name].document, at=NOW)


@pytest.mark.parametrize(
    ("who", "wanted"), [((0, 1), ""), ((0, 2), ""), ((1,), "QUORUM_MISSING"), ((), "QUORUM_MISSING")]
)
def test_a_quorum_of_the_policys_witnesses_is_needed(purchase, document, who, wanted):
    lines = [_cosigned(purchase, document, number) for number in who]
    assert code(purchase, "cosignatures", _with_note(purchase, document, lines)) == wanted


def test_one_witness_twice_is_one_witness(purchase, document):
    line = _cosigned(purchase, document, 0)
    changed = document | {"checkpoint": f"{_with_note(purchase, document, [line])['checkpoint']}{line}\n"}
    assert code(purchase, "cosignatures", changed) == "QUORUM_MISSING"


def test_witnesses_of_somebody_else_do_not_count(purchase, document):
    stranger = Purchase(**SEALED)
    lines = [_cosigned(purchase, document, 0), _cosigned(stranger, document, 1), _cosigned(stranger, document, 2)]
    assert code(purchase, "cosignatures", _with_note(purchase, document, lines)) == "QUORUM_MISSING"


def test_a_cosignature_under_another_checkpoint_is_a_failure_whatever_the_count(purchase, document):
    head = checkpoints.parse(document["checkpoint"])
    other = checkpoints.format_text(replace(head, size=head.size + 1))
    lines = [_cosigned(purchase, document, 0), _cosigned(purchase, document, 1)]
    lines.append(_cosigned(purchase, document, 2, text=other))
    assert code(purchase, "cosignatures", _with_note(purchase, document, lines)) == "SIGNATURE_INVALID"


# --- chain, header, grants ---------------------------------------------------------------------------------------


def _size(purchase: Purchase) -> int:
    return checkpoints.parse(purchase.document()["checkpoint"]).size


@pytest.mark.parametrize(("value", "wanted"), [(0, "CHAIN_ROOT_ABSENT"), (1, "CHAIN_ROOT_DIFFERS")])
def test_another_root_on_the_chain_is_found_out(purchase, value, wanted):
    slot = layout.root_in(1, _size(purchase))
    assert code(Purchase(**SEALED, state={slot: value}), "chain") == wanted


@pytest.mark.parametrize(
    ("member", "value", "wanted"),
    [("revoked_at", BLOCK - 1, "GRANT_REVOKED"), ("grantor", 0, "GRANT_ABSENT"), ("grantor", 1, "GRANT_ABSENT"),
     ("terms_digest", 1, "GRANT_ABSENT"), ("voided", 1, "STATEMENT_VOIDED")],
)  # fmt: skip
def test_a_grant_that_is_not_in_force_is_found_out(purchase, member, value, wanted):
    """The second provider's: one standing grant does not hide another's revocation."""
    address = purchase.keys[FUND_B].chain_address
    terms = statements.digest(purchase.document()["documents"]["contract"])
    grant_id = grants.grant_id(grantor=address, terms_digest=terms)
    slot = layout.voided(address, terms) if member == "voided" else layout.grant(grant_id, member)
    assert code(Purchase(**SEALED, keys=purchase.keys, state={slot: value}), "grants") == wanted


def test_other_code_at_the_contracts_address_is_found_out(purchase):
    policy = policies.with_chain(purchase.policy, replace(purchase.trusted_chain, code_hash="0x" + "00" * 32))
    found, is_accepted = judge(purchase, policy=policy)
    assert not is_accepted
    assert found["chain"].code == found["grants"].code == "CODE_DIFFERS"
    assert found["header"].status is Status.PASS


def test_a_block_sealed_by_others_is_found_out(purchase):
    stranger = Purchase(**SEALED)
    policy = policies.with_chain(purchase.policy, stranger.trusted_chain)
    assert code(purchase, "header", policy=policy) == "VALIDATORS_DIFFER"


def test_a_header_without_seals_is_not_enough_where_validators_are_named(purchase):
    bare = Purchase(**{**SEALED, "chain": "plain"}, keys=purchase.keys)
    assert code(bare, "header", policy=purchase.policy) == "SEALS_MISSING"


def test_a_proof_of_an_earlier_block_than_the_anchors_proves_nothing(purchase, document):
    document["anchor"]["block_number"] = BLOCK + 1
    found, is_accepted = judge(purchase, document)
    assert not is_accepted
    assert found["chain"].code == found["grants"].code == "BLOCK_DIFFERS"


def test_a_proof_of_a_later_block_is_taken_and_of_another_block_of_the_same_number_not(purchase, document):
    document["anchor"].update(block_number=BLOCK - 1, block_hash="0x" + "00" * 32)
    assert judge(purchase, document)[1]
    document["anchor"].update(block_number=BLOCK)
    assert judge(purchase, document)[0]["chain"].code == "BLOCK_DIFFERS"


def _flip(text: str) -> str:
    place = len(text) // 2
    return f"{text[:place]}{'1' if text[place] == '0' else '0'}{text[place + 1 :]}"


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(header=_flip(one["header"])),
        lambda one: one["account_proof"].__setitem__(0, _flip(one["account_proof"][0])),
        lambda one: one["account_proof"].pop(),
        lambda one: one["storage"][0]["proof"].pop(),
        lambda one: one["storage"][0].update(value="0x1"),
        lambda one: one["storage"][1].update(slot=one["storage"][0]["slot"]),
        lambda one: one.update(extra=1),
        lambda one: one.pop("storage"),
        lambda one: one.update(header=7),
    ],
)  # fmt: skip
def test_a_changed_proof_fails_even_under_the_exchanges_signature(purchase, document, change):
    change(document["anchor"]["evidence"])
    found, is_accepted = judge(purchase, document)
    assert not is_accepted
    assert found["chain"].status is Status.FAIL


# --- keys --------------------------------------------------------------------------------------------------------


def _position_of(document: dict[str, Any], kind: str) -> int:
    return next(one["index"] for one in document["entries"] if f'"kind":"{kind}"' in one["leaf"])


def test_a_partys_key_that_was_withdrawn_before_the_run_was_authorized_fails(purchase, document):
    key = purchase.keys[FUND_A].document_key
    at = _position_of(document, "computation.authorized")
    for index, wanted in ((0, "KEY_REVOKED"), (at, "KEY_REVOKED"), (at + 1, "KEY_REVOKED"), (at + 2, "")):
        policy = replace(purchase.policy, revoked=(Revoked(key, ORIGIN, index),))
        assert code(purchase, "keys", document, policy=policy) == wanted, index


@pytest.mark.parametrize(
    ("whose", "kind"),
    [(lambda one: one.keys[FUND_B].chain_address, "computation.authorized"),
     (lambda one: one.keys["urn:hengshu:org:01JD00000000000000000000D1"].sealing_key, "computation.authorized"),
     (lambda one: one.log_key, None), (lambda one: one.keys[EXCHANGE].document_key, None)],
    ids=["chain key", "sealing key", "log key", "exchange key"],
)  # fmt: skip
def test_every_kind_of_key_counts_only_before_it_was_withdrawn(purchase, document, whose, kind):
    size = _size(purchase)
    last = size - 1 if kind is None else _position_of(document, kind)
    for index, wanted in ((last, "KEY_REVOKED"), (last + 1, "")):
        policy = replace(purchase.policy, revoked=(Revoked(whose(purchase), ORIGIN, index),))
        assert code(purchase, "keys", document, policy=policy) == wanted, index


def test_an_exchange_key_counts_in_its_window_only(purchase, document):
    key, later = purchase.keys[EXCHANGE].document_key, Purchase().keys[EXCHANGE].document_key
    at, size = _position_of(document, "computation.authorized"), _size(purchase)
    for since, until, wanted in ((0, size, ""), (at, size, ""), (at + 1, size, "KEY_NOT_IN_FORCE"),
                                 (0, size - 1, "KEY_NOT_IN_FORCE"), (0, at, "KEY_NOT_IN_FORCE")):  # fmt: skip
        policy = replace(purchase.policy, exchange_keys=(Window(key, since, until), Window(later, until)))
        assert code(purchase, "keys", document, policy=policy) == wanted, (since, until)


def test_a_log_key_counts_in_its_window_only(purchase, document):
    size, later = _size(purchase), Purchase().log_key
    for since, until, wanted in ((0, size, ""), (size, size, ""), (0, size - 1, "KEY_NOT_IN_FORCE"),
                                 (size + 1, size + 2, "KEY_NOT_IN_FORCE")):  # fmt: skip
        log = Log(ORIGIN, (Window(purchase.log_key, since, until), Window(later, max(since, until))))
        assert code(purchase, "keys", document, policy=replace(purchase.policy, logs=(log,))) == wanted, (since, until)


# --- two shards --------------------------------------------------------------------------------------------------

NEXT = "hengshu.example/ledger/2027"


class TwoShards:
    """A purchase whose charge fell into the next shard, after the first was frozen."""

    def __init__(self) -> None:
        self.purchase = Purchase(**SEALED)
        self.purchase.changes["bundle"] = self._split
        self.document = self.purchase.document()

    @property
    def policy(self) -> TrustPolicy:
        first = checkpoints.parse(self.document["entries"][0]["checkpoint"])
        frozen = Frozen(first.size, first.root.hex())
        log = Log(ORIGIN, (Window(self.purchase.log_key, 0, first.size),), frozen)
        key = notes.vkey(NEXT, self.purchase.keys["next"].document.public_key())
        return replace(self.purchase.policy, logs=(log, Log(NEXT, (Window(key),))))

    def _split(self, document: dict[str, Any]) -> None:
        purchase = self.purchase
        purchase.keys["next"] = Purchase().keys["log"]
        charged = document["entries"][-1]
        hashes = [merkle.leaf_hash(charged["leaf"].encode()), merkle.leaf_hash(b"more")]
        charged.update(index=0, path=[step.hex() for step in merkle.inclusion_path(0, hashes)])
        for entry in document["entries"][:-1]:
            entry["checkpoint"] = document["checkpoint"]
        first = checkpoints.parse(document["checkpoint"])
        head = checkpoints.Checkpoint(NEXT, 2, merkle.root(hashes))
        text = checkpoints.format_text(head)
        lines = [_cosigned(purchase, document, number, text=text) for number in range(3)]
        document["checkpoint"] = notes.add_signatures(checkpoints.sign(head, key=purchase.keys["next"].document), lines)
        terms = statements.digest(document["documents"]["contract"])
        slots = purchase.slots(first, terms) | {layout.root_in(2, 2): int.from_bytes(head.root, "big")}
        evidence = purchase.chain_evidence(slots)
        block = chain.header(bytes.fromhex(evidence["header"][2:]))
        document["anchor"].update(size=2, root=head.root.hex(), block_hash=block.hash, evidence=evidence)


def test_entries_in_two_shards_are_each_proven_under_their_own_checkpoint():
    split = TwoShards()
    found, is_accepted = judge(split.purchase, split.document, policy=split.policy)
    assert is_accepted, found
    assert {check.status for check in found.values()} == {Status.PASS}


def test_each_shards_checkpoint_needs_its_signatures_its_witnesses_and_its_root_on_the_chain():
    split = TwoShards()
    whole = split.document["entries"][0]["checkpoint"]
    bare = checkpoints.sign(checkpoints.parse(whole), key=split.purchase.keys["log"].document)
    for entry in split.document["entries"][:-1]:
        entry["checkpoint"] = bare
    assert code(split.purchase, "cosignatures", split.document, policy=split.policy) == "QUORUM_MISSING"

    split = TwoShards()
    del split.document["anchor"]["evidence"]["storage"][0]
    found, is_accepted = judge(split.purchase, split.document, policy=split.policy)
    assert (is_accepted, found["chain"].code) == (False, "NO_CHAIN_PROOF")


def test_a_frozen_shard_ends_where_the_policy_says():
    split = TwoShards()
    first, second = split.policy.logs
    policy = replace(split.policy, logs=(replace(first, frozen=Frozen(first.frozen.size, "00" * 32)), second))
    assert code(split.purchase, "checkpoint", split.document, policy=policy) == "LOG_FROZEN"


def test_a_log_that_ended_because_its_key_was_stolen_still_proves_what_stands_in_it():
    split = TwoShards()
    first, second = split.policy.logs
    withdrawn = (Revoked(split.purchase.log_key, ORIGIN, 0),)
    policy = replace(split.policy, revoked=withdrawn)
    assert code(split.purchase, "keys", split.document, policy=policy) == ""
    later = replace(first, keys=(Window(split.purchase.log_key),), frozen=Frozen(first.frozen.size + 1, "ab" * 32))
    policy = replace(split.policy, revoked=withdrawn, logs=(later, second))
    assert code(split.purchase, "keys", split.document, policy=policy) == "KEY_REVOKED"


def test_a_shard_that_the_policy_does_not_list_is_not_believed():
    split = TwoShards()
    found, is_accepted = judge(split.purchase, split.document, policy=split.purchase.policy)
    assert not is_accepted
    assert found["checkpoint"].code == "ORIGIN_UNKNOWN"


def test_a_key_withdrawn_in_the_first_shard_does_not_count_in_the_second():
    split = TwoShards()
    at = split.policy.logs[0].frozen.size - 1
    policy = replace(split.policy, revoked=(Revoked(split.purchase.keys[EXCHANGE].document_key, ORIGIN, at),))
    assert code(split.purchase, "keys", split.document, policy=policy) == "KEY_REVOKED"
