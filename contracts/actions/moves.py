"""The one way a contract changes state, and the evidence of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts.models import Contract
from contracts.states import CONTRACT, ContractState
from exchange.kernel.errors import InvalidTransition
from exchange.members.exchange_keys import exchange_organization
from ledger import actions as ledger
from ledger.kinds import EntryKind


def lock(contract: Contract) -> Contract:
    """Take a contract for this transaction, as it is now."""
    return Contract.objects.locked().select_related("buyer").get(pk=contract.pk)


def move(contract: Contract, to: ContractState, *, now: datetime, reason: str = "") -> None:
    """Change the state of a locked contract.

    Raises:
        InvalidTransition: the table does not lead there, or somebody else was faster.
    """
    current = ContractState(contract.state)
    CONTRACT.check(current, to)
    values = {"state": to.value, "state_since": now, "end_reason": reason or contract.end_reason}
    if not Contract.objects.filter(pk=contract.pk, state=current.value).update(**values):
        raise InvalidTransition(f"The contract is no longer {current}; look at it again.")
    for name, value in values.items():
        setattr(contract, name, value)


def note(
    contract: Contract,
    kind: EntryKind,
    *,
    issuer: str | None = None,
    payload: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> None:
    """Record a fact about a contract; the exchange is the issuer unless another is named."""
    ledger.record(
        kind=kind,
        subject=contract.urn,
        issuer=issuer or exchange_organization().urn,
        payload={"contract": contract.urn, "terms_digest": contract.terms_digest, **(payload or {})},
        key=key,
    )
