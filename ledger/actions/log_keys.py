"""Which keys a log has had, and where in it each counts: read from the entries that handed them over."""

from compute.protocol.key_documents import key_digest
from ledger.actions import entries
from ledger.models import Entry, Log
from ledger.proofs.policies import Window


def rotation_name(key: str) -> str:
    """The business key of the entry by which a key came into its place."""
    return f"key-rotated:{key_digest(key)}"


def rotation_to(key: str) -> Entry | None:
    """The entry by which a key came into its place; None for one that was there from the beginning."""
    return Entry.objects.with_evidence().filter(key=rotation_name(key)).first()


def windows_of(log: Log) -> tuple[Window, ...]:
    """A log's keys, oldest first. The checkpoint of the size where one ends and the next begins carries both."""
    found: list[Window] = []
    key, until = log.vkey, None
    while True:
        entry = rotation_to(key)
        since = 0 if entry is None else entry.leaf.index + 1
        found.insert(0, Window(key, since, until))
        if entry is None:
            return tuple(found)
        key, until = entries.payload_of(entry)["value"], since


def vkeys_of(log: Log) -> list[str]:
    """Every key the log has had, oldest first."""
    return [window.key for window in windows_of(log)]
