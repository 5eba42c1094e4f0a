"""What the chain reported of grants, carried over into the contracts: also when nobody asked us.

A provider may end its grant, void the terms, or grant their use with a transaction of its own. The ledger
writes each such event into the log; this pass reads the rows and makes the contracts follow. It looks at
what stands, not at what is new: nothing is marked as done, so nothing can be skipped.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.fields.json import KeyTextTransform
from django.utils import timezone

from compute.protocol import shapes
from compute.protocol import terms as protocol
from contracts import schedule, signals
from contracts.actions import lifecycle, moves
from contracts.models import Contract, Grant
from contracts.querysets import ContractQuerySet
from contracts.states import REVOCABLE, ContractState, GrantState
from exchange.members.models import Organization
from ledger.actions import deployments
from ledger.kinds import EntryKind
from ledger.models import ChainEvent

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
    return sum(
        _end_one(contract, organization, event, now=now) for contract, organization, event in [*_revoked(), *_voided()]
    )


def _revoked() -> Iterable[tuple[Contract, Organization, ChainEvent]]:
    standing = Grant.objects.filter(contract__state__in=[state.value for state in REVOCABLE])
    found = standing.filter(grant_id__in=_events("Revoked").values("named")).select_related("contract", "organization")
    by_id = {grant.grant_id: grant for grant in found}
    for event in _events("Revoked").filter(named__in=list(by_id)):
        grant = by_id[event.arguments["id"]]
        yield grant.contract, grant.organization, event


def _voided() -> Iterable[tuple[Contract, Organization, ChainEvent]]:
    """Also contracts without a grant: under void terms none can follow."""
    events = list(_events("Voided"))
    living = {
        "0x" + contract.terms_digest: contract
        for contract in _with_terms(event.arguments["digest"] for event in events).in_states(REVOCABLE)
    }
    for event in events:
        contract = living.get(str(event.arguments["digest"]))
        organization = _provider(contract, event.arguments["signer"]) if contract is not None else None
        if contract is not None and organization is not None:
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
    unknown = list(_events("Granted").exclude(named__in=Grant.objects.values("grant_id")))
    contracts = {
        "0x" + contract.terms_digest: contract
        for contract in _with_terms(event.arguments["terms_digest"] for event in unknown).in_states(_GRANTED_IN)
        if contract.terms["evidence"]["chain"] == "required"
    }
    return sum(
        _take_one(contracts[event.arguments["terms_digest"]], event, now=now)
        for event in unknown
        if event.arguments["terms_digest"] in contracts
    )


@transaction.atomic
def _take_one(contract: Contract, event: ChainEvent, *, now: datetime) -> bool:
    locked = moves.lock(contract)
    organization = _provider(locked, event.arguments["grantor"])
    if organization is None or Grant.objects.filter(contract=locked, organization=organization).exists():
        return False
    if not says_what_the_terms_say(event, locked) or not locked.signatures.filter(organization=organization).exists():
        return False
    said = event.arguments
    document = {
        "chain_id": event.deployment.chain_id,
        "contract_address": event.deployment.contract_address,
        "grantor": said["grantor"],
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


def _with_terms(digests: Iterable[str]) -> ContractQuerySet:
    return Contract.objects.filter(terms_digest__in={str(digest).removeprefix("0x") for digest in digests})


def _events(name: str) -> Any:
    """The events of one name on the chain we are on now, oldest first; `named` is the grant they are about."""
    found = ChainEvent.objects.filter(deployment=deployments.current_deployment(), name=name)
    named = found.annotate(named=KeyTextTransform("id", "arguments"))
    return named.select_related("entry", "deployment").order_by("pk")
