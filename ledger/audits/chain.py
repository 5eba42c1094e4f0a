"""Our rows about the chain: with the log, with each other, and with the chain itself where there is one.

What the chain is asked: which contract stands there, its size and root, every event up to `events_through`, and
what became of every direct record that we call confirmed.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from exchange.kernel.errors import DomainError
from ledger.actions import chain_proofs, deployments
from ledger.audits import counterparts
from ledger.audits.findings import Finding, Progress, counted, silent
from ledger.backends.base import ChainRefused, ContractEvent, LedgerBackend
from ledger.models import (
    Anchor,
    AnchorAttempt,
    AttemptState,
    ChainDeployment,
    ChainEvent,
    ChainRecord,
    ChainRecordKind,
    ChainRecordState,
    Log,
    Tile,
)
from ledger.proofs import chain as proofs
from ledger.proofs import grants, tiles, typed_data
from ledger.proofs.errors import VerificationError

CHUNK = 2000
STEP_BLOCKS = 2_000
ANCHORED = "Anchored"

Root = Callable[[int, int], str]  # of a log by its number and a size; empty where the log has none


def check(backend: LedgerBackend | None, progress: Progress = silent) -> Iterator[Finding]:
    """Every disagreement; without a backend only rows are compared."""
    yield from _check_rows(progress)
    if backend is None or not ChainDeployment.objects.exists():
        return
    try:
        deployment = deployments.check_deployment(backend)
        yield from _check_head(backend, deployment)
        yield from _check_events(backend, deployment, progress)
        yield from _check_records(backend, deployment, progress)
    except DomainError as error:
        yield Finding(error.code, "the chain", f"of CHAIN_RPC_URL ({error.code.lower().replace('_', ' ')})")


def _check_rows(progress: Progress) -> Iterator[Finding]:
    """Every anchor and attempt is of a root of ours, and what proves an anchor holds."""
    yield from _check_words()
    root = _roots()
    rows = Anchor.objects.select_related("deployment").order_by("deployment__epoch", "log_id", "size")
    for anchor in counted(rows.iterator(chunk_size=CHUNK), "anchors", progress):
        ref = f"{anchor.deployment.epoch}/{anchor.log_id}/{anchor.size}"
        if root(anchor.log_id, anchor.size) != anchor.root:
            yield Finding("ANCHOR_DIFFERS_FROM_LOG", "ledger_anchor", ref)
        elif anchor.proof is not None and not _proves(anchor):
            yield Finding("ANCHOR_PROOF_INVALID", "ledger_anchor", ref)
    for attempt in AnchorAttempt.objects.order_by("pk").iterator(chunk_size=CHUNK):
        ref = str(attempt.pk)
        if not _is_own(attempt.raw_transaction, attempt.transaction_hash):
            yield Finding("TRANSACTION_DIFFERS", "ledger_anchorattempt", ref)
        if root(attempt.log_id, attempt.new_size) != attempt.root:
            yield Finding("ANCHOR_DIFFERS_FROM_LOG", "ledger_anchorattempt", ref)
    sent = ChainRecord.objects.exclude(raw_transaction="").order_by("pk")
    for record in counted(sent.iterator(chunk_size=CHUNK), "chain records", progress):
        if not _is_own(record.raw_transaction, record.transaction_hash):
            yield Finding("TRANSACTION_DIFFERS", "ledger_chainrecord", str(record.pk))


def _check_words() -> Iterator[Finding]:
    """A state or kind that is no word would drop out of every question below."""
    for model, field, words in (
        (AnchorAttempt, "state", AttemptState.values),
        (ChainRecord, "state", ChainRecordState.values),
        (ChainRecord, "kind", ChainRecordKind.values),
    ):
        strange = model._default_manager.exclude(**{f"{field}__in": words}).order_by("pk")  # noqa: SLF001  Django documents it
        for pk in strange.values_list("pk", flat=True):
            yield Finding("WORD_UNKNOWN", counterparts.table_of(model), str(pk))


def _roots() -> Root:
    readers = {number: Tile.objects.reader(number) for number in Log.objects.values_list("number", flat=True)}
    sizes = dict(Log.objects.values_list("number", "size"))

    @lru_cache(maxsize=256)
    def root(log: int, size: int) -> str:
        if not 0 < size <= sizes.get(log, 0):
            return ""
        try:
            return tiles.root(size=size, read=readers[log]).hex()
        except VerificationError:
            return ""

    return root


def _proves(anchor: Anchor) -> bool:
    trusted = chain_proofs.trusted_chain(anchor.deployment)
    try:
        block = proofs.check_root(
            anchor.proof or {}, chain=trusted, shard=anchor.log_id, size=anchor.size, root=anchor.root
        )
    except VerificationError:
        return False
    return block.number != anchor.block_number or block.hash == anchor.block_hash


def _is_own(raw: str, transaction_hash: str) -> bool:
    """Whether signed bytes are called what they hash to; the chain kept in memory has another form."""
    return raw.startswith("{") or _hash_of(raw) == transaction_hash


def _hash_of(raw: str) -> str:
    try:
        return "0x" + typed_data.keccak256(bytes.fromhex(raw.removeprefix("0x"))).hex()
    except ValueError:
        return ""


def _check_head(backend: LedgerBackend, deployment: ChainDeployment) -> Iterator[Finding]:
    """The size and root that the contract holds now are ours."""
    head = backend.anchored(deployment.contract_address)
    if head.size and _roots()(head.shard, head.size) != head.root:
        yield Finding("CHAIN_HEAD_DIFFERS", "the contract", f"{deployment.epoch}/{head.shard}/{head.size}")


def _check_events(backend: LedgerBackend, deployment: ChainDeployment, progress: Progress) -> Iterator[Finding]:
    """Every event of the chain has its row, and every row its event, block range by block range."""
    root = _roots()
    newest = backend.block_number()
    through = min(deployment.events_through, newest)
    anchored: set[tuple[int, int]] = set()
    for start in range(0, newest + 1, STEP_BLOCKS):
        end = min(newest, start + STEP_BLOCKS - 1)
        progress("blocks", end + 1)
        events = backend.events(deployment.contract_address, from_block=start, to_block=end)
        others = [event for event in events if event.name != ANCHORED and event.block_number <= through]
        rows = ChainEvent.objects.filter(deployment=deployment, block_number__range=(start, end))
        yield from _compare_events(others, {_place(row): row for row in rows})
        for event in events:
            if event.name == ANCHORED:
                yield from _check_anchored(deployment, event, anchored, root)
    beyond = ChainEvent.objects.filter(deployment=deployment, block_number__gt=newest)
    for pk in beyond.order_by("pk").values_list("pk", flat=True):
        yield Finding("EVENT_NOT_ON_CHAIN", "ledger_chainevent", str(pk))
    for row in deployment.anchors.order_by("log_id", "size").iterator(chunk_size=CHUNK):
        if (row.log_id, row.size) not in anchored:
            yield Finding("ANCHOR_NOT_ON_CHAIN", "ledger_anchor", f"{deployment.epoch}/{row.log_id}/{row.size}")


def _compare_events(events: list[ContractEvent], rows: Mapping[Any, ChainEvent]) -> Iterator[Finding]:
    seen = set()
    for event in events:
        place = (event.transaction_hash, event.log_index)
        row = rows.get(place)
        seen.add(place)
        if row is None:
            yield Finding("CHAIN_EVENT_WITHOUT_ROW", "the contract", f"{event.block_number} {event.transaction_hash}")
        elif _said(row) != (event.name, event.arguments, event.block_number, event.block_hash):
            yield Finding("EVENT_DIFFERS_FROM_CHAIN", "ledger_chainevent", str(row.pk))
    for place, row in rows.items():
        if place not in seen:
            yield Finding("EVENT_NOT_ON_CHAIN", "ledger_chainevent", str(row.pk))


def _place(row: ChainEvent) -> tuple[str, int]:
    return row.transaction_hash, row.log_index


def _said(row: ChainEvent) -> tuple[Any, ...]:
    return row.name, row.arguments, row.block_number, row.block_hash


def _check_anchored(
    deployment: ChainDeployment, event: ContractEvent, seen: set[tuple[int, int]], root: Root
) -> Iterator[Finding]:
    """An anchor's event names a root of ours, and our row the same block."""
    place = (int(event.arguments["shard"]), int(event.arguments["size"]))
    seen.add(place)
    ref = f"{deployment.epoch}/{place[0]}/{place[1]}"
    row = deployment.anchors.filter(log_id=place[0], size=place[1]).first()
    if row is None:
        if "0x" + root(*place) != event.arguments["root"]:
            yield Finding("CHAIN_ROOT_DIFFERS", "the contract", ref)
        return
    held = ("0x" + row.root, row.block_number, row.block_hash, row.transaction_hash)
    if held != (event.arguments["root"], event.block_number, event.block_hash, event.transaction_hash):
        yield Finding("ANCHOR_DIFFERS_FROM_CHAIN", "ledger_anchor", ref)


