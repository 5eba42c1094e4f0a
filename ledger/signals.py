"""News of the ledger for the apps above, sent after the transaction it reports.

`chain_events_recorded` carries `deployment` (the ChainDeployment) and `count`. It is a wake-up and no more:
who listens reads the rows, and also has a pass that reads them when the wake-up was lost.
"""

from django.dispatch import Signal

chain_events_recorded = Signal()
