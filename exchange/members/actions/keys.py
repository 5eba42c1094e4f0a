"""The registry of public keys: brought on a signed card, in force for an interval, never used twice."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from compute.protocol import documents
from exchange.kernel.errors import DomainError
from exchange.members.errors import KeyCardInvalid, KeyMissing, KeyTaken, ReasonMissing
from exchange.members.models import Organization, SigningKey
from exchange.members.states import KeyPurpose
from ledger import actions as ledger
from ledger.kinds import EntryKind
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError

_MEMBERS = {
    KeyPurpose.DOCUMENT: "document_key",
    KeyPurpose.CHAIN: "chain_address",
    KeyPurpose.SEALING: "sealing_key",
}


@transaction.atomic
def register(*, organization: Organization, card: Mapping[str, Any]) -> list[SigningKey]:
    """Register the three public keys of a card that its own document key has signed.

    Keys in force before are rotated out at the same moment: documents they signed stay valid, new ones
    need the new keys. A card replaced by one with the same key for some purpose keeps that key.

    Returns: the keys in force, for document, chain and sealing.
    Raises:
        KeyCardInvalid: not a key card, or not signed by the key it names.
        KeyTaken: one of its keys was in the registry before, here or elsewhere.
    Idempotent: the card whose keys are in force changes nothing.
    """
    checked = _check_card(card)
    Organization.objects.locked().get(pk=organization.pk)
    now = timezone.now()
    in_force = {KeyPurpose(key.purpose): key for key in SigningKey.objects.filter(organization=organization).current()}
    result = []
    for purpose, member in _MEMBERS.items():
        old = in_force.get(purpose)
        if old is not None and old.value == checked[member]:
            result.append(old)
            continue
        if old is not None:
            _rotate_out(old, now)
        result.append(_add(organization, purpose, checked, now))
    return result


@transaction.atomic
def revoke(*, key: SigningKey, reason: str) -> SigningKey:
    """Withdraw a key from this moment on, for example because it was stolen.

    Raises:
        ReasonMissing: no reason.
    Idempotent: a revoked key stays revoked since the first time.
    """
    if not 0 < len(reason.strip()) <= 500:
        raise ReasonMissing("Give a reason of 1 to 500 characters for withdrawing the key.")
    locked = SigningKey.objects.select_for_update(no_key=True).get(pk=key.pk)
    if locked.revoked_at is not None:
        return locked
    locked.revoked_at, locked.revoked_reason = timezone.now(), reason.strip()
    locked.save(update_fields=["revoked_at", "revoked_reason"])
    _record(EntryKind.KEY_REVOKED, locked, reason=locked.revoked_reason)
    return locked


def valid_key(organization: Organization, purpose: KeyPurpose, *, at: datetime | None = None) -> str:
    """The value of the organisation's key for a purpose at a moment (now, unless told).

    Raises:
        KeyMissing: there is none.
    """
    moment = at or timezone.now()
    found = SigningKey.objects.filter(organization=organization).for_purpose(purpose).valid_at(moment).first()
    if found is None:
        raise KeyMissing(f"The organisation has no valid {purpose} key; register its key card first.")
    return found.value


def is_valid_key(organization: Organization, purpose: KeyPurpose, value: str, *, at: datetime | None = None) -> bool:
    """Whether this very value counts for the organisation at a moment (now, unless told)."""
    moment = at or timezone.now()
    mine = SigningKey.objects.filter(organization=organization, value=value)
    return mine.for_purpose(purpose).valid_at(moment).exists()


def _check_card(card: Mapping[str, Any]) -> dict[str, Any]:
    document = dict(card)
    try:
        documents.check_key_card(document)
        statements.verify(document, signers=[document["document_key"]])
    except (VerificationError, DomainError) as error:
        fields = error.fields if isinstance(error, DomainError) else {}
        message = "The key card is not valid; send it exactly as `hengshu keys show --json` wrote it."
        raise KeyCardInvalid(message, fields=fields) from error
    return document


def _add(organization: Organization, purpose: KeyPurpose, card: dict[str, Any], now: datetime) -> SigningKey:
    try:
        with transaction.atomic():
            key = SigningKey.objects.create(
                organization=organization,
                purpose=purpose.value,
                value=card[_MEMBERS[purpose]],
                valid_from=now,
                card=card,
            )
    except IntegrityError:
        raise KeyTaken("A key on this card was registered before; make new ones with `hengshu keys new`.") from None
    _record(EntryKind.KEY_REGISTERED, key)
    return key


def _rotate_out(key: SigningKey, now: datetime) -> None:
    key.valid_to = now
    key.save(update_fields=["valid_to"])
    _record(EntryKind.KEY_ROTATED, key)


def _record(kind: EntryKind, key: SigningKey, **more: str) -> None:
    ledger.record(
        kind=kind,
        subject=key.organization.urn,
        issuer=key.organization.urn,
        payload={"key": key.ref, "purpose": key.purpose, "value": key.value, **more},
    )
