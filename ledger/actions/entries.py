"""Writing facts: in the same transaction as the change they report."""

import secrets
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from ledger import schedule
from ledger.errors import DisclosureErased, DisclosureNeeded, KeyReused, NotInTransaction, PayloadInvalid
from ledger.kinds import EntryKind
from ledger.models import Disclosure, Entry, Pending
from ledger.proofs import canonical, leaves
from ledger.proofs.errors import VerificationError

MAX_PAYLOAD_BYTES = 256 * 1024  # a signed contract has about 10 KiB; anything larger belongs behind a digest
SALT_BYTES = leaves.MAX_SALT_BYTES
# Public keys and signed documents about them; no personal data, and the trust policy is read from them.
KEPT = frozenset(
    {
        EntryKind.KEY_REGISTERED,
        EntryKind.KEY_ROTATED,
        EntryKind.KEY_REVOKED,
        EntryKind.LOG_OPENED,
        EntryKind.LOG_FROZEN,
        EntryKind.LOG_KEY_ROTATED,
        EntryKind.LOG_KEY_REVOKED,
    }
)


def record(
    *, kind: EntryKind | str, subject: str, issuer: str, payload: Mapping[str, Any], key: str | None = None
) -> Entry:
    """Write one fact into the ledger, in the caller's transaction: no change without evidence, and back.

    The payload itself stays in an erasable table; the log only ever shows a salted commitment to it. The
    entry waits to be sequenced; `seal` gives it its place within about a second.

    Args:
        subject: URN of what the fact is about.
        issuer: URN of the organisation that says so.
        payload: a JSON object without floats; no row, identifier or free text about a person.
        key: the business's own name for this fact, such as `charge:<urn>`; at most 200 characters.
    Raises:
        NotInTransaction: there is no transaction to be part of.
        PayloadInvalid: no canonical form, or larger than 256 KiB.
        KeyReused: the key names a fact of another kind or subject.
    Idempotent: with a key, a repeat returns the first entry and writes nothing.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("A fact is recorded inside the transaction of its change; open one first.")
    kind = EntryKind(kind)
    first = _first(key, kind=kind, subject=subject)
    if first is not None:
        return first
    data = _canonical(payload)
    salt = secrets.token_bytes(SALT_BYTES)
    entry = Entry(
        kind=kind,
        subject=subject,
        issuer=issuer,
        at=timezone.now().replace(microsecond=0),
        commit=leaves.commitment(data, salt=salt),
        key=key,
    )
    try:
        with transaction.atomic():
            entry.save(force_insert=True)
    except IntegrityError:
        first = _first(key, kind=kind, subject=subject)
        if first is None:
            raise
        return first
    Disclosure.objects.create(entry=entry, payload=data, salt=salt)
    Pending.objects.create(entry=entry)
    schedule.seal_later()
    return entry


@transaction.atomic
def erase(*, entry: Entry) -> None:
    """Erase what an entry's commitment opens to; its leaf, and every proof through it, stay as they are.

    Raises:
        DisclosureNeeded: the entry is about keys: without it nobody could tell which key counted when.
    Idempotent: erasing twice changes nothing.
    """
    if entry.kind in KEPT:
        raise DisclosureNeeded("What the log says about keys is not erased: every later proof rests on it.")
    Disclosure.objects.readable().filter(entry=entry).update(payload=None, salt=None, erased_at=timezone.now())


def payload_of(entry: Entry) -> dict[str, Any]:
    """The payload behind an entry's commitment.

    Raises:
        DisclosureErased: it has been erased.
    """
    disclosure = entry.disclosure
    if disclosure.payload is None:
        raise DisclosureErased("The payload of this entry has been erased; its proof still holds.")
    value: dict[str, Any] = canonical.parse_canonical(bytes(disclosure.payload))
    return value


def _first(key: str | None, *, kind: EntryKind, subject: str) -> Entry | None:
    found = Entry.objects.filter(key=key).first() if key is not None else None
    if found is not None and (found.kind != kind or found.subject != subject):
        raise KeyReused("This key already names another fact; give each fact its own key.")
    return found


def _canonical(payload: Mapping[str, Any]) -> bytes:
    try:
        data = canonical.encode(dict(payload))
    except VerificationError as error:
        raise PayloadInvalid(f"The payload cannot be recorded: {error.message}.") from error
    if len(data) > MAX_PAYLOAD_BYTES:
        raise PayloadInvalid(f"The payload is larger than {MAX_PAYLOAD_BYTES} bytes; record its digest instead.")
    return data
