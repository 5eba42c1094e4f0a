"""Fsck: rebuild everything that can be rebuilt, and report what does not agree.

Reads only. A superuser of the database can lift every trigger; this finds what he left behind, and an
outside verifier with an older checkpoint finds what this cannot.

- `log`: entries, leaves, tiles, heads, checkpoints, cosignatures and disclosures, and the file outside
- `chain`: anchors, events and direct records with each other, and with the chain where one is configured
- `business`: what the apps' rows owe the log, and the log the rows
"""

from collections.abc import Iterator

from django.db.models import Count, Q

from ledger.audits import business, chain, log
from ledger.audits.findings import Finding, Progress, silent
from ledger.audits.log import adopt
from ledger.backends.base import LedgerBackend
from ledger.models import Anchor, ChainEvent, Checkpoint, Cosignature, Disclosure, Entry, Leaf, Tile

__all__ = ["Finding", "adopt", "audit", "audit_business", "audit_chain", "counts"]


def audit(progress: Progress = silent) -> list[Finding]:
    """Every disagreement of the log with itself; empty when all is well."""
    return list(log.check(progress))


def audit_chain(backend: LedgerBackend | None, progress: Progress = silent) -> Iterator[Finding]:
    """Every disagreement of our rows about the chain with the log and with each other, and with the chain itself.

    Args:
        backend: None where there is no chain to ask; then only rows are compared.
    """
    return chain.check(backend, progress)


def audit_business(progress: Progress = silent) -> Iterator[Finding]:
    """Everything single-sided: rows of the apps that no entry shows, and entries that no row stands behind."""
    return business.check(progress)


def counts() -> dict[str, int]:
    """How much there is to look at."""
    return {
        "entries": Entry.objects.count(),
        "leaves": Leaf.objects.count(),
        "tiles": Tile.objects.count(),
        "checkpoints": Checkpoint.objects.count(),
        "cosignatures": Cosignature.objects.count(),
        "anchors": Anchor.objects.count(),
        "chain_events": ChainEvent.objects.count(),
        "erased": Disclosure.objects.aggregate(n=Count("pk", filter=Q(payload__isnull=True)))["n"],
    }
