"""News from below: a contract that is revoked takes its computations with it."""

from datetime import datetime
from typing import Any

from compute.actions import computations
from contracts.models import Contract
from contracts.signals import contract_revoked


def withhold_running_work(sender: object, *, contract: Contract, now: datetime, **_: Any) -> None:
    """End what is under way under a revoked contract, in the revocation's own transaction; nothing is charged."""
    computations.withhold_all(contract=contract, now=now)


def connect() -> None:
    """Listen to the contracts app; called once when Django is ready."""
    contract_revoked.connect(withhold_running_work, dispatch_uid="compute.withhold_running_work")
