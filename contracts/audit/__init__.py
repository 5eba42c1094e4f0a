"""Questions put to contracts and money as a whole: the books in themselves, and the rows against the log."""

from contracts.audit.books import findings
from contracts.audit.evidence import COUNTERPARTS

__all__ = ["COUNTERPARTS", "findings"]
