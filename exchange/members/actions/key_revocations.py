"""The end of a key before its time: withdrawn by itself, by another key of its organisation, or by the exchange."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from compute.protocol import key_documents
from compute.protocol.key_documents import Reason
from exchange.kernel import identifiers
from exchange.kernel.errors import DomainError
from exchange.members import signals
from exchange.members.errors import KeyRevocationInvalid, KeyRevoked, ReasonMissing
from exchange.members.exchange_keys import exchange_keys
from exchange.members.models import Organization, SigningKey
from exchange.members.states import KeyPurpose
from ledger import actions as ledger
from ledger.proofs.errors import VerificationError


@transaction.atomic
def withdraw(
    *, document: Mapping[str, Any], voids: Sequence[Mapping[str, str]] = (), note: str = ""
) -> list[SigningKey]:
    """Withdraw keys as a signed revocation says, from this moment on. Whoever brings it: the signature counts.

    The author is one of the keys that are withdrawn, another key in force of the same organisation, or the
    exchange's own key. What the keys signed counts from now on only where it was logged before.

    Args:
        voids: the same for the chain, where its owner wants it there too: `signer` (a chain address of the
            organisation), `digest` (`key_digest` of one of the keys) and the EIP-712 `signature`.
        note: what people should read of it, at most 500 characters; stays out of the log.
    Raises:
        KeyRevocationInvalid: not a signed revocation of registered keys, or its author may not withdraw them.
    Idempotent: a key stays withdrawn since the first time.
    """
    revocation = _check(document)
    organization = _locked(revocation["organization"])
    author = _author(organization, revocation)
    result = []
    for item in revocation["keys"]:
        key = organization.keys.filter(purpose=item["purpose"]).named(item["key"]).first()
        if key is None:
            raise KeyRevocationInvalid("The revocation names a key that this organisation has not registered.")
        if author is None and key.revoked_at is None:
            raise KeyRevocationInvalid(
                "The key that signed the revocation may not withdraw this one; sign with the key itself, with another "
                "key in force of the organisation, or ask the exchange."
            )
        result.append(key if key.revoked_at is not None else _end(key, revocation, author=str(author), note=note))
    for void in voids:
        _void(organization, revocation, void)
    return result


def revoke(*, key: SigningKey, reason: str, code: Reason = Reason.COMPROMISED) -> SigningKey:
    """Withdraw a member's key by the exchange's own word, because the member has lost its keys or cannot act.

    Args:
        reason: for people, 1 to 500 characters.
    Raises:
        ReasonMissing: no reason.
    Idempotent: a revoked key stays revoked since the first time.
    """
    if not 0 < len(reason.strip()) <= 500:
        raise ReasonMissing("Give a reason of 1 to 500 characters for withdrawing the key.")
    document = key_documents.revoke(
        organization=key.organization.urn,
        keys=[(key.purpose, key.value)],
        reason=code,
        by=exchange_keys().document,
        created=timezone.now(),
    )
    return withdraw(document=document, note=reason.strip())[0]


def check_none_revoked(values: Collection[str]) -> None:
    """Raise KeyRevoked when one of these keys, as texts, was withdrawn. A key rotated out in order still counts."""
    if SigningKey.objects.filter(value__in=values, revoked_at__lte=timezone.now()).exists():
        raise KeyRevoked("A key that signed this was withdrawn; register new keys and agree on a new contract.")


def revocations_of(organizations: Sequence[str]) -> list[dict[str, Any]]:
    """The signed revocations of some organisations' keys (by URN), newest first, each once."""
    refs = [identifiers.parse_urn(urn, kind="org") for urn in organizations]
    rows = SigningKey.objects.filter(organization__ref__in=refs, revocation__isnull=False).order_by("-revoked_at")
    found = {key.revocation["nonce"]: key.revocation for key in rows if key.revocation is not None}
    return list(found.values())


def _check(document: Mapping[str, Any]) -> dict[str, Any]:
    revocation = dict(document)
    try:
        key_documents.verify_revocation(revocation)
    except (VerificationError, DomainError) as error:
        raise KeyRevocationInvalid(
            f"The revocation does not hold: {error.message}. Send it exactly as `hengshu keys revoke` wrote it.",
            fields=error.fields if isinstance(error, DomainError) else {},
        ) from error
    return revocation


def _locked(urn: str) -> Organization:
    try:
        ref = identifiers.parse_urn(urn, kind="org")
    except ValueError:
        ref = ""
    organization = Organization.objects.locked().filter(ref=ref).first()
    if organization is None:
        raise KeyRevocationInvalid("The revocation names an organisation that is not registered here.")
    return organization


def _author(organization: Organization, revocation: Mapping[str, Any]) -> str | None:
    """By whose right the keys are withdrawn; None for a signer without any."""
    author = revocation["revoked_by"]
    # A key speaks for itself even when it was replaced; for the organisation's others, while it is in force.
    if len(revocation["keys"]) == 1 and key_documents.revoked_by_itself(revocation):
        return "key"
    if organization.keys.current().named(author).exists():
        return "organization"
    return "exchange" if author == exchange_keys().document_key else None


def _void(organization: Organization, revocation: Mapping[str, Any], void: Mapping[str, str]) -> None:
    """Pass one withdrawal on to the chain, where anybody can then see that it was made, or prove that it was not."""
    digests = {key_documents.key_digest(item["key"]) for item in revocation["keys"]}
    addresses = organization.keys.for_purpose(KeyPurpose.CHAIN)
    if void["digest"] not in digests or not addresses.named(void["signer"]).exists():
        raise KeyRevocationInvalid("What is voided on chain is not one of these keys, or not by their organisation.")
    ledger.submit_void(key=f"key-void:{void['digest']}:{void['signer'].lower()}", payload=void)


def _end(key: SigningKey, revocation: dict[str, Any], *, author: str, note: str) -> SigningKey:
    now = timezone.now()
    key.revoked_at, key.revoked_reason, key.revocation = now, note or revocation["reason"], revocation
    key.save(update_fields=["revoked_at", "revoked_reason", "revocation"])
    ledger.record_revocation(
        subject=key.organization.urn,
        issuer=key.organization.urn,
        purpose=key.purpose,
        key=key.value,
        author=author,
        document=revocation,
    )
    signals.key_revoked.send(sender=SigningKey, key=key, now=now)
    return key
