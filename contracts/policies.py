"""What a contract allows, asked before anything is set aside. Who you are is asked elsewhere.

Each check raises its own stable code; all of them take `now`, none reads the clock.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from compute.protocol import operations, shapes
from compute.protocol import terms as protocol
from compute.protocol.operations import ParametersOutOfTerms
from contracts import pricing
from contracts.errors import (
    ColumnNotGranted,
    ContractNotEffective,
    ContractRevoked,
    EscrowTooLow,
    MeterExhausted,
    OperationNotAllowed,
    PurposeNotAllowed,
)
from contracts.models import Account, Contract
from contracts.postings import AccountKind
from contracts.states import ContractState
from exchange.members.actions import key_revocations


def check_effective(contract: Contract, *, now: datetime) -> None:
    """Raise unless the contract is in force at this moment.

    Raises:
        ContractRevoked: a provider has revoked it.
        ContractNotEffective: in another state than effective, or outside its term.
        KeyRevoked: a key that a party signed it with, or that it names, was withdrawn.
    """
    if contract.state == ContractState.REVOKED:
        raise ContractRevoked("A provider has revoked this contract; propose a new one.")
    if contract.state != ContractState.EFFECTIVE:
        raise ContractNotEffective(
            f"The contract is {contract.state}, not effective; see its page for what is missing."
        )
    term = contract.terms["term"]
    if not shapes.parse_time(term["effective_from"]) <= now < shapes.parse_time(term["effective_to"]):
        raise ContractNotEffective("The contract's term does not hold this moment; propose a new one.")
    key_revocations.check_none_revoked(protocol.keys(contract.terms))


def check_can_request(
    contract: Contract, *, operation: str, parameters: Mapping[str, Any], purpose: str, now: datetime
) -> None:
    """Raise unless this use is within the terms, and quota and escrow would cover one run.

    Quota and money are only looked at here; `meters.reserve` decides them under its own lock.

    Raises:
        ContractNotEffective, ContractRevoked, PurposeNotAllowed, OperationNotAllowed, ColumnNotGranted,
        MeterExhausted, EscrowTooLow; DocumentInvalid for parameters of a wrong shape.
    """
    check_effective(contract, now=now)
    terms = contract.terms
    if purpose != terms["purpose"]["code"]:
        raise PurposeNotAllowed(f"This contract serves the purpose {terms['purpose']['code']} only.")
    if operation not in terms["computation"]["operations"]:
        raise OperationNotAllowed(f"This contract allows {', '.join(terms['computation']['operations'])} only.")
    try:
        operations.check_parameters(operation, parameters, terms=terms)
    except ParametersOutOfTerms as error:
        raise ColumnNotGranted(error.message) from error
    if contract.meter.left < 1:
        raise MeterExhausted("No run is left of the quota; agree on a new contract.")
    price_fen = pricing.price_of(terms, 1)
    if Account.objects.balance_of(contract, AccountKind.ESCROW) < price_fen:
        raise EscrowTooLow(f"A run costs {price_fen} fen and the escrow holds less; deposit more.")


def can_request(contract: Contract, *, now: datetime) -> bool:
    """Whether one more run would be allowed by state, term, quota and escrow."""
    try:
        check_effective(contract, now=now)
    except (ContractNotEffective, ContractRevoked):
        return False
    escrow_fen = Account.objects.balance_of(contract, AccountKind.ESCROW)
    return contract.meter.left >= 1 and escrow_fen >= pricing.price_of(contract.terms, 1)
