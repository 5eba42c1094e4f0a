"""The requester's side of a private look-up (`lookup.py`): papers, blinded questions, opening, comparison."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.engines import (
    answers,
    encrypted_table,
    greeting,
    identifiers,
    keeping,
    link,
    loading,
    lookup_papers,
    oprf,
    ristretto,
)
from compute.engines.base import StageContext
from compute.engines.encrypted_table import ENTRY, Record
from compute.engines.errors import EngineRefused
from compute.engines.lookup_papers import OWNER, exchange
from compute.protocol import shapes
from exchange.kernel.errors import DomainError

_BYTES_A_SUBJECT = 1024  # of the part: two full pieces of the table and what stands around them
_NO_BYTES = b""
_ANNOUNCEMENT = shapes.members(
    {"name": shapes.HEX64, "sha256": shapes.HEX64, "entries": shapes.integer(1, 2**40), "key": shapes.HEX64}
)


@dataclass(frozen=True, slots=True)
class Question:
    """One row of the requester's table: whom it names, and how many records that person has declared."""

    person: str
    declared: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """The owner's table as it lies at the requester's, and the public key that it was announced with."""

    path: Path
    key: bytes


def run(context: StageContext) -> bytes:
    """One run of the requester's node; returns the part with the answer."""
    context.progress("papers", 0)
    questions = read_questions(context)
    persons = list(dict.fromkeys(question.person for question in questions))
    _check_persons(context, persons)
    releases = lookup_papers.read_releases(context)
    with link.connect(context) as mesh:
        greeting.check_jobs(context, mesh)
        exchange(mesh, OWNER, json.dumps(releases).encode())
        table = _take_table(context, mesh)
        context.progress("query", 60)
        found = _ask(context, mesh, persons, table)
    context.progress("compare", 90)
    letter = context.parameters["letter"]
    document = {
        "type": lookup_papers.RESULT_TYPE,
        "letter": letter["number"],
        "batch": letter["batch"],
        "columns": list(context.parameters["columns"]),
        "table_sha256": table.path.stem,
        "owner_key": table.key.hex(),
        "answers": [answer(number, one, found[one.person]) for number, one in enumerate(questions, start=1)],
    }
    size = _BYTES_A_SUBJECT * (1 + context.parameters["subjects"])
    return answers.write(document, engine=context.job["engine"], context=context, size=size)


def read_questions(context: StageContext) -> list[Question]:
    """The rows of the requester's own table, persons in the form in which they are compared."""
    directory, wanted = Path(str(context.dataset)), context.parameters
    meta = loading.load_meta(directory)
    names = [wanted["person"], *([wanted["declared"]] if wanted["declared"] else [])]
    return [
        Question(identifiers.canonical(row[0]), int(row[1]) if len(row) > 1 else None)
        for row in loading.records(directory, meta, names)
    ]


def answer(row: int, question: Question, records: Sequence[Record] | None) -> dict[str, Any]:
    """What is told of one row: the person's records, and how their number compares with the declared one.

    Args:
        row: counted from 1 in the requester's own table; the answer repeats no identifier.
        records: None where the owner's table was wrongly made for this person.
    """
    return {
        "row": row,
        "verdict": _verdict(question.declared, records),
        "declared": question.declared,
        "found": None if records is None else len(records),
        "records": [list(record) for record in records or ()],
    }


def _verdict(declared: int | None, records: Sequence[Record] | None) -> str:
    if records is None:
        return "damaged"
    if declared is None:
        return "record" if records else "no_record"
    if len(records) == declared:
        return "match" if records else "no_record"
    return "undeclared" if len(records) > declared else "over_declared"


def _check_persons(context: StageContext, persons: Sequence[str]) -> None:
    """Everybody is approved and there are not too many; nothing has left this node yet."""
    if len(persons) > context.parameters["subjects"]:
        raise EngineRefused("BATCH_SIZE", "The table names more persons than subjects were requested.")
    approved = {identifiers.canonical(person) for person in lookup_papers.read_approved(context)}
    if not approved.issuperset(persons):
        raise EngineRefused("TARGET_NOT_APPROVED", "The table names somebody who is not on the approved list.")


