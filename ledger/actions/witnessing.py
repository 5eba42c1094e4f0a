"""Witnesses: who they are, and the round that asks each to cosign the newest checkpoint.

A witness signs only what extends the last checkpoint it saw. So two histories need two sets of witnesses,
and a policy that asks for more than half of them cannot be satisfied by both (C2SP tlog-witness).

The log never waits for a witness: a silent one is left alone for a while, the others are asked.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from exchange.kernel.errors import DomainError, InvalidInput
from ledger.actions import entries, log_keys, proofs
from ledger.actions import log as open_log
from ledger.kinds import EntryKind
from ledger.models import Checkpoint, Cosignature, Log, Tile, Witness
from ledger.proofs import checkpoints, cosignatures, notes, tiles, tlog_policy
from ledger.proofs.errors import VerificationError
from ledger.witness.client import Cosigned, WitnessClient
from ledger.witness.errors import WitnessRefused

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 3.0
REST = timedelta(seconds=20)  # how long a witness that did not answer is left alone
AT_ONCE = 8
HOLDS_OTHER = open_log.HELD_BY_WITNESS

ClientFor = Callable[[Witness], WitnessClient]


@dataclass(frozen=True, slots=True)
class WitnessRound:
    """What one round came to: the checkpoint's size, who cosigned it now, who did not and why."""

    size: int = 0
    cosigned: tuple[str, ...] = ()
    troubles: tuple[tuple[str, str], ...] = ()


@transaction.atomic
def admit_witness(*, name: str, vkey: str, url: str, issuer: str) -> Witness:
    """Ask this witness from now on; the fact is logged.

    Args:
        name: what pages call it; its key has a name of its own.
        vkey: its verifier key of type cosignature (0x04 or 0x06).
        url: its submission prefix.
        issuer: URN of the organisation that decides.
    Raises:
        InvalidInput: not a witness's key, or not an address; or a key that counts already, for another witness
            or for a log.
    Idempotent: the same key is admitted once; another address for it moves it there.
    """
    try:
        cosignatures.parse_vkey(vkey)
        WitnessClient(url, vkeys=[vkey])
        _check_fits_policy(vkey, url)
        _check_fits_table(name, vkey, url)
    except (VerificationError, ValueError) as error:
        raise InvalidInput(f"This is not a witness: {error}. Give its vkey and its http or https address.") from None
    found = Witness.objects.select_for_update(no_key=True).filter(vkey=vkey).first()
    if found is not None and found.withdrawn_at is None and (found.name, found.url) == (name, url):
        return found
    if found is None:
        try:
            with transaction.atomic():
                found = Witness.objects.create(name=name, vkey=vkey, url=url)
        except IntegrityError:
            raise InvalidInput("Another witness has this name or key; withdraw it first.") from None
    else:
        found.name, found.url, found.withdrawn_at = name, url, None
        found.save(update_fields=["name", "url", "withdrawn_at"])
    _record(EntryKind.WITNESS_ADMITTED, found, issuer=issuer)
    return found


@transaction.atomic
def withdraw_witness(*, witness: Witness, issuer: str) -> Witness:
    """Ask this witness no more; its cosignatures stay. Idempotent."""
    locked = Witness.objects.select_for_update(no_key=True).get(pk=witness.pk)
    if locked.withdrawn_at is None:
        locked.withdrawn_at = timezone.now()
        locked.save(update_fields=["withdrawn_at"])
        _record(EntryKind.WITNESS_WITHDRAWN, locked, issuer=issuer)
    return locked


def ask_witnesses(*, client_for: ClientFor | None = None, now: datetime | None = None) -> WitnessRound:
    """Ask every witness that has not cosigned the newest checkpoint yet.

    Idempotent and safe beside itself: a cosignature is kept once for each checkpoint and witness, and a
    witness that cosigned already cosigns the same checkpoint again. Never raises for a witness's sake.
    """
    checkpoint = proofs.latest_checkpoint()
    if checkpoint is None:
        return WitnessRound()
    moment = now or timezone.now()
    waiting = [
        witness
        for witness in Witness.objects.filter(withdrawn_at=None).exclude(cosignatures__checkpoint=checkpoint)
        if not (witness.trouble and witness.asked_at and moment - witness.asked_at < REST)
    ]
    make = client_for or _client
    if len(waiting) < 2:
        answers = [_ask(witness, checkpoint, make, moment) for witness in waiting]
    else:
        with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(waiting))) as pool:
            answers = list(pool.map(lambda one: _ask_aside(one, checkpoint, make, moment), waiting))
    return WitnessRound(
        size=checkpoint.size,
        cosigned=tuple(witness.name for witness, trouble in zip(waiting, answers, strict=True) if not trouble),
        troubles=tuple((witness.name, trouble) for witness, trouble in zip(waiting, answers, strict=True) if trouble),
    )


def quorum() -> int:
    """How many of the present witnesses a verifier is told to ask for."""
    return min(int(settings.LOG_WITNESS_QUORUM), Witness.objects.filter(withdrawn_at=None).count())


def has_quorum(checkpoint: Checkpoint) -> bool:
    """Whether enough of the present witnesses have cosigned a checkpoint for what verifiers are told to ask for."""
    wanted = quorum()
    return not wanted or checkpoint.cosignatures.filter(witness__withdrawn_at=None).count() >= wanted


def newest_cosigned(log: Log | int) -> Checkpoint | None:
    """The newest checkpoint of a log that has its quorum; the newest of all where none is asked for."""
    found = Checkpoint.objects.filter(log=log).select_related("log")
    wanted = quorum()
    if wanted:
        present = Cosignature.objects.filter(checkpoint=OuterRef("pk"), witness__withdrawn_at=None)
        found = found.filter(Exists(present[wanted - 1 : wanted]))  # newest first, so only the last few are looked at
    return found.order_by("-size").first()


