"""The life of keys in the log: one leaf for each that is replaced or withdrawn, found again by the key's digest.

Payloads, with the signed document inside, so that who holds a disclosure needs nobody's word:

- `key.registered`: `key` (the registry's reference), `purpose`, `value`
- `key.rotated`, `log.key_rotated`: `purpose`, `value` (the old key), `successor`, `document` (a key rotation)
- `key.revoked`, `log.key_revoked`: `purpose`, `value`, `reason`, `author` (key, organization or exchange),
  `document` (a revocation)
"""

from collections.abc import Iterator, Mapping
from typing import Any

from compute.protocol.key_documents import Purpose, key_digest
from exchange.kernel.errors import InvalidInput
from ledger.actions import chain_records, deployments, entries, log_keys
from ledger.kinds import EntryKind
from ledger.models import ChainRecord, ChainRecordKind, Entry, Log
from ledger.proofs import grants, policies, typed_data
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import HANDOVER, Frozen, Revoked, Window

EXCHANGE_KEY = "exchange-key:"


def record_rotation(
    *, subject: str, issuer: str, purpose: str, old: str, new: str, document: Mapping[str, Any]
) -> Entry:
    """Write that a key took another's place, in the caller's transaction; as `entries.record`.

    Idempotent: a key is a successor once.
    """
    return entries.record(
        kind=EntryKind.LOG_KEY_ROTATED if purpose == Purpose.LOG else EntryKind.KEY_ROTATED,
        subject=subject,
        issuer=issuer,
        payload={"purpose": purpose, "value": old, "successor": new, "document": dict(document)},
        key=log_keys.rotation_name(new),
    )


def record_revocation(
    *, subject: str, issuer: str, purpose: str, key: str, author: str, document: Mapping[str, Any]
) -> Entry:
    """Write that a key was withdrawn, in the caller's transaction; as `entries.record`.

    Idempotent: a key is withdrawn once.
    """
    return entries.record(
        kind=EntryKind.LOG_KEY_REVOKED if purpose == Purpose.LOG else EntryKind.KEY_REVOKED,
        subject=subject,
        issuer=issuer,
        payload={
            "purpose": purpose,
            "value": key,
            "reason": document["reason"],
            "author": author,
            "document": dict(document),
        },
        key=_revoked(key),
    )


def record_registration(*, subject: str, issuer: str, purpose: str, key: str, ref: str, is_exchange: bool) -> Entry:
    """Write that a key is registered, in the caller's transaction; the exchange's own are found again by kind."""
    return entries.record(
        kind=EntryKind.KEY_REGISTERED,
        subject=subject,
        issuer=issuer,
        payload={"key": ref, "purpose": purpose, "value": key},
        key=f"{EXCHANGE_KEY}{key_digest(key)}" if is_exchange and purpose == Purpose.DOCUMENT else None,
    )


def submit_void(*, key: str, payload: Mapping[str, str]) -> ChainRecord:
    """Ask for a signed void of a key on the chain, in the caller's transaction.

    Raises:
        InvalidInput: the signature is not the signer's, for the contract that the log is anchored in.
    Idempotent: one record for each `key`.
    """
    deployment = deployments.current_deployment()
    if deployment is None:
        raise InvalidInput("The exchange has no chain now; send the withdrawal without its chain part.")
    digest = grants.void_digest(
        chain_id=deployment.chain_id,
        contract_address=deployment.contract_address,
        signer=payload["signer"],
        statement_digest=payload["digest"],
    )
    try:
        typed_data.verify(digest, payload["signature"], signer=payload["signer"])
    except VerificationError as error:
        raise InvalidInput(
            "The chain signature is not the signer's for this chain and contract; fetch the trust policy again."
        ) from error
    return chain_records.submit_chain_record(kind=ChainRecordKind.VOID, key=key, payload=dict(payload))


def revocation_of(key: str) -> Entry | None:
    """The entry that withdrew a key."""
    return Entry.objects.with_evidence().filter(key=_revoked(key)).first()


def logged_revocations() -> Iterator[Revoked]:
    """Every withdrawn key whose leaf is in the log, in log order, as a trust policy lists them."""
    kinds = (EntryKind.KEY_REVOKED, EntryKind.LOG_KEY_REVOKED)
    found = (
        Entry.objects.filter(kind__in=kinds, leaf__isnull=False, disclosure__erased_at__isnull=True)
        .select_related("leaf__log", "disclosure")
        .order_by("leaf__log_id", "leaf__index")
    )
    for entry in found:
        yield Revoked(entries.payload_of(entry)["value"], entry.leaf.log.origin, entry.leaf.index)


def exchange_windows(current: str) -> tuple[Window, ...]:
    """The exchange's document keys and the positions where each counts.

    A key counts from the leaf that puts it in its predecessor's place. After a rotation its predecessor counts
    for `HANDOVER` leaves more: what it signed may have been on its way. A withdrawal's leaf ends it at once.

    Args:
        current: the key in the key file, for an exchange that has registered none.
    """
    registered = list(
        Entry.objects.filter(kind=EntryKind.KEY_REGISTERED, key__startswith=EXCHANGE_KEY)
        .select_related("leaf", "disclosure")
        .order_by("pk")
    )
    before = _sizes_before()
    end = sum(log.size for log in Log.objects.all())
    keys = [entries.payload_of(entry)["value"] for entry in registered] or [current]
    came = [log_keys.rotation_to(key) or entry for key, entry in zip(keys[1:], registered[1:], strict=True)]
    starts = [0, *(_position(entry, before, default=end) for entry in came)]
    ends = [start + HANDOVER for start in starts[1:]]
    return tuple(Window(*window) for window in zip(keys, starts, [*ends, None], strict=True))


def policy_logs() -> tuple[policies.Log, ...]:
    """The shards of the log with their keys, as a trust policy lists them; none before the first is open."""
    return tuple(
        policies.Log(log.origin, log_keys.windows_of(log), Frozen(log.size, log.root) if log.is_frozen else None)
        for log in Log.objects.order_by("number")
    )


def _sizes_before() -> dict[int, int]:
    """How many leaves the shards before each shard hold."""
    sizes = list(Log.objects.order_by("number").values_list("number", "size"))
    return {number: sum(size for earlier, size in sizes if earlier < number) for number, _ in sizes}


def _position(entry: Entry, before: Mapping[int, int], *, default: int) -> int:
    leaf = getattr(entry, "leaf", None)
    return default if leaf is None else before[leaf.log_id] + leaf.index


def _revoked(key: str) -> str:
    return f"key-revoked:{key_digest(key)}"