def _take_table(context: StageContext, mesh: link.Mesh) -> Table:
    """The owner's table: the one kept from an earlier run, or taken now."""
    announced = _announcement(exchange(mesh, OWNER, _NO_BYTES))
    name = lookup_papers.table_name(context.job, context.parameters)
    if announced.pop("name") != name:
        raise EngineRefused("JOB_DIFFERS", "The register's owner offers the table of another data version.")
    kept = keeping.directory(context, "tables")
    table = Table(kept / f"{announced['sha256']}.table", bytes.fromhex(announced["key"]))
    _check_pin(kept / f"{name}.json", announced)
    is_here = table.path.exists() and encrypted_table.describe(table.path).sha256 == announced["sha256"]
    exchange(mesh, OWNER, b"kept" if is_here else b"send")
    if not is_here:
        receive_table(mesh, table.path, size=announced["entries"] * ENTRY)
    keeping.write(kept / f"{name}.json", json.dumps(announced).encode())
    return table


def _announcement(message: bytes) -> dict[str, Any]:
    try:
        found = json.loads(message)
        _ANNOUNCEMENT(found, "table")
    except (ValueError, DomainError):
        raise EngineRefused("JOB_DIFFERS", "The register's owner's announcement cannot be read.") from None
    return dict(found)


def _check_pin(pin: Path, announced: dict[str, Any]) -> None:
    """One data version has one table and one key, or the owner could tell one request from another."""
    if pin.exists() and json.loads(pin.read_bytes()) != announced:
        raise EngineRefused(
            "JOB_DIFFERS", "The register's owner offers another table or key for the same data version than before."
        )


def receive_table(mesh: link.Mesh, path: Path, *, size: int) -> None:
    """Take a table from its owner into a file named by its SHA-256; EngineRefused JOB_DIFFERS for any other bytes."""
    found, left, temporary = hashlib.sha256(), size, path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        while left > 0:
            block = exchange(mesh, OWNER, _NO_BYTES)
            if not 0 < len(block) <= left:
                break
            file.write(block)
            found.update(block)
            left -= len(block)
    if left or found.hexdigest() != path.stem:
        temporary.unlink()
        raise EngineRefused("JOB_DIFFERS", "The table is not the one that was announced; submit again.")
    temporary.replace(path)


def _ask(
    context: StageContext, mesh: link.Mesh, persons: Sequence[str], table: Table
) -> dict[str, list[Record] | None]:
    """One evaluation for each person, random points up to the requested number, and what the answers open."""
    blinded = [oprf.blind(person.encode(), mode=oprf.Mode.VOPRF) for person in persons]
    missing = context.parameters["subjects"] - len(persons)
    filling = [ristretto.multiply_base(ristretto.random_scalar()) for _ in range(missing)]
    elements = [*(item.element for item in blinded), *filling]
    exchange(mesh, OWNER, b"".join(elements))
    reply = exchange(mesh, OWNER, _NO_BYTES)
    evaluated, proof = points(reply[: -oprf.PROOF_BYTES]), reply[-oprf.PROOF_BYTES :]
    try:
        oprf.verify(table.key, elements, evaluated, proof)
    except oprf.ProofInvalid:
        raise EngineRefused("JOB_DIFFERS", "The register's owner did not use the key of its table.") from None
    outputs = [
        oprf.finalize(person.encode(), item, back)
        for person, item, back in zip(persons, blinded, evaluated[: len(persons)], strict=True)
    ]
    with encrypted_table.Reader(table.path) as reader:
        return dict(zip(persons, [_open(reader, output) for output in outputs], strict=True))


def _open(reader: encrypted_table.Reader, output: bytes) -> list[Record] | None:
    try:
        return reader.records(output)
    except encrypted_table.TableDamaged:
        return None  # told to nobody but the requester: an end of the run would say who was asked for


def points(data: bytes) -> list[bytes]:
    """A message of points as a list."""
    return [data[start : start + ristretto.SIZE] for start in range(0, len(data), ristretto.SIZE)]
