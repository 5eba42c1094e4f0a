"""Whether a changed trust policy follows from the pinned one: every step signed by the key before, and logged.

`hengshu/key-history/v1` is served at `/.well-known/hengshu-key-history.json`: the log entries, opened and with
their proofs, by which the exchange's and the log's keys changed hands, shards followed each other, and keys
were withdrawn. What it does not prove (another chain, other witnesses, a lost key) is for people to decide.

Pure. A thief of the old key could write such a history too; a pinned quorum of witnesses stops that one, and
nothing else that is offline can.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from compute.protocol import documents, key_documents
from compute.protocol.key_documents import Purpose
from exchange.kernel.errors import DomainError
from ledger.proofs import canonical, checkpoints, leaves, merkle, policies
from ledger.proofs.checkpoints import Checkpoint
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import HANDOVER, Frozen, TrustPolicy

TYPE = "hengshu/key-history/v1"
MAX_BYTES = 16 * 1024 * 1024

_MEMBERS = {"leaf", "payload", "salt", "index", "path", "checkpoint"}
_FROZEN, _LOG_ROTATED, _ROTATED = "log.frozen", "log.key_rotated", "key.rotated"
_REVOKED = ("key.revoked", "log.key_revoked")


@dataclass(frozen=True, slots=True)
class _Step:
    """One entry of the history, opened but not yet placed."""

    kind: str
    payload: Mapping[str, Any]
    entry: Mapping[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        found = self.payload.get("document")
        if not isinstance(found, dict):
            raise _refused("an entry of the history carries no document")
        return found


@dataclass(slots=True)
class _Known:
    """What is believed, growing step by step from the pinned policy."""

    exchange_keys: list[str]
    log_keys: dict[str, list[str]]
    log_since: dict[str, int] = field(default_factory=dict)
    frozen: dict[str, Frozen] = field(default_factory=dict)
    revoked: set[tuple[str, str, int]] = field(default_factory=set)


def check(history: bytes | Mapping[str, Any], *, pinned: TrustPolicy, offered: TrustPolicy) -> None:
    """Check that everything in which the offered policy differs from the pinned one is proven.

    Raises:
        VerificationError: `POLICY_NOT_PROVEN`, or what a proof or signature raises.
    """
    known = _Known(
        exchange_keys=policies.exchange_keys(pinned),
        log_keys={log.origin: [window.key for window in log.keys] for log in pinned.logs},
    )
    steps = _read(history)
    for step in steps:
        _take_keys(step, known)
    placed = [(step, *_place(step, known, pinned=pinned)) for step in steps]
    for step, checkpoint, index in placed:
        _take_place(step, checkpoint, index, known)
    _check_logs(known, pinned=pinned, offered=offered)
    _check_exchange_keys(placed, known, pinned=pinned, offered=offered)
    new = {(item.key, item.origin, item.index) for item in set(offered.revoked) - set(pinned.revoked)}
    if not set(pinned.revoked) <= set(offered.revoked) or not new <= known.revoked:
        raise _refused("a key is withdrawn, or no longer withdrawn, without its entry")
    if (offered.witnesses, offered.chain) != (pinned.witnesses, pinned.chain):
        raise _refused("witnesses or chain have changed, which no key can prove")


def keys_only(offered: TrustPolicy, *, pinned: TrustPolicy) -> TrustPolicy:
    """The offered policy with the pinned one's witnesses and chain, for who pins those elsewhere."""
    return replace(offered, witnesses=pinned.witnesses, chain=pinned.chain)


# --- steps ------------------------------------------------------------------------------------------------


def _read(history: bytes | Mapping[str, Any]) -> list[_Step]:
    value = canonical.parse(history, max_bytes=MAX_BYTES) if isinstance(history, bytes) else history
    if not isinstance(value, Mapping) or set(value) != {"type", "entries"} or value["type"] != TYPE:
        raise _refused(f"not a document of type {TYPE}")
    found = []
    for entry in value["entries"] if isinstance(value["entries"], list) else []:
        if not isinstance(entry, Mapping) or set(entry) != _MEMBERS or not isinstance(entry["checkpoint"], str):
            raise _refused("an entry of the history is not whole")
        try:
            documents.check_entry_proof({name: item for name, item in entry.items() if name != "checkpoint"})
            leaf = leaves.parse(entry["leaf"].encode())
            payload = canonical.encode(dict(entry["payload"]))
            leaves.verify_opening(leaf, payload=payload, salt=bytes.fromhex(entry["salt"]))
        except DomainError as error:
            raise _refused(error.message) from error
        found.append(_Step(leaf.kind, entry["payload"], entry))
    return found


