"""Trust policies: whose keys a member believes, and when. Kept by the member, not fetched anew at every check.

`hengshu/trust-policy/v2` is served at `/.well-known/hengshu-policy.json`; a member compares it once, by a
second way, and keeps the file. A later policy replaces it only with the keys' own signatures: see
`compute.protocol.key_history`. Policies of version 1 are still read.

The log is cut into shards, so "when" is a position: the leaves of all shards counted on, first to last.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ledger.proofs import canonical, multibase, notes
from ledger.proofs import tlog_policy as policy_files
from ledger.proofs.errors import VerificationError
from ledger.proofs.tlog_policy import LogPolicy

TYPE = "hengshu/trust-policy/v2"
TYPE_1 = "hengshu/trust-policy/v1"
HANDOVER = 1000  # leaves after a rotation's own in which the old exchange key still counts: one batch of the sealer
DEVELOPMENT_CHAINS = frozenset({1337, 31337})

_MEMBERS_1 = {"type", "exchange_document_key", "log_origin", "log_key", "chain"}
_MEMBERS = {"type", "exchange_keys", "logs", "witnesses", "revoked", "chain"}
_CHAIN_MEMBERS = {"chain_id", "contract_address", "genesis_hash", "code_hash", "development", "validators"}
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_HASH_0X = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MAX_ITEMS = 10_000


@dataclass(frozen=True, slots=True)
class Window:
    """A key and where in the log it counts.

    Args:
        since: of an exchange key, the first position; of a log key, the smallest checkpoint it signs.
        until: of an exchange key, the first position where it counts no more; of a log key, the largest
            checkpoint it signs, which its successor signs too. None while it is in use.
    """

    key: str
    since: int = 0
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Frozen:
    """The end of a log that grows no more; `root` as 64 hex characters."""

    size: int
    root: str


@dataclass(frozen=True, slots=True)
class Log:
    """One shard of the log: its name, its keys in order, and its end."""

    origin: str
    keys: tuple[Window, ...]
    frozen: Frozen | None = None


@dataclass(frozen=True, slots=True)
class Revoked:
    """A key that was withdrawn, and the leaf that says so. Evidence logged before that leaf still counts."""

    key: str
    origin: str
    index: int


@dataclass(frozen=True, slots=True)
class Witnesses:
    """vkeys of the witnesses, and how many of them must have cosigned a checkpoint."""

    keys: tuple[str, ...] = ()
    quorum: int = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain and the contract in which the log's roots are anchored; None is what a policy does not say."""

    chain_id: int
    contract_address: str
    genesis_hash: str | None = None
    code_hash: str | None = None
    development: bool = False
    validators: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The chain as a policy writes it."""
        return {
            "chain_id": self.chain_id,
            "contract_address": self.contract_address,
            "genesis_hash": self.genesis_hash,
            "code_hash": self.code_hash,
            "development": self.development,
            "validators": list(self.validators),
        }


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a verifier takes as given.

    Args:
        exchange_keys: did:keys that sign jobs and receipt bundles, oldest first.
        logs: the shards, oldest first; all but the last are frozen.
        witnesses: who must have cosigned.
        revoked: keys of anybody that were withdrawn, each once.
        chain: None where the log is not anchored.
    """

    exchange_keys: tuple[Window, ...]
    logs: tuple[Log, ...]
    witnesses: Witnesses = Witnesses()
    revoked: tuple[Revoked, ...] = ()
    chain: Chain | None = None

    def __post_init__(self) -> None:
        for window in self.exchange_keys:
            multibase.public_key(window.key)
        _check_windows(self.exchange_keys)
        if not self.logs or len({log.origin for log in self.logs}) != len(self.logs):
            raise VerificationError("POLICY_INVALID", "a policy lists each log once, and at least one")
        if any(log.frozen is None for log in self.logs[:-1]):
            raise VerificationError("POLICY_INVALID", "every log but the last is frozen")
        for log in self.logs:
            _check_windows(log.keys)
            if any(notes.parse_vkey(window.key).name != log.origin for window in log.keys):
                raise VerificationError("POLICY_INVALID", "the log key is named otherwise than the log")
        if len({_folded(item.key) for item in self.revoked}) != len(self.revoked):
            raise VerificationError("POLICY_INVALID", "a key is revoked once")
        if not {item.origin for item in self.revoked} <= {log.origin for log in self.logs}:
            raise VerificationError("POLICY_INVALID", "a key is revoked in a log that the policy does not list")
        tlog_policy(self)

    # --- the newest of each: what signs now ---------------------------------------------------------------

    @property
    def exchange_document_key(self) -> str:
        """The exchange's newest key."""
        return self.exchange_keys[-1].key

    @property
    def log_origin(self) -> str:
        """The name of the newest log."""
        return self.logs[-1].origin

    @property
    def log_key(self) -> str:
        """The vkey of the newest log's newest key."""
        return self.logs[-1].keys[-1].key

    # --- what counted when --------------------------------------------------------------------------------

    def position(self, origin: str, index: int) -> int:
        """A leaf's place among the leaves of all shards.

        Raises:
            VerificationError: `ORIGIN_UNKNOWN`, or `INDEX_INVALID` behind the end of a frozen log.
        """
        before = 0
        for log in self.logs:
            if log.origin == origin:
                if index < 0 or (log.frozen is not None and index >= log.frozen.size):
                    raise VerificationError("INDEX_INVALID", "the log ends before this leaf")
                return before + index
            before += 0 if log.frozen is None else log.frozen.size
        raise VerificationError("ORIGIN_UNKNOWN", "the policy lists no log of this name")

    def exchange_keys_at(self, position: int) -> list[str]:
        """The exchange keys that count for what is logged at a position, newest first; two around a rotation."""
        return [
            window.key
            for window in reversed(self.exchange_keys)
            if window.since <= position and (window.until is None or position < window.until)
        ]

    def exchange_key_at(self, position: int) -> str | None:
        """The newest of them; None where the exchange had no key in force."""
        return next(iter(self.exchange_keys_at(position)), None)

    def log_keys_at(self, origin: str, size: int) -> list[str]:
        """The vkeys one of which signs a log's checkpoint of this size.

        None for a log that is not listed, and none beyond the end of a frozen one.
        """
        return [
            window.key
            for log in self.logs
            if log.origin == origin and (log.frozen is None or size <= log.frozen.size)
            for window in log.keys
            if window.since <= size and (window.until is None or size <= window.until)
        ]

    def is_end(self, origin: str, size: int, root: bytes) -> bool:
        """Whether a frozen log ended so: then the policy itself vouches for the root, whoever has signed it."""
        return any(log.origin == origin and log.frozen == Frozen(size, root.hex()) for log in self.logs)

    def revoked_index(self, key: str) -> int | None:
        """The position of the leaf that withdrew a key; None for a key that was not.

        What the key signed counts if the evidence of it was logged at a smaller position.
        """
        for item in self.revoked:
            if _folded(item.key) == _folded(key):
                return self.position(item.origin, item.index)
        return None

    def counts_at(self, key: str, position: int) -> bool:
        """Whether a key had not been withdrawn when something was logged at a position."""
        revoked = self.revoked_index(key)
        return revoked is None or position < revoked

    def tlog_policy(self) -> str:
        """The logs, witnesses and quorum as a C2SP tlog-policy file, for verifiers written elsewhere."""
        return policy_files.format_text(tlog_policy(self))

    def document(self) -> dict[str, Any]:
        """The policy as it is served and kept."""
        return {
            "type": TYPE,
            "exchange_keys": [_window(item) for item in self.exchange_keys],
            "logs": [
                {
                    "origin": log.origin,
                    "keys": [_window(item) for item in log.keys],
                    "frozen": None if log.frozen is None else {"size": log.frozen.size, "root": log.frozen.root},
                }
                for log in self.logs
            ],
            "witnesses": {"keys": list(self.witnesses.keys), "quorum": self.witnesses.quorum},
            "revoked": [{"key": item.key, "origin": item.origin, "index": item.index} for item in self.revoked],
            "chain": self.chain and self.chain.document(),
        }