def anchor_target(log: Log | int, *, now: datetime | None = None) -> Checkpoint | None:
    """The checkpoint to anchor next: the newest with its quorum; the newest of all when witnesses are late.

    So that one checkpoint carries both kinds of evidence. The chain does not wait for witnesses for more
    than LOG_WITNESS_PATIENCE_SECONDS.
    """
    newest = proofs.newest_of(log)
    cosigned = newest_cosigned(log)
    if newest is None or newest == cosigned:
        return newest
    patience = timedelta(seconds=settings.LOG_WITNESS_PATIENCE_SECONDS)
    late = Checkpoint.objects.filter(log=log, created__lt=(now or timezone.now()) - patience)
    if cosigned is not None:
        late = late.filter(size__gt=cosigned.size)
    return late.select_related("log").order_by("-size").first() or cosigned


def _ask_aside(witness: Witness, checkpoint: Checkpoint, make: ClientFor, now: datetime) -> str:
    """The same in a thread of its own, which closes the database connection it opened."""
    try:
        return _ask(witness, checkpoint, make, now)
    finally:
        connection.close()


def _ask(witness: Witness, checkpoint: Checkpoint, make: ClientFor, now: datetime) -> str:
    """Ask one witness and keep its answer; the code of the trouble, or "" when it cosigned."""
    log = checkpoint.log
    seen = witness.cosignatures.filter(checkpoint__log=log).order_by("-checkpoint__size").first()
    read = Tile.objects.reader(log)

    def prove(old_size: int, new_size: int) -> Sequence[bytes]:
        return tiles.consistency_proof(old_size=old_size, new_size=new_size, read=read)

    client = make(witness)
    try:
        answer = client.cosign(checkpoint.note, known_size=seen.checkpoint.size if seen else 0, prove=prove)
    except WitnessRefused as refusal:
        trouble = HOLDS_OTHER if _holds_other(client, log) else refusal.code
        logger.log(
            logging.CRITICAL if trouble == HOLDS_OTHER else logging.WARNING, "witness %s: %s", witness.name, trouble
        )
    except DomainError as refusal:
        trouble = refusal.code
        logger.warning("witness %s: %s", witness.name, trouble)
    else:
        trouble = _keep(witness, checkpoint, answer)
    # What was shown once stands until the witness cosigns again: falling silent takes nothing back.
    stands = HOLDS_OTHER if trouble and witness.trouble == HOLDS_OTHER else trouble
    Witness.objects.filter(pk=witness.pk).update(trouble=stands, asked_at=now)
    return trouble


def _holds_other(client: WitnessClient, log: Log) -> bool:
    """Whether a witness shows a checkpoint under the log's own key that the log's tree does not hold.

    Its word alone stops nobody. With our signature it says that we have signed what is not here any more:
    database and memory were restored together, or somebody else signs with the key.
    """
    try:
        note = client.checkpoint(log.origin)
        held = note and checkpoints.verify(note.encode(), keys=log_keys.vkeys_of(log), origin=log.origin)
    except (DomainError, VerificationError):
        return False
    if not held:
        return False
    now = Log.objects.get(pk=log.pk)  # after the answer: the tree may have grown meanwhile
    return held.size > now.size or open_log.root_of(now, held.size) != held.root


def _keep(witness: Witness, checkpoint: Checkpoint, answer: Cosigned) -> str:
    """Keep a cosignature; the code of the trouble where it states a time that no calendar has."""
    try:
        at = datetime.fromtimestamp(answer.at, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return "WITNESS_TIME_INVALID"
    Cosignature.objects.get_or_create(
        checkpoint=checkpoint, witness=witness, defaults={"line": "\n".join(answer.lines), "at": at}
    )
    return ""


def _check_fits_table(name: str, vkey: str, url: str) -> None:
    """ValueError for what the columns of `Witness` do not hold: an ML-DSA-44 key, which has 1,750 characters."""
    if len(name) > 128 or len(vkey) > 200 or len(url) > 300:
        raise ValueError("name, key or address is too long; take an Ed25519 key and shorter names")


def _check_fits_policy(vkey: str, url: str) -> None:
    """VerificationError unless a policy can list this witness beside those present: verifiers count keys, not names."""
    key = notes.parse_vkey(vkey)
    logs = [window.key for log in Log.objects.all() for window in log_keys.windows_of(log)]
    present = Witness.objects.filter(withdrawn_at=None).exclude(vkey=vkey).values_list("vkey", flat=True)
    others = [notes.parse_vkey(other) for other in present]
    if key.raw in {notes.parse_vkey(other).raw for other in logs} | {other.raw for other in others}:
        raise VerificationError("KEY_INVALID", "the key is another witness's or a log's already")
    if key.name in {other.name for other in others}:
        raise VerificationError("KEY_INVALID", "a witness of this key name is admitted with another key already")
    tlog_policy.format_text(
        tlog_policy.LogPolicy(witnesses={"w1": tlog_policy.Member(vkey, url)}, quorum=tlog_policy.NONE)
    )


def _client(witness: Witness) -> WitnessClient:
    return WitnessClient(witness.url, vkeys=[witness.vkey], timeout_seconds=TIMEOUT_SECONDS)


def _record(kind: EntryKind, witness: Witness, *, issuer: str) -> None:
    entries.record(
        kind=kind,
        subject=witness.urn,
        issuer=issuer,
        payload={"name": witness.name, "vkey": witness.vkey, "url": witness.url},
    )
