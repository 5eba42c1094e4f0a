"""The log's own succession: a new key within a shard, and the next shard under a new name and key.

Every step can be repeated: a command that was cut off anywhere is run again and finishes. Other sealers are
kept out meanwhile, and after a crash the key they hold does not fit the log, so they sign nothing.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from compute.protocol import key_documents, keyfiles
from compute.protocol.key_documents import Purpose
from compute.protocol.keyfiles import KeyFile
from exchange.kernel import identifiers
from ledger import keys
from ledger.actions import entries, key_life, log_keys
from ledger.actions import log as open_log
from ledger.errors import LogNotRotatable
from ledger.kinds import EntryKind
from ledger.models import Checkpoint, Entry, Log, Pending
from ledger.proofs import checkpoints, merkle, notes


def log_urn(origin: str) -> str:
    """The reference under which the log itself is the subject of entries."""
    return identifiers.make_urn("log", identifiers.ulid_of(origin))


def next_key_file() -> Path:
    """Where the log's next key waits until it is installed: beside the present one."""
    path = Path(settings.LOG_KEY_FILE)
    return path.with_name(f"{path.name.split('.', 1)[0]}.next.key.json")


def make_next_key() -> Path:
    """Make the log's next key file where there is none: a new Ed25519 key, and the account that sends anchors."""
    path = next_key_file()
    if not path.exists():
        fresh, present = keyfiles.generate("log"), keys.log_keys()
        keyfiles.save(replace(present, document=fresh.document), path)
    return path


def rotate_key(*, new: Path, issuer: str) -> Checkpoint:
    """Put a new key in the place of the open log's; the checkpoint of that size carries both signatures.

    Args:
        new: the new key file, beside LOG_KEY_FILE; `make_next_key` makes one.
        issuer: URN of the exchange.
    Returns: the checkpoint that both keys have signed.
    Raises:
        LogNotRotatable: the key has been a log's before, or belongs to another anchoring account.
        LogBehindSignedCheckpoint, SignedCheckpointMissing, LogKeyDiffers: as `log.seal`.
    Idempotent: a rotation that was cut off is finished; one that is done returns its checkpoint.
    """
    fresh = keyfiles.load(new)
    with open_log.alone():
        log = _open()
        vkey = notes.vkey(log.origin, fresh.document.public_key())
        entry = log_keys.rotation_to(vkey)
        if entry is None:
            present = _present_keys(log)
            _check_fresh(fresh, present=present)
            open_log.seal()
            entry = _hand_over(vkey, present, fresh, issuer=issuer)
        old_vkey = entries.payload_of(entry)["value"]
        old = _keys_for(log.origin, old_vkey)
        checkpoint = _sign_by_both(log.number, size=entry.leaf.index + 1, old=old, new=fresh)
        _install(new, kept=f"until-{log.number}-{checkpoint.size}")
    return checkpoint


def open_shard(*, origin: str, new: Path, issuer: str) -> Log:
    """End the open log and begin the next one, under a new name and key. There is no way back.

    The old log's last leaf names its successor, with both keys' signatures; its last checkpoint covers it.
    The new log's first leaf names its predecessor's size and root. The chain follows when it is told
    (`chain_shards`); until then what the new log seals waits for its anchor.

    Args:
        origin: the new log's name, such as hengshu.example/ledger/2027.
        new, issuer, Raises: as `rotate_key`.
    Idempotent: an opening that was cut off is finished; one that is done returns its log.
    """
    fresh = keyfiles.load(new)
    vkey = notes.vkey(origin, fresh.document.public_key())
    with open_log.alone():
        after = Log.objects.filter(origin=origin).first()
        if after is None:
            present = _present_keys(_open())
            _check_fresh(fresh, present=present)
            open_log.seal()
            after = _succeed(origin, vkey, present, fresh, issuer=issuer)
        elif after.vkey != vkey or after.number == 1:
            raise LogNotRotatable("A log of this name exists already; choose another name, such as one with the year.")
        before = Log.objects.get(number=after.number - 1)
        _sign(before.number, by=_keys_for(before.origin, before.vkey))
        _install(new, kept=f"until-{before.number}-{before.size}")
        _sign(after.number, by=fresh)
    return after


def revoke_key(*, vkey: str, reason: str, issuer: str) -> Entry:
    """Withdraw a key of the log by the exchange's word, for example because it was stolen.

    What it signs from then on is nobody's business: the caller opens the next shard at once, and the old
    one's end is fixed by its last checkpoint, its witnesses and the chain.

    Idempotent: a key is withdrawn once.
    """
    document = key_documents.revoke(
        organization=issuer,
        keys=[(Purpose.LOG, vkey)],
        reason=reason,
        by=keys.exchange_keys().document,
        created=timezone.now(),
    )
    subject = log_urn(notes.parse_vkey(vkey).name)
    with transaction.atomic():
        return key_life.record_revocation(
            subject=subject, issuer=issuer, purpose=Purpose.LOG, key=vkey, author="exchange", document=document
        )


def key_hash(vkey: str) -> str:
    """SHA-256 of a vkey's text, 64 hex characters: how the contract names a log's key."""
    return hashlib.sha256(vkey.encode()).hexdigest()


# --- steps ------------------------------------------------------------------------------------------------


