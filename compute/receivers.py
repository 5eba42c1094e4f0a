"""News from below: a contract that is revoked takes its computations with it."""

from typing import Any

from contracts.models import Contract
from contracts.signals import contract_revoked

from compute.actions import computations


def withhold_running_work(sender: object, *, contract: Contract, **_: Any) -> None:
    """End what is under way under a revoked contract; nothing is charged."""
    computations.withhold_all(contract=contract)


def connect() -> None:
    """Listen to the contracts app; called once when Django is ready."""
    contract_revoked.connect(withhold_running_work, dispatch_uid="compute.withhold_running_work")