def single(
    *, exchange_document_key: str, log_origin: str, log_key: str, chain: Chain | None = None, **more: Any
) -> TrustPolicy:
    """The policy of an exchange that has had one key and one log from the beginning."""
    return TrustPolicy(
        exchange_keys=(Window(exchange_document_key),),
        logs=(Log(log_origin, (Window(log_key),)),),
        chain=chain,
        **more,
    )


def exchange_keys(policy: TrustPolicy) -> list[str]:
    """Every exchange key of a policy, whenever it counted."""
    return [window.key for window in policy.exchange_keys]


def log_keys(policy: TrustPolicy, origin: str) -> list[str]:
    """Every key of one log, whenever it counted; none for a log that is not listed."""
    return [window.key for log in policy.logs if log.origin == origin for window in log.keys]


def tlog_policy(policy: TrustPolicy) -> LogPolicy:
    """The logs, witnesses and quorum as `ledger.proofs.tlog_policy` reads them.

    Raises:
        VerificationError: `POLICY_INVALID`, such as one key for two logs, or a quorum of more than there are.
    """
    return policy_files.threshold(
        logs=[window.key for log in policy.logs for window in log.keys],
        witnesses=policy.witnesses.keys,
        quorum=policy.witnesses.quorum,
    )


def parse(document: bytes | Mapping[str, Any]) -> TrustPolicy:
    """Read a trust policy of either version strictly.

    Raises:
        VerificationError: `POLICY_INVALID`, `KEY_INVALID`, or what strict JSON raises.
    """
    value = canonical.parse(document) if isinstance(document, bytes) else document
    if isinstance(value, Mapping) and value.get("type") == TYPE_1:
        return _parse_1(value)
    value = _members(value, _MEMBERS, f"not a document of type {TYPE}")
    if value["type"] != TYPE:
        raise VerificationError("POLICY_INVALID", f"not a document of type {TYPE}")
    witnesses = _members(value["witnesses"], {"keys", "quorum"}, "witnesses are keys and a quorum")
    return TrustPolicy(
        exchange_keys=_parse_windows(value["exchange_keys"]),
        logs=tuple(_parse_log(item) for item in _list(value["logs"])),
        witnesses=Witnesses(tuple(map(_text, _list(witnesses["keys"]))), _integer(witnesses["quorum"])),
        revoked=tuple(_parse_revoked(item) for item in _list(value["revoked"])),
        chain=_parse_chain(value["chain"]),
    )


