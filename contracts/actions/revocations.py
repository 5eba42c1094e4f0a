"""Revocations: a provider's signed end of a contract, in force at once and in the nodes' feed."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from compute.protocol import documents
from compute.protocol import terms as protocol
from contracts import schedule, signals
from contracts.actions import lifecycle, moves
from contracts.actions.grants import chain_place
from contracts.actions.signatures import check_document_key
from contracts.errors import RevocationInvalid, SignatureRefused, SignerNotParty
from contracts.models import Contract, Grant, Revocation
from contracts.states import ContractState, GrantState
from exchange.members.models import Membership
from exchange.members.permissions import Permission, check_permission
from ledger import actions as ledger
from ledger.kinds import EntryKind
from ledger.proofs import grants, statements, typed_data
from ledger.proofs.errors import VerificationError


@transaction.atomic
def revoke(
    *, contract: Contract, document: Mapping[str, Any], by: Membership, chain_signature: str | None = None
) -> Revocation:
    """End a contract with a provider's signed revocation; what runs is withheld, what was paid stays paid.

    Args:
        chain_signature: the provider's EIP-712 `Revoke` over its grant; the grant ends on the chain too.
    Raises:
        RevocationInvalid: for another contract, or not newer than the provider's last one.
        SignerNotParty, SignatureRefused: not a party that may revoke, or not its valid key.
        InvalidTransition: the contract is over.
    Idempotent: the same document again returns the first revocation.
    """
    check_permission(by, Permission.CONTRACT_REVOKE)
    locked = moves.lock(contract)
    digest = _check(locked, document, by=by)
    found = Revocation.objects.filter(digest=digest).first()
    if found is None:
        found = _revoke(locked, document, digest=digest, by=by)
    if chain_signature:
        _revoke_grant(locked, by, chain_signature)
    return found


def _revoke(contract: Contract, document: Mapping[str, Any], *, digest: str, by: Membership) -> Revocation:
    now = timezone.now()
    own = Revocation.objects.filter(contract=contract, organization=by.organization)
    last = own.aggregate(last=Max("sequence"))["last"] or 0
    if document["sequence"] <= last:
        raise RevocationInvalid(f"A revocation with sequence {last} is known already; use a greater number.")
    if contract.state != ContractState.REVOKED:
        moves.move(contract, ContractState.REVOKED, now=now, reason=document["reason"])
    revocation = Revocation.objects.create(
        contract=contract,
        organization=by.organization,
        sequence=document["sequence"],
        document=dict(document),
        digest=digest,
        received=now,
    )
    moves.note(
        contract,
        EntryKind.CONTRACT_REVOKED,
        issuer=by.organization.urn,
        payload={
            "organization": by.organization.urn,
            "revocation_digest": digest,
            "sequence": document["sequence"],
        },
        key=f"contract.revoked:{digest}",
    )
    signals.contract_revoked.send(sender=Contract, contract=contract, organization=by.organization, now=now)
    lifecycle.advance_locked(contract, now=now)
    schedule.advance_later()
    return revocation


def _check(contract: Contract, document: Mapping[str, Any], *, by: Membership) -> str:
    """The digest of the revocation, after everything about it was checked."""
    try:
        documents.check_revocation(dict(document))
    except documents.DocumentInvalid as error:
        raise RevocationInvalid(f"This is not a revocation: {error.message}") from error
    party = protocol.party(contract.terms, by.organization.urn)
    if party is None or party["role"] not in contract.terms["revocation"]["by"]:
        raise SignerNotParty("By its terms, your organisation does not revoke this contract.")
    stated = (document["contract"], document["terms_digest"], document["organization"])
    if stated != (contract.urn, contract.terms_digest, by.organization.urn):
        raise RevocationInvalid("The revocation is for another contract, other terms or another organisation.")
    check_document_key(by, party["document_key"])
    try:
        statements.verify(document, signers=[party["document_key"]])
    except VerificationError as error:
        raise SignatureRefused(f"The revocation's signature does not hold: {error.message}.") from error
    return statements.digest(document)


def _revoke_grant(contract: Contract, by: Membership, signature: str) -> None:
    found = Grant.objects.filter(contract=contract, organization=by.organization).first()
    if found is None:
        raise RevocationInvalid("There is no grant of yours to end on the chain; leave the chain signature out.")
    place = chain_place()
    digest = grants.revoke_digest(
        chain_id=place.chain_id, contract_address=place.contract_address, grant=found.grant_id
    )
    try:
        typed_data.verify(digest, signature, signer=found.document["grantor"])
    except VerificationError as error:
        raise SignatureRefused(f"The chain signature does not hold: {error.message}.") from error
    ledger.submit_chain_record(
        kind="revoke",
        key=f"revoke:{found.grant_id}",
        payload={"grant_id": found.grant_id, "signature": signature},
    )
    found.state = GrantState.REVOKED.value
    found.save(update_fields=["state"])
    schedule.send_revocations_later()
