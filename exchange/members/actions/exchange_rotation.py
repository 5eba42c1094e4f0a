"""The exchange's own document key changes hands: signed by old and new, logged, then put in place."""

from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from compute.protocol import key_documents, keyfiles
from exchange.members.actions import keys
from exchange.members.errors import KeyRotationInvalid
from exchange.members.exchange_keys import exchange_keys, exchange_organization
from exchange.members.states import KeyPurpose
from ledger import actions as ledger
from ledger import keys as own_keys


def next_key_file() -> Path:
    """Where the exchange's next key waits until it is installed: beside the present one."""
    path = Path(settings.EXCHANGE_KEY_FILE)
    return path.with_name(f"{path.name.split('.', 1)[0]}.next.key.json")


def make_next_key() -> Path:
    """Make the next key file where there is none: a new document key, and the account that administers the contract."""
    path = next_key_file()
    if not path.exists():
        fresh, present = keyfiles.generate("exchange"), exchange_keys()
        keyfiles.save(replace(present, document=fresh.document, sealing=fresh.sealing), path)
    return path


def rotate_exchange_key(*, new: Path) -> str:
    """Put a new document key in the place of the exchange's; returns it. The old file is kept beside it.

    The rotation is logged before the file changes. Between the two, and for what was on its way, the old key
    counts for `ledger.proofs.policies.HANDOVER` leaves more.

    Args:
        new: the new key file, in the directory of EXCHANGE_KEY_FILE; `make_next_key` makes one.
    Raises:
        KeyRotationInvalid: the file in place is not the registered key's, or the chain account differs.
        KeyTaken: the new key was registered before.
    Idempotent: a rotation that was cut off is finished by running it again.
    """
    organization, old, fresh = exchange_organization(), exchange_keys(), keyfiles.load(new)
    if old.chain_address != fresh.chain_address:
        raise KeyRotationInvalid(
            "The new file holds another chain key, which the contract would not obey; leave out --new for a file with "
            "a new document key and the same account."
        )
    if keys.valid_key(organization, KeyPurpose.DOCUMENT) != fresh.document_key:
        created = timezone.now()
        document = key_documents.rotate(organization=organization.urn, old=old, new=fresh, created=created)
        keys.rotate(organization=organization, document=document)
    ledger.seal()
    place = Path(settings.EXCHANGE_KEY_FILE)
    kept = place.with_name(f"{place.name.split('.', 1)[0]}.{key_documents.key_digest(old.document_key)[:16]}.key.json")
    own_keys.install(new, at=place, keep_as=kept)
    if new == next_key_file():
        new.unlink(missing_ok=True)
    return fresh.document_key
