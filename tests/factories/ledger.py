"""Log keys for tests, and facts to record."""

import shutil
from pathlib import Path

from django.db import transaction

from compute.protocol import keyfiles
from ledger import actions as ledger
from ledger.kinds import EntryKind
from ledger.models import Entry

EXCHANGE = "urn:hengshu:org:01JD0000000000000000000000"
SUBJECT = "urn:hengshu:computation:01JD0000000000000000000001"


def exchange_key_files(settings, directory: Path) -> None:
    """Give the exchange and its log fresh key files, and with them a fresh memory of what was signed."""
    source = _cached_key_files()
    for setting, name in (("EXCHANGE_KEY_FILE", "exchange.key.json"), ("LOG_KEY_FILE", "log.key.json")):
        path = directory / name
        shutil.copy(source / name, path)
        path.chmod(0o600)
        setattr(settings, setting, path)
    # None yet, whatever another test's `init_exchange` has made: without it revocations go from the exchange's account.
    settings.REVOCATION_KEY_FILE = directory / "revocation.key.json"


def record(count: int = 1, *, subject: str = SUBJECT, kind: EntryKind = EntryKind.COMPUTATION_REQUESTED) -> list[Entry]:
    """Record facts that differ only in a number, each in its own transaction."""
    entries = []
    for number in range(count):
        with transaction.atomic():
            entries.append(ledger.record(kind=kind, subject=subject, issuer=EXCHANGE, payload={"number": number}))
    return entries


def _cached_key_files() -> Path:
    """Key files made once for each test run: scrypt-free, but still a dozen fsyncs a thousand times over."""
    from django.conf import settings

    directory = Path(settings.RUN_DIR) / "test-keys"
    if not directory.exists():
        for name in ("exchange", "log"):
            keyfiles.save(keyfiles.generate(name), directory / f"{name}.key.json")
    return directory