@transaction.atomic
def _hand_over(vkey: str, present: KeyFile, fresh: KeyFile, *, issuer: str) -> Entry:
    log = open_log.lock_log()
    document = _hand_over_document(log, vkey, present, fresh, issuer=issuer)
    entry = key_life.record_rotation(
        subject=log_urn(log.origin), issuer=issuer, purpose=Purpose.LOG, old=log.vkey, new=vkey, document=document
    )
    _append(log, entry)
    log.vkey = vkey
    log.save(update_fields=["vkey"])
    return Entry.objects.with_evidence().get(pk=entry.pk)


@transaction.atomic
def _succeed(origin: str, vkey: str, present: KeyFile, fresh: KeyFile, *, issuer: str) -> Log:
    """Both ends in one transaction: nothing can be appended behind the last leaf or before the first."""
    before = open_log.lock_log()
    document = _hand_over_document(before, vkey, present, fresh, issuer=issuer)
    frozen = entries.record(
        kind=EntryKind.LOG_FROZEN,
        subject=log_urn(before.origin),
        issuer=issuer,
        payload={"origin": before.origin, "next_origin": origin, "next_vkey": vkey, "document": document},
        key=f"log-frozen:{before.number}",
    )
    _append(before, frozen)
    before.frozen_at = timezone.now()
    before.save(update_fields=["frozen_at"])
    after = Log.objects.create(
        number=before.number + 1, origin=origin, vkey=vkey, root=merkle.EMPTY_ROOT.hex(), epoch=before.epoch
    )
    opened = entries.record(
        kind=EntryKind.LOG_OPENED,
        subject=log_urn(origin),
        issuer=issuer,
        payload={"origin": origin, "vkey": vkey, "before": _end(before)},
        key=f"log-opened:{after.number}",
    )
    _append(after, opened)
    return after


@transaction.atomic
def _sign_by_both(number: int, *, size: int, old: KeyFile, new: KeyFile) -> Checkpoint:
    """The checkpoint that ends with the rotation's own leaf, under both keys."""
    log = Log.objects.select_for_update().get(number=number)
    found = log.checkpoints.filter(size=size).first()
    if found is not None:
        return found
    open_log.check_not_behind(log, newest=log.checkpoints.order_by("-size").first())
    root = open_log.root_of(log, size)
    signed = checkpoints.Checkpoint(origin=log.origin, size=size, root=root)
    note = checkpoints.sign(signed, key=new.document, extra_keys=[old.document])
    open_log.remember(note, number=number)
    return Checkpoint.objects.create(log=log, size=size, root=root.hex(), note=note)


@transaction.atomic
def _sign(number: int, *, by: KeyFile) -> None:
    log = Log.objects.select_for_update().get(number=number)
    if not log.checkpoints.filter(size__gte=log.size).exists():
        open_log.sign_log(log, by=by)


def _append(log: Log, entry: Entry) -> None:
    open_log.append(log, [entry])
    Pending.objects.filter(entry=entry).delete()


def _end(log: Log) -> dict[str, Any]:
    return {"origin": log.origin, "size": log.size, "root": log.root}


def _hand_over_document(log: Log, vkey: str, present: KeyFile, fresh: KeyFile, *, issuer: str) -> dict[str, Any]:
    return key_documents.rotate_ed25519(
        purpose=Purpose.LOG,
        organization=issuer,
        old=(log.vkey, present.document),
        new=(vkey, fresh.document),
        created=timezone.now(),
    )


# --- keys and files -----------------------------------------------------------------------------------------


def _open() -> Log:
    with transaction.atomic():
        return open_log.lock_log()


def _present_keys(log: Log) -> KeyFile:
    found = keys.log_keys()
    if notes.vkey(log.origin, found.document.public_key()) != log.vkey:
        raise LogNotRotatable("LOG_KEY_FILE does not hold the open log's key; put the right file in its place first.")
    return found


def _keys_for(origin: str, vkey: str) -> KeyFile:
    """The key file that holds a log's key: the one in place, or one kept beside it."""
    place = Path(settings.LOG_KEY_FILE)
    for path in [place, *sorted(place.parent.glob(f"{place.name.split('.', 1)[0]}.until-*.key.json"))]:
        found = keyfiles.load(path)
        if notes.vkey(origin, found.document.public_key()) == vkey:
            return found
    raise LogNotRotatable("The log's old key file is gone; restore it beside LOG_KEY_FILE, then run this again.")


def _check_fresh(fresh: KeyFile, *, present: KeyFile) -> None:
    """A log's key is a log's key once (C2SP tlog-policy), and anchors come from the account the chain knows."""
    raw = notes.parse_vkey(notes.vkey("any", fresh.document.public_key())).raw
    used = {notes.parse_vkey(window.key).raw for log in key_life.policy_logs() for window in log.keys}
    if raw in used or keys.exchange_keys().document_key == fresh.document_key:
        raise LogNotRotatable("This key is in use already, or was a log's before; leave out --new for a fresh one.")
    if fresh.chain_address != present.chain_address:
        raise LogNotRotatable(
            "The new file holds another chain key, which the contract would not let anchor; leave out --new for a "
            "file with a new log key and the same account."
        )


def _install(new: Path, *, kept: str) -> None:
    place = Path(settings.LOG_KEY_FILE)
    keys.install(new, at=place, keep_as=place.with_name(f"{place.name.split('.', 1)[0]}.{kept}.key.json"))
    if new == next_key_file():
        new.unlink(missing_ok=True)
