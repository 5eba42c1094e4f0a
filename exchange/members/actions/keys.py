"""The registry of public keys: brought on a signed card, in force for an interval, never used twice."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from compute.protocol import documents, key_documents, shapes
from exchange.kernel.errors import DomainError
from exchange.members.errors import (
    KeyCardInvalid,
    KeyChangesTooMany,
    KeyMissing,
    KeyRotationInvalid,
    KeyRotationMissing,
    KeyTaken,
)
from exchange.members.models import Organization, SigningKey
from exchange.members.states import KeyPurpose
from ledger import actions as ledger
from ledger.proofs import statements, typed_data
from ledger.proofs.errors import VerificationError

_MEMBERS = {
    KeyPurpose.DOCUMENT: "document_key",
    KeyPurpose.CHAIN: "chain_address",
    KeyPurpose.SEALING: "sealing_key",
}

MAX_NEW_KEYS = 60  # twenty whole cards
PACE_PERIOD = timedelta(days=30)


@transaction.atomic
def register(*, organization: Organization, card: Mapping[str, Any]) -> list[SigningKey]:
    """Register the three public keys of a card that its own document key has signed.

    A key in force is kept when the card names it again; it is never replaced by a card alone: that takes
    a rotation, or first a revocation when the old key is lost.

    Returns: the keys in force, for document, chain and sealing.
    Raises:
        KeyCardInvalid: not a key card, or not signed by the key it names.
        KeyRotationMissing: the card would replace a key in force.
        KeyTaken: one of its keys was in the registry before, here or elsewhere.
        KeyChangesTooMany: more new keys than anybody needs.
    Idempotent: the card whose keys are in force changes nothing.
    """
    checked = _check_card(card)
    in_force = _lock(organization)
    if any(key.value != checked[_MEMBERS[purpose]] for purpose, key in in_force.items()):
        raise KeyRotationMissing(
            "A key in force is replaced only by a rotation that the old key signs too: hengshu keys rotate. If the old "
            "key is lost, ask the exchange to withdraw it first."
        )
    return _put(organization, checked, in_force, rotation=None)


@transaction.atomic
def rotate(*, organization: Organization, document: Mapping[str, Any]) -> list[SigningKey]:
    """Put new keys in the place of those in force, as a rotation says that old and new keys have signed.

    Documents that the old keys signed stay valid; new ones need the new keys.

    Returns: the keys in force, for document, chain and sealing.
    Raises:
        KeyRotationInvalid: not a signed rotation of this organisation, or of keys that are not in force.
        KeyTaken: a new key was in the registry before, here or elsewhere.
        KeyChangesTooMany: more new keys than anybody needs.
    Idempotent: a rotation that has been carried out changes nothing.
    """
    rotation = _check_rotation(organization, document)
    card = _check_card(rotation["card"])
    in_force = _lock(organization)
    wanted = {purpose: card[member] for purpose, member in _MEMBERS.items()}
    if {purpose: key.value for purpose, key in in_force.items()} == wanted and _carried_out(organization, rotation):
        return [in_force[purpose] for purpose in _MEMBERS]
    replaced = {KeyPurpose(item["purpose"]): item["old"] for item in rotation["keys"]}
    actual = {purpose: key.value for purpose, key in in_force.items() if key.value != wanted[purpose]}
    if replaced != actual:
        raise KeyRotationInvalid(
            "The rotation does not start from the keys in force; fetch them again, and make a new one from the key "
            "file that is registered: hengshu keys rotate."
        )
    document_keys = {in_force[KeyPurpose.DOCUMENT].value} if KeyPurpose.DOCUMENT in in_force else set()
    if KeyPurpose.SEALING in replaced and not document_keys:
        raise KeyRotationInvalid(
            "A sealing key cannot sign, and no document key in force vouches for its successor; withdraw the sealing "
            "key as well, then register the new card."
        )
    return _put(organization, card, in_force, rotation=rotation)


def accept(*, organization: Organization, document: Mapping[str, Any]) -> list[SigningKey]:
    """Take what a member sends about its keys, a card or a rotation; raises and returns as they do."""
    if document.get("type") == key_documents.ROTATION:
        return rotate(organization=organization, document=document)
    return register(organization=organization, card=document)


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


def _lock(organization: Organization) -> dict[KeyPurpose, SigningKey]:
    """Hold the organisation's row, so that its keys change one at a time; returns those in force."""
    Organization.objects.locked().get(pk=organization.pk)
    found = SigningKey.objects.filter(organization=organization).current()
    return {KeyPurpose(key.purpose): key for key in found}


