"""The asking side of a consistency check (`consistency.py`): the bank's own rows, its blinds, and the verdicts."""

from pathlib import Path
from typing import Any

from compute.engines import (
    answers,
    consistency,
    consistency_link,
    greeting,
    keeping,
    keyed_comparison,
    link,
    loading,
    oprf,
    ristretto,
)
from compute.engines.base import StageContext
from compute.engines.consistency import OFFICE
from compute.engines.errors import EngineRefused
from compute.engines.keyed_comparison import TAG, Blinds, Row
from ledger.proofs import canonical


def run(context: StageContext) -> bytes:
    """One run of the bank's node; returns the part with the verdicts."""
    wanted = context.parameters
    context.progress("read", 0)
    rows = _rows(context)
    fields = [field["theirs"] for field in wanted["fields"]]
    blinds = _blinds(context)
    with link.connect(context) as mesh:
        greeting.check_jobs(context, mesh)
        context.progress("ask", 10)
        missing = (wanted["rows"] - len(rows)) * (1 + len(fields))
        filling = [ristretto.multiply_base(ristretto.random_scalar()) for _ in range(missing)]
        consistency_link.send(mesh, OFFICE, [*keyed_comparison.ask(rows, fields, blinds), *filling])
        context.progress("answer", 50)
        count = wanted["rows"] * (1 + len(fields))
        answered = list(consistency_link.receive(mesh, OFFICE, count=count, size=ristretto.SIZE))
        tags = [_tags(mesh) for _ in fields]
    context.progress("compare", 80)
    own = answered[: len(rows) * (1 + len(fields))]
    verdicts = list(keyed_comparison.compare(own, tags, fields, blinds))
    document: dict[str, Any] = {
        "type": consistency.PACKED_TYPE,
        "rows": len(rows),
        "verdicts": consistency.pack(verdicts, rows=wanted["rows"]),
    }
    size = 1024 + len(document["verdicts"])
    return answers.write(document, engine=context.job["engine"], context=context, size=size)


def _rows(context: StageContext) -> list[Row]:
    """The bank's own rows in one form; no person twice, and neither too few nor too many of them."""
    directory, wanted = Path(str(context.dataset)), context.parameters
    names = [wanted["person"], *(field["own"] for field in wanted["fields"])]
    kinds = [field["kind"] for field in wanted["fields"]]
    meta = loading.load_meta(directory)
    rows = [keyed_comparison.canonical_row(cells, kinds) for cells in loading.records(directory, meta, names)]
    if not max(wanted["minimum_rows"], context.k) <= len(rows) <= wanted["rows"]:
        raise EngineRefused("BATCH_SIZE", "The table has fewer rows than a batch needs, or more than were requested.")
    if len({row.person for row in rows}) != len(rows):
        raise EngineRefused("GUESS_REPEATED", "The table names a person twice; each is compared once.")
    return rows


def _blinds(context: StageContext) -> Blinds:
    """The blinds of this month towards this office: the same for every run, or the office could not count guesses."""
    office = context.job["parties"][OFFICE]
    seed = keeping.secret(keeping.directory(context, "secrets") / "seed")
    purpose = canonical.encode(
        {"period": context.parameters["period"], "office": office.get("organization"), "table": office.get("dataset")}
    )
    return Blinds(
        person=oprf.derive_key(seed, b"person " + purpose, mode=oprf.Mode.OPRF),
        value=oprf.derive_key(seed, b"value " + purpose, mode=oprf.Mode.OPRF),
    )


def _tags(mesh: link.Mesh) -> dict[str, frozenset[bytes]]:
    """The office's tags of one field, in both kinds."""
    found = {}
    for kind in ("present", "equal"):
        size = int.from_bytes(mesh.exchange({OFFICE: b""})[OFFICE][:8], "big")
        found[kind] = frozenset(consistency_link.receive(mesh, OFFICE, count=size, size=TAG))
    return found
