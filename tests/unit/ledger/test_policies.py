"""Trust policies: which key counts for what was logged when, and what is no policy."""

import copy
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.proofs import canonical, cosignatures, multibase, notes, policies, tlog_policy
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import Chain, Frozen, Log, Revoked, TrustPolicy, Window, Witnesses

FIRST, SECOND = "hengshu.example/ledger", "hengshu.example/ledger/2027"
ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def did() -> str:
    return multibase.did_key(key().public_key())


def vkey(origin: str) -> str:
    return notes.vkey(origin, key().public_key())


OLD, NEW, STOLEN = did(), did(), did()
LOG_A, LOG_B, LOG_C = vkey(FIRST), vkey(FIRST), vkey(SECOND)
WITNESS = cosignatures.vkey("w.example", key().public_key())


def policy(**changes: Any) -> TrustPolicy:
    values: dict[str, Any] = {
        "exchange_keys": (Window(OLD, 0, 1200), Window(NEW, 200)),
        "logs": (
            Log(FIRST, (Window(LOG_A, 0, 600), Window(LOG_B, 600)), Frozen(1000, "ab" * 32)),
            Log(SECOND, (Window(LOG_C),)),
        ),
        "witnesses": Witnesses((WITNESS,), 1),
        "revoked": (Revoked(STOLEN, FIRST, 300), Revoked(ADDRESS, SECOND, 5)),
        "chain": Chain(31337, ADDRESS, "0x" + "11" * 32, "0x" + "22" * 32, True, ("0x" + "33" * 20,)),
    }
    return TrustPolicy(**(values | changes))


def test_a_policy_is_written_and_read_back() -> None:
    made = policy()

    assert policies.parse(made.document()) == made
    assert policies.parse(canonical.encode(made.document())) == made


def test_a_policy_of_the_first_version_is_still_read() -> None:
    value = {
        "type": "hengshu/trust-policy/v1",
        "exchange_document_key": OLD,
        "log_origin": FIRST,
        "log_key": LOG_A,
        "chain": {"chain_id": 31337, "contract_address": ADDRESS},
    }
    read = policies.parse(value)

    assert read.exchange_document_key == OLD
    assert (read.log_origin, read.log_key) == (FIRST, LOG_A)
    assert read.chain == Chain(31337, ADDRESS, development=True)
    assert read.exchange_keys_at(10**9) == [OLD]
    assert policies.parse(read.document()) == read


@pytest.mark.parametrize(
    ("position", "keys"), [(0, [OLD]), (199, [OLD]), (200, [NEW, OLD]), (1199, [NEW, OLD]), (1200, [NEW])]
)
def test_exchange_keys_count_inside_their_windows(position: int, keys: list[str]) -> None:
    assert policy().exchange_keys_at(position) == keys
    assert policy().exchange_key_at(position) == keys[0]


@pytest.mark.parametrize(
    ("origin", "size", "keys"),
    [
        (FIRST, 599, [LOG_A]),
        (FIRST, 600, [LOG_A, LOG_B]),
        (FIRST, 601, [LOG_B]),
        (FIRST, 1000, [LOG_B]),
        (FIRST, 1001, []),
        (SECOND, 1, [LOG_C]),
        ("other.example/log", 1, []),
    ],
)
def test_log_keys_count_inside_their_windows_and_never_behind_a_freeze(origin: str, size: int, keys: list[str]) -> None:
    assert policy().log_keys_at(origin, size) == keys


def test_positions_run_on_over_the_shards() -> None:
    assert policy().position(FIRST, 999) == 999
    assert policy().position(SECOND, 0) == 1000
    with pytest.raises(VerificationError) as refusal:
        policy().position(FIRST, 1000)
    assert refusal.value.code == "INDEX_INVALID"
    with pytest.raises(VerificationError) as refusal:
        policy().position("other.example/log", 0)
    assert refusal.value.code == "ORIGIN_UNKNOWN"


def test_what_a_withdrawn_key_signed_counts_only_before_its_leaf() -> None:
    made = policy()

    assert made.revoked_index(STOLEN) == 300
    assert made.counts_at(STOLEN, 299)
    assert not made.counts_at(STOLEN, 300)
    assert made.revoked_index(NEW) is None
    assert made.counts_at(NEW, 10**9)


def test_a_chain_address_is_one_key_in_capitals_and_without() -> None:
    assert policy().revoked_index(ADDRESS.lower()) == 1005


def test_the_file_for_other_verifiers_names_logs_witnesses_and_quorum() -> None:
    read = tlog_policy.parse(policy().tlog_policy())

    assert [log.vkey for log in read.logs] == [LOG_A, LOG_B, LOG_C]
    assert [witness.vkey for witness in read.witnesses.values()] == [WITNESS]
    assert not read.is_quorum([])
    assert policies.tlog_policy(policy()) == read


@pytest.mark.parametrize(
    "change",
    [
        {"exchange_keys": ()},
        {"exchange_keys": (Window(OLD), Window(NEW, 5))},  # two without an end
        {"exchange_keys": (Window(OLD, 0, 5), Window(OLD, 5))},
        {"exchange_keys": (Window(OLD, 6, 5),)},
        {"logs": ()},
        {"logs": (Log(FIRST, (Window(LOG_A),)), Log(SECOND, (Window(LOG_C),)))},  # the first is not frozen
        {"logs": (Log(SECOND, (Window(LOG_A),)),), "revoked": ()},  # named otherwise
        {"revoked": (Revoked(STOLEN, "other.example/log", 1),)},
        {"revoked": (Revoked(ADDRESS, FIRST, 1), Revoked(ADDRESS.lower(), FIRST, 2))},
        {"witnesses": Witnesses((WITNESS,), 2)},
    ],
)
def test_what_contradicts_itself_is_no_policy(change: dict[str, Any]) -> None:
    with pytest.raises(VerificationError) as refusal:
        policy(**change)
    assert refusal.value.code == "POLICY_INVALID"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("type",), "hengshu/trust-policy/v3"),
        (("extra",), 1),
        (("exchange_keys",), {}),
        (("exchange_keys", 0, "from"), True),
        (("exchange_keys", 0, "from"), -1),
        (("logs", 0, "frozen", "root"), "AB" * 32),
        (("logs", 0, "origin"), 5),
        (("witnesses", "quorum"), 1.0),
        (("revoked", 0), {"key": STOLEN}),
        (("chain", "development"), 1),
        (("chain", "code_hash"), "22" * 32),
        (("chain", "validators"), ["0x12"]),
    ],
)
def test_a_policy_is_read_strictly(path: tuple[Any, ...], value: Any) -> None:
    document = copy.deepcopy(policy().document())
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    with pytest.raises(VerificationError) as refusal:
        policies.parse(document)
    assert refusal.value.code == "POLICY_INVALID"