def _check_card(card: Mapping[str, Any]) -> dict[str, Any]:
    document = dict(card)
    try:
        documents.check_key_card(document)
        statements.verify(document, signers=[document["document_key"]])
        if typed_data.checksum_address(document["chain_address"]) != document["chain_address"]:
            raise shapes.refuse("chain_address", "must have the capitals of EIP-55, so that no key counts as two")
    except (VerificationError, DomainError) as error:
        fields = error.fields if isinstance(error, DomainError) else {}
        message = "The key card is not valid; send it exactly as `hengshu keys show --json` wrote it."
        raise KeyCardInvalid(message, fields=fields) from error
    return document


def _check_rotation(organization: Organization, document: Mapping[str, Any]) -> dict[str, Any]:
    rotation = dict(document)
    try:
        key_documents.verify_rotation(rotation)
    except (VerificationError, DomainError) as error:
        fields = error.fields if isinstance(error, DomainError) else {}
        raise KeyRotationInvalid(
            f"The rotation does not hold: {error.message}. Send it exactly as `hengshu keys rotate` wrote it.",
            fields=fields,
        ) from error
    if rotation["organization"] != organization.urn or rotation["card"] is None:
        raise KeyRotationInvalid("The rotation is another organisation's; make one with your own key file.")
    return rotation


def _carried_out(organization: Organization, rotation: Mapping[str, Any]) -> bool:
    old = [item["old"] for item in rotation["keys"]]
    return organization.keys.filter(value__in=old, valid_to__isnull=False).count() == len(old)


def _put(
    organization: Organization,
    card: dict[str, Any],
    in_force: Mapping[KeyPurpose, SigningKey],
    *,
    rotation: dict[str, Any] | None,
) -> list[SigningKey]:
    now = timezone.now()
    result = []
    if any(purpose not in in_force or in_force[purpose].value != card[member] for purpose, member in _MEMBERS.items()):
        _check_pace(organization, now)
    for purpose, member in _MEMBERS.items():
        old = in_force.get(purpose)
        if old is not None and old.value == card[member]:
            result.append(old)
            continue
        if old is not None:
            old.valid_to = now
            old.save(update_fields=["valid_to"])
        key = _add(organization, purpose, card, now)
        if old is not None and rotation is not None:
            ledger.record_rotation(
                subject=organization.urn,
                issuer=organization.urn,
                purpose=purpose.value,
                old=old.value,
                new=key.value,
                document=rotation,
            )
        result.append(key)
    return result


def _check_pace(organization: Organization, now: datetime) -> None:
    """Every withdrawn key stays in everybody's trust policy for ever: nobody may fill it by changing keys for fun."""
    recent = SigningKey.objects.filter(organization=organization, valid_from__gt=now - PACE_PERIOD).count()
    if recent >= MAX_NEW_KEYS:
        raise KeyChangesTooMany(
            f"The organisation has registered {recent} keys within {PACE_PERIOD.days} days; keep the present ones, or"
            " ask the exchange what is going on."
        )


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
    ledger.record_registration(
        subject=organization.urn,
        issuer=organization.urn,
        purpose=key.purpose,
        key=key.value,
        ref=key.ref,
        is_exchange=organization.is_exchange,
    )
    return key