def _check_records(backend: LedgerBackend, deployment: ChainDeployment, progress: Progress) -> Iterator[Finding]:
    """What we call confirmed has had its effect; of the totals of one grant the largest is asked for."""
    rows = ChainRecord.objects.filter(deployment=deployment, state=ChainRecordState.CONFIRMED).order_by("pk")
    metered: Counter[str] = Counter()
    refs: dict[str, str] = {}
    for record in counted(rows.iterator(chunk_size=CHUNK), "confirmed chain records", progress):
        if record.kind == ChainRecordKind.METER:
            grant_id, used = record.payload.get("grant_id", ""), record.payload.get("used", 0)
            if used >= metered[grant_id]:
                metered[grant_id], refs[grant_id] = used, str(record.pk)
        elif not _took_effect(backend, deployment, record):
            yield Finding("RECORD_DIFFERS_FROM_CHAIN", "ledger_chainrecord", str(record.pk))
    for grant_id, used in metered.items():
        found = backend.grant(deployment.contract_address, grant_id) if _is_id(grant_id) else None
        if found is None or found.used < used:
            yield Finding("RECORD_DIFFERS_FROM_CHAIN", "ledger_chainrecord", refs[grant_id])


def _took_effect(backend: LedgerBackend, deployment: ChainDeployment, record: ChainRecord) -> bool:
    """Whether the chain holds what a record asked for, and the record still says what its owner signed."""
    payload, address = record.payload, deployment.contract_address
    place: dict[str, Any] = {"chain_id": deployment.chain_id, "contract_address": address}
    try:
        if record.kind == ChainRecordKind.VOID:
            digest = grants.void_digest(**place, signer=payload["signer"], statement_digest=payload["digest"])
            typed_data.verify(digest, payload["signature"], signer=payload["signer"])
            return backend.is_voided(address, signer=payload["signer"], digest=payload["digest"])
        if record.kind == ChainRecordKind.REVOKE:
            found = backend.grant(address, payload["grant_id"])
            if found is None or record.key != f"revoke:{payload['grant_id']}":
                return False
            digest = grants.revoke_digest(**place, grant=payload["grant_id"])
            typed_data.verify(digest, payload["signature"], signer=found.grantor)
            return found.revoked_at > 0
        grants.verify_grant({**place, **payload}, grantor=payload["grantor"])
        grant_id = grants.grant_id(grantor=payload["grantor"], terms_digest=payload["terms_digest"])
        held = backend.grant(address, grant_id)
        wanted = tuple(payload[name] for name in ("terms_digest", "not_before", "not_after", "cap"))
    except (KeyError, TypeError, ValueError, VerificationError, ChainRefused):  # a changed row may hold anything
        return False
    if held is None or record.key != f"grant:{grant_id}":
        return False
    return (held.terms_digest.removeprefix("0x"), held.not_before, held.not_after, held.cap) == wanted


def _is_id(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 66 and text.startswith("0x")