def with_chain(policy: TrustPolicy, chain: Chain | None) -> TrustPolicy:
    """The same policy for another chain."""
    return replace(policy, chain=chain)


def _parse_1(value: Mapping[str, Any]) -> TrustPolicy:
    value = _members(value, _MEMBERS_1, f"not a document of type {TYPE_1}")
    chain = value["chain"]
    if chain is not None:
        chain = _members(chain, {"chain_id", "contract_address"}, "the chain is a chain id and a contract address")
        chain = Chain(
            chain_id=_integer(chain["chain_id"]),
            contract_address=_matching(_ADDRESS, chain["contract_address"]),
            development=chain["chain_id"] in DEVELOPMENT_CHAINS,
        )
    return single(
        exchange_document_key=_text(value["exchange_document_key"]),
        log_origin=_text(value["log_origin"]),
        log_key=_text(value["log_key"]),
        chain=chain,
    )


def _parse_log(value: Any) -> Log:
    value = _members(value, {"origin", "keys", "frozen"}, "a log is an origin, keys and its end")
    frozen = value["frozen"]
    if frozen is not None:
        frozen = _members(frozen, {"size", "root"}, "a log's end is a size and a root")
        frozen = Frozen(_integer(frozen["size"]), _matching(_HASH, frozen["root"]))
    return Log(_text(value["origin"]), _parse_windows(value["keys"]), frozen)


def _parse_windows(value: Any) -> tuple[Window, ...]:
    found = [_members(item, {"key", "from", "until"}, "a key has `from` and `until`") for item in _list(value)]
    return tuple(
        Window(
            _text(item["key"]),
            _integer(item["from"]),
            None if item["until"] is None else _integer(item["until"]),
        )
        for item in found
    )


def _parse_revoked(value: Any) -> Revoked:
    value = _members(value, {"key", "origin", "index"}, "a withdrawn key has an origin and an index")
    return Revoked(_text(value["key"]), _text(value["origin"]), _integer(value["index"]))


def _parse_chain(value: Any) -> Chain | None:
    if value is None:
        return None
    value = _members(value, _CHAIN_MEMBERS, "the chain lacks a member or has one that is unknown")
    if not isinstance(value["development"], bool):
        raise VerificationError("POLICY_INVALID", "`development` is true or false")
    return Chain(
        chain_id=_integer(value["chain_id"]),
        contract_address=_matching(_ADDRESS, value["contract_address"]),
        genesis_hash=None if value["genesis_hash"] is None else _matching(_HASH_0X, value["genesis_hash"]),
        code_hash=None if value["code_hash"] is None else _matching(_HASH_0X, value["code_hash"]),
        development=value["development"],
        validators=tuple(_matching(_ADDRESS, item) for item in _list(value["validators"])),
    )


def _check_windows(windows: Iterable[Window]) -> None:
    found = list(windows)
    if not found or len({window.key for window in found}) != len(found):
        raise VerificationError("POLICY_INVALID", "each key is listed once, and at least one")
    for window in found:
        if window.since < 0 or (window.until is not None and window.until < window.since):
            raise VerificationError("POLICY_INVALID", "a key's `until` is not before its `from`")
    for old, new in pairwise(found):
        if old.until is None or new.since < old.since:
            raise VerificationError("POLICY_INVALID", "keys are listed oldest first, and each but the last has an end")


def _window(window: Window) -> dict[str, Any]:
    return {"key": window.key, "from": window.since, "until": window.until}


def _folded(key: str) -> str:
    """Addresses are one key in capitals and without; every other text is itself."""
    return key.lower() if _ADDRESS.fullmatch(key) else key


def _members(value: Any, names: set[str], message: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or set(value) != names:
        raise VerificationError("POLICY_INVALID", message)
    return dict(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MAX_ITEMS:
        raise VerificationError("POLICY_INVALID", f"a list of at most {_MAX_ITEMS} was expected")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 10_000:
        raise VerificationError("POLICY_INVALID", "keys and origins are texts")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise VerificationError("POLICY_INVALID", "a whole number from 0 was expected")
    return value


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise VerificationError("POLICY_INVALID", "an address or a hash is not in its form")
    return value
