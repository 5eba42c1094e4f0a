"""The ledger: appending in large and single commits against bare hashing; proofs at 10^5 leaves; one receipt."""

import functools
import hashlib
import random
from collections.abc import Iterator

from tests.benchmarks import _exchange
from tests.benchmarks._timing import best, rate, seconds

BATCH = 1000
LEAVES = 100_000
SUBJECT = "urn:hengshu:computation:01JD0000000000000000000001"
ISSUER = "urn:hengshu:org:01JD0000000000000000000000"


def run() -> Iterator[tuple[str, str]]:
    _exchange.start()
    yield from _appending()
    yield from _proofs()
    yield from _receipt()


def _appending() -> Iterator[tuple[str, str]]:
    from django.db import transaction

    from ledger import actions
    from ledger.proofs import canonical

    payloads = [{"type": "benchmark", "number": number, "contract": SUBJECT} for number in range(BATCH)]
    bare = best(lambda: [hashlib.sha256(canonical.canonicalize(payload)).digest() for payload in payloads])
    yield "canonical JSON + SHA-256 alone", f"{BATCH / bare:9,.0f} entries/s"

    @transaction.atomic
    def record() -> None:
        for payload in payloads:
            _record(payload)

    recording, _ = seconds(record)
    sealing, _ = seconds(actions.seal)
    yield (
        f"recorded in the business transaction, {BATCH:,} a commit",
        f"{BATCH / recording:9,.0f} entries/s   1/{recording / bare:.0f} of bare hashing",
    )
    yield (
        f"sequenced, hashed into tiles, signed, {BATCH:,} a commit",
        f"{BATCH / sealing:9,.0f} entries/s   1/{sealing / bare:.0f} of bare hashing",
    )
    yield (
        "both together",
        f"{BATCH / (recording + sealing):9,.0f} entries/s   1/{(recording + sealing) / bare:.0f} of bare hashing",
    )
    numbers = iter(payloads * 100)
    alone = transaction.atomic(lambda: _record(next(numbers)))
    yield "recorded one a commit", f"{rate(alone, span=2):9,.0f} entries/s"
    sealed = rate(lambda: (alone(), actions.seal()), span=2)
    yield (
        "recorded, then sequenced and signed, one by one",
        f"{sealed:9,.0f} entries/s   three commits, two synced files",
    )


def _record(payload: dict) -> None:
    from ledger import actions
    from ledger.kinds import EntryKind

    actions.record(kind=EntryKind.COMPUTATION_REQUESTED, subject=SUBJECT, issuer=ISSUER, payload=payload)


def _proofs() -> Iterator[tuple[str, str]]:
    """Paths from tiles in PostgreSQL (put there whole: the benchmark's log is thrown away) and in memory."""
    import pgtrigger
    from django.db import connection

    from ledger.actions.log import open_first
    from ledger.models import Tile
    from ledger.proofs import merkle, tiles

    hashes = [merkle.leaf_hash(b"%d" % number) for number in range(LEAVES)]
    building, stored = seconds(lambda: tiles.append(size=0, leaf_hashes=hashes, read=lambda level, index: b""))
    yield f"tree of {LEAVES:,} leaves built in memory", f"{LEAVES / building:9,.0f} leaves/s"
    with pgtrigger.ignore(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE ledger_tile")
    shard = open_first()
    Tile.objects.bulk_create(
        [Tile(log=shard, level=level, index=index, data=data) for (level, index), data in stored.items()]
    )
    root = tiles.root(size=LEAVES, read=lambda level, index: stored[level, index])
    choose = random.Random(7).randrange

    def prove(read: tiles.Reader) -> tuple[int, list[bytes]]:
        index = choose(LEAVES)
        return index, tiles.inclusion_path(index=index, size=LEAVES, read=read)

    proofs = [prove(lambda level, index: stored[level, index]) for _ in range(200)]
    some = iter(proofs * 1000)

    def verify() -> None:
        index, path = next(some)
        merkle.verify_inclusion(index=index, size=LEAVES, leaf_hash=hashes[index], path=path, root=root)

    yield "inclusion proof made, tiles in memory", f"{rate(lambda: prove(lambda *place: stored[place])):9,.0f}/s"
    yield (
        "inclusion proof made, tiles read from PostgreSQL",
        f"{rate(lambda: prove(Tile.objects.reader(shard))):9,.0f}/s",
    )
    yield "inclusion proof verified", f"{rate(verify):9,.0f}/s"


def _receipt() -> Iterator[tuple[str, str]]:
    from ledger.proofs import receipts
    from tests.factories.receipts import Purchase

    for evidence, purchase in (
        ("log alone", Purchase()),
        ("3 witnesses, root and grants, 4 seals", Purchase(witnesses=3, quorum=2, chain="sealed")),
    ):
        bundle, policy = purchase.bundle(), purchase.policy
        verifying = best(functools.partial(receipts.verify, bundle, policy=policy), times=20)
        yield f"receipt verified, {len(bundle) / 1024:.0f} kB: {evidence}", f"{verifying * 1000:9.1f} ms"
