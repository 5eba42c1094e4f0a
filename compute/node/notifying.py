"""The buyer's node tells everybody whose row a run used: one sealed notice each, before the result may leave.

Not the buyer's goodwill: the node makes the batch from the table it has just used, in the same run, and the exchange
takes no report without it (`compute.actions.notices`). What the node cannot know is whether a key in `notice_key`
is really the person's, or whether somebody has been given no card; see docs/subsystems/subjects.md.

Which row belongs to which token stays here, in `notices/` of the node's home, so that the buyer finds the row of an
objection that names nobody.
"""

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compute.engines import columns
from compute.node.task import Run
from compute.protocol import notices, operations, shapes
from compute.protocol.codes import Refused
from exchange.kernel.identifiers import parse_urn
from ledger.proofs import statements

FOLDER = "notices"
KEPT_SECONDS = 1095 * 86_400  # as long as the exchange keeps the notices by default

Document = dict[str, Any]
Tell = Callable[[str, Mapping[str, Any]], Any]


def notify(run: Run, *, tell: Tell, wait: Callable[[], None]) -> Document | None:
    """Make and send the notices of a finished run; what the report says of them, or None where none are due.

    Args:
        tell: sends one message of this task, until it is taken; wait: called often enough to keep the lease.
    Raises:
        Refused: `COMMITMENT_MISMATCH`, the column of keys is not the committed one; `RESULT_TOO_LARGE`, more rows than
            a batch may have records.
    """
    case, node = run.admitted, run.node
    if case.party["role"] != "requester" or not operations.get(case.job["operation"]).notifies:
        return None
    if case.dataset is None or int(case.dataset["rows"]) > notices.MAX_RECORDS:
        raise Refused("RESULT_TOO_LARGE")
    made = notices.statement(batch=secrets.token_hex(16), request=case.request, terms=case.terms, at=node.clock())
    signed = statements.sign(made, key=node.keys.document, created=shapes.write_time(node.clock()))
    batch, digests = notices.make(signed, _keys(run), wait=wait)
    _keep(node.config.home, run.computation, case.party["dataset"], digests)
    for number, records in enumerate(batch.chunks()):
        wait()
        body = {"batch": batch.ref, "number": number, "records": base64.b64encode(records).decode()}
        tell("notices", {**body, "statement": base64.b64encode(batch.statement).decode() if number == 0 else ""})
    return batch.reported()


def row_of(home: Path, computation: str, digest: str) -> tuple[str, int] | None:
    """Dataset and row number (from 0) of the person whose token has this digest, or None."""
    path = _path(home, computation)
    if not path.exists():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    number = kept["rows"].get(digest)
    return None if number is None else (str(kept["dataset"]), int(number))


def _keys(run: Run) -> list[str]:
    """The cells of `notice_key`, row by row; empty ones for a table without that column."""
    found: Document = run.admitted.dataset or {}
    described = {column["name"]: column["type"] for column in found["columns"]}
    if described.get(notices.KEY_COLUMN) != "text":
        return [""] * int(found["rows"])
    directory = run.node.config.datasets / str(found["directory"])
    try:
        stored = columns.load(directory, commitment=found["commitment"])
        return [cell for rows, data in stored.read(notices.KEY_COLUMN) for cell in columns.text(data, rows)]
    except columns.Damaged as error:
        raise Refused("COMMITMENT_MISMATCH") from error


def _keep(home: Path, computation: str, dataset: str, digests: list[str]) -> None:
    """Write which row has which token, for the buyer alone; what is older than the notices goes."""
    path = _path(home, computation)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    content = {
        "computation": computation,
        "dataset": dataset,
        "rows": {digest: number for number, digest in enumerate(digests)},
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
    newest = path.stat().st_mtime
    for old in path.parent.glob("*.json"):
        if newest - old.stat().st_mtime > KEPT_SECONDS:
            old.unlink(missing_ok=True)


def _path(home: Path, computation: str) -> Path:
    return home / FOLDER / f"{parse_urn(computation, kind='computation')}.json"
