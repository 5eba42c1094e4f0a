"""The door to the ledger's rows for pages and API. What stands in the log is public; payloads are not."""

from ledger.errors import EntryNotFound
from ledger.models import Entry


def access_entry(ref: str) -> Entry:
    """The entry by its reference, for anyone.

    Raises:
        EntryNotFound: there is none.
    """
    entry = Entry.objects.filter(ref=ref).select_related("leaf").first()
    if entry is None:
        raise EntryNotFound("No entry by this reference; check the 26 characters, or search the log by subject.")
    return entry
