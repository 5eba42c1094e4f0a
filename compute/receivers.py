"""News from below: a contract or a key that is revoked takes its computations with it."""

from datetime import datetime
from typing import Any

from compute.actions import computations
from compute.models import Computation
from compute.protocol import terms
from compute.states import RUNNING, ComputationState
from contracts.models import Contract
from contracts.signals import contract_revoked
from exchange.members.models import SigningKey
from exchange.members.signals import key_revoked


def withhold_running_work(sender: object, *, contract: Contract, now: datetime, **_: Any) -> None:
    """End what is under way under a revoked contract, in the revocation's own transaction; nothing is charged."""
    computations.withhold_all(contract=contract, now=now)


def withhold_signed_work(sender: object, *, key: SigningKey, now: datetime, **_: Any) -> None:
    """End what is under way under contracts that name a withdrawn key, in the withdrawal's own transaction.

    Of the exchange's own document key: everything that it has sent out or was about to.
    """
    contracts = Contract.objects.filter(parties__organization=key.organization).distinct()
    found = [contract for contract in contracts if key.value in terms.keys(contract.terms)]
    if key.organization.is_exchange:
        running = Computation.objects.in_states(RUNNING | {ComputationState.AUTHORIZED})
        signed = running.filter(authorization__job__proof__0__verificationMethod__startswith=f"{key.value}#")
        found = list(Contract.objects.filter(pk__in=signed.values("contract")))
    for contract in found:
        computations.withhold_all(contract=contract, now=now, code="KEY_REVOKED")


def connect() -> None:
    """Listen to the contracts app; called once when Django is ready."""
    contract_revoked.connect(withhold_running_work, dispatch_uid="compute.withhold_running_work")
    key_revoked.connect(withhold_signed_work, dispatch_uid="compute.withhold_signed_work")
