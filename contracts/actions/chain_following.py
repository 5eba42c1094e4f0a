"""What the chain reported of grants, carried over into the contracts: also when nobody asked us.

A provider may end its grant, void the terms, or grant their use with a transaction of its own. The ledger
writes each such event into the log; this pass reads the rows and makes the contracts follow. It looks at
what stands, not at what is new: nothing is marked as done, so nothing can be skipped.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from compute.protocol import shapes
from compute.protocol import terms as protocol
from contracts import schedule, signals
from contracts.actions import lifecycle, moves
from contracts.models import Contract, Grant
from contracts.states import REVOCABLE, ContractState, GrantState
from exchange.members.models import Organization
from ledger.actions import deployments
from ledger.kinds import EntryKind
from ledger.models import ChainEvent
from ledger.proofs import grants

ENDED_ON_CHAIN = "提供方在链上撤销 · ended by its provider on the chain"
_GRANTED_IN = frozenset(
    {
        ContractState.SIGNING,
        ContractState.SIGNED,
        ContractState.FUNDED,
        ContractState.EFFECTIVE,
        ContractState.SUSPENDED,
    }
)


def follow_chain_events(*, now: datetime | None = None) -> int:
    """Make contracts follow what stands on the chain; returns how many changed.

    Idempotent: each contract in a transaction of its own, looked at again under its lock.
    """
    now = now or timezone.now()
    return _take_grants(now) + _end(now)


def _end(now: datetime) -> int:
    """End the contracts whose grant was revoked or whose terms were voided by their provider."""
    ended = 0
    standing = Grant.objects.filter(contract__state__in=[state.value for state in REVOCABLE])
    by_id = {grant.grant_id: grant for grant in standing.select_related("contract", "organization")}
    # A contract may also be ended before its grant was made: its terms are void for good.
    for contract, organization, event in [*_revoked(by_id), *_voided()]:
        ended += _end_one(contract, organization, event, now=now)
    return ended


def _revoked(by_id: dict[str, Grant]) -> Iterable[tuple[Contract, Organization, ChainEvent]]:
    for event in _events("Revoked").filter(arguments__id__in=list(by_id)):
        grant = by_id[event.arguments["id"]]
        yield grant.contract, grant.organization, event


def _voided() -> Iterable[tuple[Contract, Organization, ChainEvent]]:
    living = {"0x" + contract.terms_digest: contract for contract in Contract.objects.in_states(REVOCABLE)}
    for event in _events("Voided").filter(arguments__digest__in=list(living)):
        contract = living[event.arguments["digest"]]
        organization = _provider(contract, event.arguments["signer"])
        if organization is not None:
            yield contract, organization, event


@transaction.atomic
def _end_one(contract: Contract, organization: Organization, event: ChainEvent, *, now: datetime) -> bool:
    locked = moves.lock(contract)
    if ContractState(locked.state) not in REVOCABLE:
        return False
    moves.move(locked, ContractState.REVOKED, now=now, reason=ENDED_ON_CHAIN)
    Grant.objects.filter(contract=locked, organization=organization).update(state=GrantState.REVOKED.value)
    moves.note(
        locked,
        EntryKind.CONTRACT_REVOKED,
        issuer=organization.urn,
        payload={
            "organization": organization.urn,
            "chain_event": event.entry.urn,
            "transaction": event.transaction_hash,
            "event": event.name,
        },
        key=f"contract.revoked:{event.entry.urn}",
    )
    signals.contract_revoked.send(sender=Contract, contract=locked, organization=organization, now=now)
    lifecycle.advance_locked(locked, now=now)
    schedule.advance_later()
    return True


def _take_grants(now: datetime) -> int:
    """Take over grants that their provider sent to the chain itself, where they say what the terms say."""
    waiting = {
        grants.grant_id(grantor=party["chain_address"], terms_digest=contract.terms_digest): (contract, party)
        for contract in Contract.objects.in_states(_GRANTED_IN).prefetch_related("grants__organization")
        if contract.terms["evidence"]["chain"] == "required"
        for party in protocol.parties(contract.terms, "provider")
        if party["organization"] not in {grant.organization.urn for grant in contract.grants.all()}
    }
    taken = 0
    for event in _events("Granted").filter(arguments__id__in=list(waiting)):
        contract, party = waiting[event.arguments["id"]]
        taken += _take_one(contract, party, event, now=now)
    return taken


@transaction.atomic
def _take_one(contract: Contract, party: dict[str, Any], event: ChainEvent, *, now: datetime) -> bool:
    locked = moves.lock(contract)
    organization = _provider(locked, party["chain_address"])
    if organization is None or Grant.objects.filter(contract=locked, organization=organization).exists():
        return False
    if not says_what_the_terms_say(event, locked) or not locked.signatures.filter(organization=organization).exists():
        return False
    said = event.arguments
    document = {
        "chain_id": event.deployment.chain_id,
        "contract_address": event.deployment.contract_address,
        "grantor": party["chain_address"],
        "terms_digest": locked.terms_digest,
        "not_before": int(said["not_before"]),
        "not_after": int(said["not_after"]),
        "cap": int(said["cap"]),
        "transaction": event.transaction_hash,
    }
    Grant.objects.create(
        contract=locked,
        organization=organization,
        grant_id=said["id"],
        document=document,
        record_key=f"grant:{said['id']}",
        received=now,
    )
    moves.note(
        locked,
        EntryKind.CONTRACT_GRANTED,
        issuer=organization.urn,
        payload={"organization": organization.urn, "grant_id": said["id"], "cap": document["cap"]},
        key=f"contract.granted:{said['id']}",
    )
    lifecycle.advance_locked(locked, now=now)
    schedule.advance_later()
    return True


def says_what_the_terms_say(event: ChainEvent, contract: Contract) -> bool:
    """Whether a `Granted` event has the window and the cap of the contract."""
    terms, said = contract.terms, event.arguments
    window = [int(shapes.parse_time(terms["term"][name]).timestamp()) for name in ("effective_from", "effective_to")]
    return [said["not_before"], said["not_after"], said["cap"]] == [
        str(value) for value in (*window, terms["quota"]["total"])
    ]


def _provider(contract: Contract, address: str) -> Organization | None:
    """The provider of this contract whose chain address this is."""
    for party in protocol.parties(contract.terms, "provider"):
        if party["chain_address"].lower() == address.lower():
            parties = contract.parties.select_related("organization").filter(role="provider")
            return next((row.organization for row in parties if row.organization.urn == party["organization"]), None)
    return None


def _events(name: str) -> Any:
    """The events of one name on the chain we are on now, oldest first."""
    found = ChainEvent.objects.filter(Q(deployment=deployments.current_deployment()), name=name)
    return found.select_related("entry", "deployment").order_by("pk")
