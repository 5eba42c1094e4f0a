"""The log in a durable PostgreSQL: appending through the real sequencer, bytes stored, proofs from its tiles."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks._timing import Demands, best, rate, seconds

BATCH = 1000
ROUNDS = 30  # the best of so many, in turn with the floor: PostgreSQL works in a process of its own
LEAST_OF_BARE = 0.25
LEAST_OF_SINGLE = 15
SUBJECT = "urn:hengshu:computation:01JD0000000000000000000001"
ISSUER = "urn:hengshu:org:01JD0000000000000000000000"
_TABLES = ("entry", "disclosure", "leaf", "tile", "checkpoint", "pending")


def run(demands: Demands) -> Iterator[tuple[str, str]]:
    yield from _appending(demands)
    yield from _bytes()
    yield from _proving()
    yield from _witness()


def record(number: int) -> None:
    """One fact, in the caller's transaction."""
    from ledger import actions
    from ledger.kinds import EntryKind

    payload = {"type": "benchmark", "number": number, "contract": SUBJECT}
    actions.record(kind=EntryKind.COMPUTATION_REQUESTED, subject=SUBJECT, issuer=ISSUER, payload=payload)


def fill(count: int = BATCH) -> None:
    """Put entries into the queue at once; only what happens to them afterwards is measured."""
    from ledger.kinds import EntryKind
    from ledger.models import Disclosure, Entry, Pending
    from ledger.proofs import leaves

    payload, salt = b'{"type":"benchmark"}', bytes(32)
    commit = leaves.commitment(payload, salt=salt)
    kind = EntryKind.COMPUTATION_REQUESTED
    entries = Entry.objects.bulk_create(
        [Entry(kind=kind, subject=SUBJECT, issuer=ISSUER, commit=commit) for _ in range(count)]
    )
    Disclosure.objects.bulk_create([Disclosure(entry=entry, payload=payload, salt=salt) for entry in entries])
    Pending.objects.bulk_create([Pending(entry=entry) for entry in entries])


def _appending(demands: Demands) -> Iterator[tuple[str, str]]:
    import rfc8785
    from django.db import transaction

    from ledger import actions
    from ledger.actions import log
    from ledger.models import Leaf
    from ledger.proofs import canonical

    fill()
    log.sequence()
    members = [canonical.parse(bytes(data)) for data in Leaf.objects.order_by("index").values_list("data", flat=True)]
    appended: list[float] = []
    bare: list[float] = []
    own: list[float] = []
    for _ in range(ROUNDS):  # in turn, so that all three have the same company
        bare.append(seconds(lambda: [hashlib.sha256(rfc8785.dumps(one)).digest() for one in members])[0])
        own.append(seconds(lambda: [hashlib.sha256(canonical.canonicalize(one)).digest() for one in members])[0])
        fill()
        appended.append(seconds(log.sequence)[0])
    floor, mine, append = (BATCH / min(found) for found in (bare, own, appended))
    yield "RFC 8785 (the library `rfc8785`) and SHA-256 of the same leaves", f"{floor:9,.0f} entries/s"
    yield "the same by `ledger.proofs.canonical`", f"{mine:9,.0f} entries/s"
    say = demands.check(append >= LEAST_OF_BARE * floor, f"{LEAST_OF_BARE:.0%} of the first")
    yield (
        f"appended: sequenced, hashed into tiles, committed, {BATCH:,} a commit",
        f"{append:9,.0f} entries/s   {append / floor:.0%} of the first, {append / mine:.0%} of the second   {say}",
    )

    def one_by_one() -> None:
        log.sequence(limit=1)

    fill()
    single = rate(one_by_one, span=2)
    say = demands.check(append >= LEAST_OF_SINGLE * single, f"×{LEAST_OF_SINGLE}")
    yield "appended one entry a commit", f"{single:9,.0f} entries/s   ×{append / single:.0f} slower   {say}"
    actions.seal()

    @transaction.atomic
    def together() -> None:
        for number in range(BATCH):
            record(number)

    recording, _ = seconds(together)
    yield f"recorded in the business transaction, {BATCH:,} a commit", f"{BATCH / recording:9,.0f} entries/s"
    actions.seal()
    alone = transaction.atomic(lambda: record(1))
    yield "recorded one a commit", f"{rate(alone, span=2):9,.0f} entries/s"
    sealed = rate(lambda: (alone(), actions.seal()), span=2)
    yield "recorded, sequenced and signed, one by one", f"{sealed:9,.0f} entries/s   three commits, two synced files"


def _bytes() -> Iterator[tuple[str, str]]:
    from django.db import connection

    from ledger.models import Entry

    count = Entry.objects.count()
    sizes = {}
    with connection.cursor() as cursor:
        for name in _TABLES:
            cursor.execute("SELECT pg_total_relation_size(%s)", [f"ledger_{name}"])
            sizes[name] = cursor.fetchone()[0] / count
    listed = ", ".join(f"{name} {size:,.0f}" for name, size in sizes.items())
    what = f"bytes stored per entry, indexes included ({count:,} entries)"
    yield what, f"{sum(sizes.values()):9,.0f} bytes   {listed}"


def _proving() -> Iterator[tuple[str, str]]:
    from ledger.models import Log, Tile
    from ledger.proofs import tiles
    from ledger.proofs.tile_cache import CachedTiles

    shard = Log.objects.get()
    read, choose = Tile.objects.reader(shard), random.Random(7).randrange
    making = rate(lambda: tiles.inclusion_path(index=choose(shard.size), size=shard.size, read=read))
    yield f"inclusion proof made, tiles from PostgreSQL ({shard.size:,} leaves)", f"{1000 / making:9.3f} ms"
    cached = CachedTiles(read)
    for index in range(0, shard.size, tiles.WIDTH):
        cached.inclusion_path(index=index, size=shard.size)
    making = rate(lambda: cached.inclusion_path(index=choose(shard.size), size=shard.size))
    yield "the same, tiles kept with their inner hashes", f"{1000 / making:9.3f} ms"


def _witness() -> Iterator[tuple[str, str]]:
    """A witness's own work over HTTP on loopback: verify, compare, store durably, cosign."""
    from django.conf import settings

    from ledger import actions
    from ledger.actions import witnessing
    from ledger.models import Log, Tile
    from ledger.proofs import tiles
    from tests.factories import witnesses

    shard = Log.objects.get()
    notes = []
    for _ in range(60):
        fill(5)
        checkpoint = actions.seal()
        notes.append((checkpoint.size, checkpoint.note))
    read = Tile.objects.reader(shard)

    def prove(old: int, new: int) -> Any:
        return tiles.consistency_proof(old_size=old, new_size=new, read=read)

    with witnesses.admitted(Path(settings.RUN_DIR) / "witness", log=shard, name="bench.example") as running:
        client = witnessing._client(running.row)
        known = [0, *(size for size, _ in notes)]

        def cosign_all() -> None:
            for before, (_, note) in zip(known, notes, strict=False):
                client.cosign(note, known_size=before, prove=prove)

        took = best(cosign_all, times=1)
    yield "checkpoints cosigned by one witness, one after the other", f"{len(notes) / took:9,.0f} /s"
