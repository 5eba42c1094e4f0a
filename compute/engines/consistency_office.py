"""The answering side of a consistency check (`consistency.py`): what was compared, the answers, and its own tags."""

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from compute.engines import (
    answers,
    consistency_link,
    greeting,
    guesses,
    keeping,
    keyed_comparison,
    link,
    loading,
    ristretto,
)
from compute.engines.base import StageContext
from compute.engines.consistency import BANK
from compute.engines.errors import EngineRefused
from compute.engines.keyed_comparison import TAG, Row
from compute.engines.metadata import DatasetMeta

STORE = "guesses.sqlite"


def run(context: StageContext) -> bytes:
    """One run of the office's node; its part holds nothing."""
    wanted, directory = context.parameters, Path(str(context.dataset))
    fields = [field["theirs"] for field in wanted["fields"]]
    if wanted["rows"] < max(wanted["minimum_rows"], context.k):
        raise EngineRefused("BATCH_SIZE", "The batch is smaller than this node allows.")
    meta = loading.load_meta(directory)
    key = ristretto.random_scalar()
    with link.connect(context) as mesh:
        greeting.check_jobs(context, mesh)
        context.progress("ask", 10)
        count = wanted["rows"] * (1 + len(fields))
        asked = list(consistency_link.receive(mesh, BANK, count=count, size=ristretto.SIZE))
        _keep(context, asked, fields)
        context.progress("answer", 40)
        try:
            consistency_link.send(mesh, BANK, keyed_comparison.answer(asked, key))
        except ristretto.NotInGroup:
            raise EngineRefused("JOB_DIFFERS", "The requester sends what is no point of the group.") from None
        context.progress("own rows", 60)
        for tags in keyed_comparison.own_tags(_rows(context, directory, meta), fields, key):
            for found in (tags.present, tags.equal):
                _send_tags(mesh, found, size=meta.magnitude)
    return answers.write_nothing(engine=context.job["engine"], context=context)


def _keep(context: StageContext, asked: Sequence[bytes], fields: Sequence[str]) -> None:
    """One value for each person and field in a month, kept before anything is answered."""
    width = 1 + len(fields)
    kept = keeping.directory(context, "guesses")
    guesses.spend(
        kept / STORE,
        secret=keeping.secret(kept / "secret"),
        period=context.parameters["period"],
        asker=str(context.job["parties"][BANK].get("organization", "")),
        fields=fields,
        rows=(asked[start : start + width] for start in range(0, len(asked), width)),
    )


def _rows(context: StageContext, directory: Path, meta: DatasetMeta) -> Iterator[Row]:
    wanted = context.parameters
    names = [wanted["key"], *(field["theirs"] for field in wanted["fields"])]
    kinds = [field["kind"] for field in wanted["fields"]]
    for cells in loading.records(directory, meta, names):
        yield keyed_comparison.canonical_row(cells, kinds)


def _send_tags(mesh: link.Mesh, tags: Sequence[bytes], *, size: int) -> None:
    """Send tags in order, filled up to `size`, so that not even the number of empty cells is told."""
    filled = sorted([*tags, *(secrets.token_bytes(TAG) for _ in range(size - len(tags)))])
    mesh.exchange({BANK: size.to_bytes(8, "big")})
    consistency_link.send(mesh, BANK, filled)
