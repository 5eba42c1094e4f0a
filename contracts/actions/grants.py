"""Grants: a provider's EIP-712 signature that lets a contract be used, carried to the chain."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from compute.protocol import shapes
from compute.protocol import terms as protocol
from contracts import schedule
from contracts.actions import moves
from contracts.errors import ChainUnavailable, GrantInvalid, NotSignable, SignerNotParty
from contracts.models import Contract, Grant, Signature
from contracts.states import ContractState, GrantState
from exchange.members.models import Membership, SigningKey
from exchange.members.permissions import Permission, check_permission
from exchange.members.states import KeyPurpose
from ledger import actions as ledger
from ledger.actions import deployments
from ledger.kinds import EntryKind
from ledger.models import ChainDeployment, ChainEvent, ChainRecordState
from ledger.proofs import grants
from ledger.proofs.errors import VerificationError

_C = ContractState
_GRANTABLE = frozenset({_C.SIGNING, _C.SIGNED, _C.FUNDED, _C.EFFECTIVE, _C.SUSPENDED})
_FIELDS = shapes.members(
    {
        "chain_id": shapes.integer(1),
        "contract_address": shapes.ADDRESS,
        "grantor": shapes.ADDRESS,
        "terms_digest": shapes.HEX64,
        "not_before": shapes.integer(0),
        "not_after": shapes.integer(0),
        "cap": shapes.integer(1),
        "signature": shapes.pattern(r"0x[0-9a-fA-F]{130}", "0x and 130 hex characters"),
    }
)


@transaction.atomic
def grant(*, contract: Contract, document: Mapping[str, Any], by: Membership) -> Grant:
    """Take a provider's signed grant and ask for it on the chain.

    Args:
        document: the fields of `ledger.proofs.grants.sign_grant`; window and cap must be those of
            `expected`, so that chain, node and exchange measure with the same numbers.
    Raises:
        GrantInvalid: another chain, other terms, another window or cap, or another signer.
        SignerNotParty, NotSignable, ChainUnavailable.
    Idempotent: one grant per provider; the same grant again returns it.
    """
    check_permission(by, Permission.CONTRACT_SIGN)
    locked = moves.lock(contract)
    party = protocol.party(locked.terms, by.organization.urn)
    if party is None or party["role"] != "provider":
        raise SignerNotParty("Only a provider of this contract grants its use.")
    _FIELDS(dict(document), "")
    wanted = expected(locked, organization=by.organization.urn)
    for name, value in wanted.items():
        if str(document[name]).lower() != str(value).lower():
            raise GrantInvalid(f"The grant's {name} must be {value}.", fields={name: f"must be {value}"})
    try:
        grants.verify_grant(document, grantor=party["chain_address"])
    except VerificationError as error:
        raise GrantInvalid(f"The grant's signature does not hold: {error.message}.") from error
    found = Grant.objects.filter(contract=locked, organization=by.organization).first()
    if found is not None:
        return found
    _check_may_grant(locked, by, address=party["chain_address"])
    grant_id = grants.grant_id(grantor=party["chain_address"], terms_digest=locked.terms_digest)
    record_key = f"grant:{grant_id}"
    payload = {**wanted, "signature": document["signature"]}
    made = Grant.objects.create(
        contract=locked,
        organization=by.organization,
        grant_id=grant_id,
        document=payload,
        record_key=record_key,
        received=timezone.now(),
    )
    on_chain = {name: value for name, value in payload.items() if name not in ("chain_id", "contract_address")}
    ledger.submit_chain_record(kind="grant", key=record_key, payload=on_chain)
    moves.note(
        locked,
        EntryKind.CONTRACT_GRANTED,
        issuer=by.organization.urn,
        payload={"organization": by.organization.urn, "grant_id": grant_id, "cap": wanted["cap"]},
        key=f"contract.granted:{grant_id}",
    )
    schedule.send_chain_records_later()
    return made


def expected(contract: Contract, *, organization: str) -> dict[str, Any]:
    """What a provider's grant must say: the fields it signs, for its tool to sign and for us to compare.

    Raises:
        ChainUnavailable: no ledger contract is deployed, or the terms need none.
    """
    deployment = chain_place()
    terms = contract.terms
    if terms["evidence"]["chain"] != "required":
        raise ChainUnavailable("The terms ask for no evidence on a chain, so there is nothing to grant there.")
    party = protocol.party(terms, organization)
    if party is None:
        raise SignerNotParty("Your organisation is no party of this contract.")
    return {
        "chain_id": deployment.chain_id,
        "contract_address": deployment.contract_address,
        "grantor": party["chain_address"],
        "terms_digest": contract.terms_digest,
        "not_before": int(shapes.parse_time(terms["term"]["effective_from"]).timestamp()),
        "not_after": int(shapes.parse_time(terms["term"]["effective_to"]).timestamp()),
        "cap": terms["quota"]["total"],
    }


def chain_place() -> ChainDeployment:
    """The deployment that grants stand on; ChainUnavailable without one."""
    deployment = deployments.current_deployment()
    if deployment is None:
        raise ChainUnavailable("No ledger contract is deployed yet; try again once the exchange has one.")
    return deployment


def follow_chain(contract: Contract) -> bool:
    """Copy what the chain says of this contract's grants; True when every provider's stands there."""
    standing = set()
    for found in Grant.objects.filter(contract=contract).exclude(state=GrantState.REVOKED.value):
        record = ledger.chain_record(found.record_key)
        # One that its provider sent to the chain itself has no record of ours, only the chain's own word.
        confirmed = _was_granted(found) if record is None else record.state == ChainRecordState.CONFIRMED
        state = GrantState.ACTIVE if confirmed else GrantState.PENDING
        if found.state != state:
            found.state = state.value
            found.confirmed_at = (timezone.now() if record is None else record.confirmed_at) if confirmed else None
            found.save(update_fields=["state", "confirmed_at"])
        if confirmed:
            standing.add(found.organization_id)
    providers = set(contract.parties.filter(role="provider").values_list("organization_id", flat=True))
    return providers <= standing


def _was_granted(found: Grant) -> bool:
    events = ChainEvent.objects.filter(deployment=deployments.current_deployment(), name="Granted")
    return events.filter(arguments__id=found.grant_id).exists()


def _check_may_grant(contract: Contract, by: Membership, *, address: str) -> None:
    if ContractState(contract.state) not in _GRANTABLE:
        raise NotSignable(f"The contract is {contract.state}; it takes no grant now.")
    if not Signature.objects.filter(contract=contract, organization=by.organization).exists():
        raise NotSignable("Sign the terms first, then grant their use.")
    keys = SigningKey.objects.filter(organization=by.organization, value=address)
    if not keys.for_purpose(KeyPurpose.CHAIN).valid_at(timezone.now()).exists():
        raise SignerNotParty("The chain key in the terms is not a valid key of your organisation.")
