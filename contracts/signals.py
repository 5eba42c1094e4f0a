"""News of contracts for the apps above: sent by actions, inside their transaction.

Both carry `contract` (the Contract) and `now`; `contract_revoked` also `organization` (who revoked).
"""

from django.dispatch import Signal

contract_activated = Signal()
contract_revoked = Signal()
