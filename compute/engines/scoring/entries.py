"""One entry for each person, opened by who asks for exactly that person: the table between a bank and one agency.

The encrypted table of the private look-up (`encrypted_table.py`), under a key of one run: nothing is kept of it, so
consents count as of this run. The agency sees as many blinded points as were agreed and nothing of whom they are.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compute.engines import encrypted_table, link, lookup_owner, oprf, ristretto
from compute.engines.encrypted_table import ENTRY, Record
from compute.engines.errors import EngineRefused
from compute.engines.lookup_papers import OWNER, REQUESTER, exchange
from compute.engines.lookup_requester import points, receive_table
from compute.protocol import shapes
from exchange.kernel.errors import DomainError

DENIED: Record = ("denied",)
_NO_BYTES = b""
_ANNOUNCEMENT = shapes.members({"sha256": shapes.HEX64, "entries": shapes.integer(1, 2**40), "key": shapes.HEX64})


def hand_out(mesh: link.Mesh, records: Mapping[str, Sequence[Record]], *, slots: int, work_dir: Path) -> None:
    """The agency's side: make the table, send it, and evaluate exactly `slots` points.

    Raises:
        EngineRefused: JOB_DIFFERS for another number of points, or for what is no point.
    """
    key = oprf.derive_key(secrets.token_bytes(32), b"paired scoring", mode=oprf.Mode.VOPRF)
    path = work_dir / "entries.table"
    described = encrypted_table.write(path, records, key=key, noise=secrets.token_bytes(32), work_dir=work_dir)
    public = oprf.public_key(key).hex()
    announced = {"sha256": described.sha256, "entries": described.entries, "key": public}
    exchange(mesh, REQUESTER, json.dumps(announced).encode())
    lookup_owner.send_table(mesh, path)
    path.unlink()
    data = exchange(mesh, REQUESTER, _NO_BYTES)
    if len(data) != slots * ristretto.SIZE:
        raise EngineRefused("JOB_DIFFERS", "The bank asks for another number of applicants than it said.")
    exchange(mesh, REQUESTER, lookup_owner.evaluate(key, points(data)))


def take_table(mesh: link.Mesh, work_dir: Path) -> tuple[Path, bytes]:
    """The bank's side: take the table; returns it and its public key. EngineRefused JOB_DIFFERS for anything else."""
    try:
        announced: Any = json.loads(exchange(mesh, OWNER, _NO_BYTES))
        _ANNOUNCEMENT(announced, "table")
    except (ValueError, DomainError):
        raise EngineRefused("JOB_DIFFERS", "The agency's announcement cannot be read.") from None
    path = work_dir / f"{announced['sha256']}.table"
    receive_table(mesh, path, size=announced["entries"] * ENTRY)
    return path, bytes.fromhex(announced["key"])


def outputs(mesh: link.Mesh, persons: Sequence[str], key: bytes, *, slots: int) -> list[bytes]:
    """One evaluation for each person, filled up with random points; EngineRefused where the key is not the table's."""
    blinded = [oprf.blind(person.encode(), mode=oprf.Mode.VOPRF) for person in persons]
    filling = [ristretto.multiply_base(ristretto.random_scalar()) for _ in range(slots - len(persons))]
    elements = [*(item.element for item in blinded), *filling]
    exchange(mesh, OWNER, b"".join(elements))
    reply = exchange(mesh, OWNER, _NO_BYTES)
    evaluated, proof = points(reply[: -oprf.PROOF_BYTES]), reply[-oprf.PROOF_BYTES :]
    try:
        oprf.verify(key, elements, evaluated, proof)
    except oprf.ProofInvalid:
        raise EngineRefused("JOB_DIFFERS", "The agency did not use the key of its table.") from None
    asked = zip(persons, blinded, evaluated[: len(persons)], strict=True)
    return [oprf.finalize(person.encode(), item, back) for person, item, back in asked]


def read(reader: encrypted_table.Reader, output: bytes) -> list[Record] | None:
    """What an output opens: the person's one record, nothing for a stranger, None for a damaged entry."""
    try:
        return reader.records(output)
    except encrypted_table.TableDamaged:
        return None
