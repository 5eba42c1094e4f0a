"""The life of keys in the log: one leaf for each that is replaced or withdrawn, found again by the key's digest.

Payloads, with the signed document inside, so that who holds a disclosure needs nobody's word:

- `key.rotated`: `purpose`, `value` (the old key), `successor`, `document` (a key rotation)
- `key.revoked`: `purpose`, `value`, `reason`, `author` (key, organization or exchange), `document` (a revocation)
"""

from collections.abc import Iterator, Mapping
from typing import Any

from compute.protocol.key_documents import key_digest
from ledger.actions import entries
from ledger.kinds import EntryKind
from ledger.models import Entry
from ledger.proofs.policies import Revoked


def record_rotation(
    *, subject: str, issuer: str, purpose: str, old: str, new: str, document: Mapping[str, Any]
) -> Entry:
    """Write that a key took another's place, in the caller's transaction; as `entries.record`.

    Idempotent: a key is a successor once.
    """
    return entries.record(
        kind=EntryKind.KEY_ROTATED,
        subject=subject,
        issuer=issuer,
        payload={"purpose": purpose, "value": old, "successor": new, "document": dict(document)},
        key=_rotated(new),
    )


def record_revocation(
    *, subject: str, issuer: str, purpose: str, key: str, author: str, document: Mapping[str, Any]
) -> Entry:
    """Write that a key was withdrawn, in the caller's transaction; as `entries.record`.

    Idempotent: a key is withdrawn once.
    """
    return entries.record(
        kind=EntryKind.KEY_REVOKED,
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


def rotation_to(key: str) -> Entry | None:
    """The entry by which a key came into its place; None for one that was there from the beginning."""
    return Entry.objects.with_evidence().filter(key=_rotated(key)).first()


def revocation_of(key: str) -> Entry | None:
    """The entry that withdrew a key."""
    return Entry.objects.with_evidence().filter(key=_revoked(key)).first()


def logged_revocations() -> Iterator[Revoked]:
    """Every withdrawn key whose leaf is in the log, in log order, as a trust policy lists them."""
    found = (
        Entry.objects.filter(kind=EntryKind.KEY_REVOKED, leaf__isnull=False, disclosure__erased_at__isnull=True)
        .select_related("leaf__log", "disclosure")
        .order_by("leaf__log_id", "leaf__index")
    )
    for entry in found:
        yield Revoked(entries.payload_of(entry)["value"], entry.leaf.log.origin, entry.leaf.index)


def _rotated(key: str) -> str:
    return f"key-rotated:{key_digest(key)}"


def _revoked(key: str) -> str:
    return f"key-revoked:{key_digest(key)}"
