"""The register owner's side of a private look-up (`lookup.py`): key, table, evaluations, journal."""

import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
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
from compute.engines.encrypted_table import Record
from compute.engines.errors import EngineRefused
from compute.engines.lookup_papers import FRAME_BYTES, REQUESTER, exchange
from compute.protocol import shapes

JOURNAL = "look-ups.jsonl"
_NO_BYTES = b""


def run(context: StageContext) -> bytes:
    """One run of the owner's node; its part holds nothing."""
    with link.connect(context) as mesh:
        greeting.check_jobs(context, mesh)
        _check_releases(context, exchange(mesh, REQUESTER, _NO_BYTES))
        # From here on a key is used.
        name = lookup_papers.table_name(context.job, context.parameters)
        seed = keeping.secret(keeping.directory(context, "secrets") / "seed")
        key = oprf.derive_key(seed, name.encode(), mode=oprf.Mode.VOPRF)
        table = _table(context, name=name, key=key, noise=hmac.digest(seed, name.encode(), "sha256"))
        _offer(context, mesh, table, name=name, key=key)
        context.progress("evaluate", 80)
        _evaluate(context, mesh, key)
    return answers.write_nothing(engine=context.job["engine"], context=context)


def read_register(context: StageContext) -> dict[str, list[Record]]:
    """All rows of each person, in stored order, by the person as it is compared."""
    directory, wanted = Path(str(context.dataset)), context.parameters
    names = [wanted["key"], *wanted["columns"]]
    found: dict[str, list[Record]] = {}
    for key, *cells in loading.records(directory, loading.load_meta(directory), names):
        found.setdefault(identifiers.canonical(key), []).append(tuple(cells))
    return found


def _check_releases(context: StageContext, message: bytes) -> None:
    try:
        releases: Any = json.loads(message)
    except ValueError:
        releases = None
    lookup_papers.check_releases(releases, context)


def _table(context: StageContext, *, name: str, key: bytes, noise: bytes) -> Path:
    """The encrypted table of this data version: made once, then kept."""
    path = keeping.directory(context, "tables") / f"{name}.table"
    if not path.exists():
        context.progress("table", 10)
        encrypted_table.write(path, read_register(context), key=key, noise=noise, work_dir=context.work_dir)
    return path


def _offer(context: StageContext, mesh: link.Mesh, table: Path, *, name: str, key: bytes) -> None:
    """Announce the table and its key, and send it where it is not kept already."""
    described = encrypted_table.describe(table)
    announced = {
        "name": name,
        "sha256": described.sha256,
        "entries": described.entries,
        "key": oprf.public_key(key).hex(),
    }
    exchange(mesh, REQUESTER, json.dumps(announced).encode())
    if exchange(mesh, REQUESTER, _NO_BYTES) == b"kept":
        return
    context.progress("send", 40)
    send_table(mesh, table)


def send_table(mesh: link.Mesh, table: Path) -> None:
    """Send a table to the requester, who takes it with `lookup_requester.receive_table`."""
    with table.open("rb") as file:
        while block := file.read(FRAME_BYTES):
            exchange(mesh, REQUESTER, block)


def _evaluate(context: StageContext, mesh: link.Mesh, key: bytes) -> None:
    """Evaluate exactly as many points as the request says, and write that down before the answer leaves."""
    subjects = context.parameters["subjects"]
    data = exchange(mesh, REQUESTER, _NO_BYTES)
    if len(data) != subjects * ristretto.SIZE:
        raise EngineRefused("BATCH_SIZE", "The requester asks for another number of subjects than it requested.")
    elements = [data[start : start + ristretto.SIZE] for start in range(0, len(data), ristretto.SIZE)]
    reply = evaluate(key, elements)
    _write_down(context)
    exchange(mesh, REQUESTER, reply)


def evaluate(key: bytes, elements: Sequence[bytes]) -> bytes:
    """The answers to some points and the proof for all of them, as one message; EngineRefused for what is no point."""
    try:
        evaluated = [oprf.evaluate_blinded(key, element) for element in elements]
    except ristretto.NotInGroup:
        raise EngineRefused("JOB_DIFFERS", "The requester sends what is no point of the group.") from None
    return b"".join(evaluated) + oprf.prove(key, elements, evaluated)


def _write_down(context: StageContext) -> None:
    """One line in the owner's journal: all that it ever knows of this look-up."""
    letter = context.parameters["letter"]
    line = {
        "time": shapes.write_time(datetime.now(UTC)),
        "batch": letter["batch"],
        "letter": letter["number"],
        "officers": [officer["name"] for officer in letter["officers"]],
        "count": context.parameters["subjects"],
    }
    keeping.append(keeping.directory(context, "journal") / JOURNAL, json.dumps(line, ensure_ascii=False).encode())
