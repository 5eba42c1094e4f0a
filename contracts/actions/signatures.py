"""Signatures on terms: made on the parties' own machines, checked here, frozen once all are in."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from compute.protocol import documents
from compute.protocol import terms as protocol
from contracts import schedule
from contracts.actions import lifecycle, moves
from contracts.errors import NotSignable, SignatureRefused, SignerNotParty, TermsChanged
from contracts.models import Contract, Signature
from contracts.states import SIGNABLE, ContractState
from exchange.members.models import Membership, SigningKey
from exchange.members.permissions import Permission, check_permission
from exchange.members.states import KeyPurpose
from ledger.kinds import EntryKind
from ledger.proofs import canonical, statements
from ledger.proofs.errors import VerificationError


@transaction.atomic
def sign(*, contract: Contract, document: Mapping[str, Any], by: Membership) -> Contract:
    """Take the terms as signed by the asker's organisation; other parties' proofs in it are checked, not kept.

    Raises:
        TermsChanged: the document is not the proposed terms, byte for byte of its canonical form.
        SignatureRefused: a proof does not hold.
        SignerNotParty: the organisation is no party, or signed with a key that is not the one in the
            terms or not valid in the registry now.
        NotSignable: everybody has signed, or the proposal was withdrawn.
    Idempotent: one signature per party; signing again changes nothing.
    """
    check_permission(by, Permission.CONTRACT_SIGN)
    locked = moves.lock(contract)
    proof = check_signed(locked, document, by=by)
    if Signature.objects.filter(contract=locked, organization=by.organization).exists():
        return locked
    if ContractState(locked.state) not in SIGNABLE:
        raise NotSignable(f"The contract is {locked.state}; it takes no signature now.")
    now = timezone.now()
    Signature.objects.create(
        contract=locked,
        organization=by.organization,
        document_key=statements.signer(proof),
        proof=dict(proof),
        received=now,
    )
    moves.note(
        locked,
        EntryKind.CONTRACT_SIGNED,
        issuer=by.organization.urn,
        payload={
            "organization": by.organization.urn,
            "document_key": statements.signer(proof),
            "proof_digest": canonical.digest(dict(proof)),
        },
        key=f"contract.signed:{locked.ref}:{by.organization.ref}",
    )
    if locked.state == ContractState.PROPOSED:
        moves.move(locked, ContractState.SIGNING, now=now)
    if locked.signatures.count() == locked.parties.count():
        moves.move(locked, ContractState.SIGNED, now=now)
        moves.note(locked, EntryKind.CONTRACT_AGREED, key=f"contract.agreed:{locked.ref}")
        lifecycle.advance_locked(locked, now=now)
        schedule.advance_later()
    return locked


def check_signed(contract: Contract, document: Mapping[str, Any], *, by: Membership) -> dict[str, str]:
    """The proof of the asker's organisation on the contract's terms, after everything about it was checked."""
    try:
        protocol.check(dict(document))
        digest = statements.digest(document)
    except (documents.DocumentInvalid, VerificationError) as error:
        raise TermsChanged(f"This is not the contract that was proposed: {error}") from error
    if digest != contract.terms_digest:
        raise TermsChanged("The terms differ from those proposed; read the contract again and sign that.")
    party = protocol.party(contract.terms, by.organization.urn)
    if party is None:
        raise SignerNotParty("Your organisation is no party of this contract.")
    key = party["document_key"]
    check_document_key(by, key)
    try:
        statements.verify(document, signers=[key])
    except VerificationError as error:
        raise SignatureRefused(f"The signature does not hold: {error.message}.") from error
    return next(proof for proof in statements.proofs(document) if statements.signer(proof) == key)


def check_document_key(by: Membership, key: str) -> None:
    """Raise SignerNotParty unless the key is a valid document key of the asker's organisation."""
    keys = SigningKey.objects.filter(organization=by.organization, value=key)
    if not keys.for_purpose(KeyPurpose.DOCUMENT).valid_at(timezone.now()).exists():
        raise SignerNotParty("The key in the terms is not a valid key of your organisation; register it first.")