def _take_keys(step: _Step, known: _Known) -> None:
    """Believe a new key because the newest one before it has signed."""
    if step.kind not in (_FROZEN, _LOG_ROTATED, _ROTATED):
        return
    try:
        key_documents.verify_rotation(step.document)
    except DomainError as error:
        raise _refused(error.message) from error
    for item in step.document["keys"]:
        purpose, old, new = Purpose(item["purpose"]), item["old"], item["new"]
        if purpose is Purpose.DOCUMENT and step.kind == _ROTATED and step.payload.get("successor") == new:
            if known.exchange_keys and known.exchange_keys[-1] == old:
                known.exchange_keys.append(new)
        elif purpose is Purpose.LOG and step.kind in (_FROZEN, _LOG_ROTATED):
            before, after = _origin(old), _origin(new)
            if known.log_keys.get(before, [""])[-1] != old or (before == after) != (step.kind == _LOG_ROTATED):
                continue
            if new not in known.log_keys.setdefault(after, []):
                known.log_keys[after].append(new)


def _place(step: _Step, known: _Known, *, pinned: TrustPolicy) -> tuple[Checkpoint, int]:
    """Where an entry stands, once its checkpoint and its path hold under keys that are believed."""
    note = step.entry["checkpoint"].encode()
    origin = checkpoints.parse(note).origin
    checkpoint = checkpoints.verify(note, keys=known.log_keys.get(origin, []), origin=origin)
    policies.tlog_policy(pinned).check_quorum(note)
    merkle.verify_inclusion(
        index=step.entry["index"],
        size=checkpoint.size,
        leaf_hash=merkle.leaf_hash(step.entry["leaf"].encode()),
        path=[bytes.fromhex(item) for item in step.entry["path"]],
        root=checkpoint.root,
    )
    return checkpoint, step.entry["index"]


def _take_place(step: _Step, checkpoint: Checkpoint, index: int, known: _Known) -> None:
    if step.kind == _LOG_ROTATED:
        known.log_since[str(step.payload.get("successor"))] = index + 1
    elif step.kind == _FROZEN:
        if checkpoint.size != index + 1:
            raise _refused("a frozen log goes on behind its last leaf")
        known.frozen[checkpoint.origin] = Frozen(checkpoint.size, checkpoint.root.hex())
    elif step.kind in _REVOKED:
        known.revoked.add((str(step.payload.get("value")), checkpoint.origin, index))


# --- comparison -------------------------------------------------------------------------------------------


def _check_logs(known: _Known, *, pinned: TrustPolicy, offered: TrustPolicy) -> None:
    was = {log.origin: log for log in pinned.logs}
    if [log.origin for log in offered.logs][: len(pinned.logs)] != list(was):
        raise _refused("the logs are not those of before, in their order")
    for log in offered.logs:
        if [window.key for window in log.keys] != known.log_keys.get(log.origin):
            raise _refused("a log's keys do not follow from each other")
        end = was[log.origin].frozen if log.origin in was else None
        if log.frozen != (end or known.frozen.get(log.origin)):
            raise _refused("a log's end is not proven")
        before = was[log.origin].keys if log.origin in was else ()
        for place, window in enumerate(log.keys):
            since = before[place].since if place < len(before) else known.log_since.get(window.key, 0)
            until = log.keys[place + 1].since if place + 1 < len(log.keys) else None
            if (window.since, window.until) != (since, until):
                raise _refused("a log key counts elsewhere than its entry says")


def _check_exchange_keys(
    placed: list[tuple[_Step, Checkpoint, int]], known: _Known, *, pinned: TrustPolicy, offered: TrustPolicy
) -> None:
    if policies.exchange_keys(offered) != known.exchange_keys:
        raise _refused("the exchange's keys do not follow from each other")
    at = {
        str(step.payload.get("successor")): offered.position(checkpoint.origin, index)
        for step, checkpoint, index in placed
        if step.kind == _ROTATED
    }
    for place, window in enumerate(offered.exchange_keys):
        if place < len(pinned.exchange_keys):
            since_holds = window.since == pinned.exchange_keys[place].since
        else:
            since_holds = window.since == at.get(window.key)
        after = offered.exchange_keys[place + 1] if place + 1 < len(offered.exchange_keys) else None
        if not since_holds or window.until != (None if after is None else after.since + HANDOVER):
            raise _refused("an exchange key counts elsewhere than its entry says")


def document(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The history from entry proofs, each with its checkpoint's note, in log order."""
    return {"type": TYPE, "entries": entries}


def _origin(vkey: str) -> str:
    return checkpoints.parse_vkey(vkey).name


def _refused(message: str) -> VerificationError:
    return VerificationError("POLICY_NOT_PROVEN", message)
