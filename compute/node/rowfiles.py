"""The old form of a stored version: one canonical `data.csv`, a digest for each column over all its rows.

Versions added before column files came still open: the commitment in their contracts is over this form. It is hashed
whole, all columns, whenever it is used, and between this check and the engine's reading a file could be exchanged
by whoever may write the node's directory; add the dataset as a new version to be rid of both.
Goes with release 0.3.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from compute.node import tables
from ledger.proofs import canonical, merkle

COMMITMENT_TYPE = "hengshu/dataset-commitment/v1"
DATA_FILE = "data.csv"


def commitment(directory: Path) -> tuple[str, int]:
    """Recompute the commitment of a version from its files; returns it and the number of rows.

    Raises:
        ValueError, OSError, KeyError, TypeError: the files are not such a version.
    """
    schema = json.loads((directory / "schema.json").read_text(encoding="utf-8"))
    salts = json.loads((directory / "commitment.json").read_text(encoding="utf-8"))
    described = {key: value for key, value in schema.items() if key != "commitment"}
    names = [column["name"] for column in schema["columns"]]
    secret = bytes.fromhex(salts["salt"])
    hashes = [column_hash(secret, column) for column in names]
    with (directory / DATA_FILE).open("rb") as file:
        count = _hash_rows(file, hashes, names)
    if count != described["rows"]:
        raise ValueError("another number of rows")
    return root(described, [item.hexdigest() for item in hashes], secret), count


def column_hash(secret: bytes, column: str) -> "hashlib._Hash":
    """The hash that a column's cells go into, salted for each column."""
    return hashlib.sha256(hmac.new(secret, column.encode(), hashlib.sha256).digest())


def update(hashes: "Sequence[hashlib._Hash]", cells: Sequence[str]) -> None:
    """Add one row."""
    for found, cell in zip(hashes, cells, strict=True):
        data = cell.encode()
        found.update(len(data).to_bytes(4, "big") + data)


def root(described: Mapping[str, Any], digests: Sequence[str], secret: bytes) -> str:
    """Merkle root over the description and one leaf for each column, in order."""
    salt = hmac.new(secret, b"", hashlib.sha256).hexdigest()
    leaves = [canonical.encode({**described, "salt": salt})]
    leaves += [
        canonical.encode({"column": column["name"], "digest": digest})
        for column, digest in zip(described["columns"], digests, strict=True)
    ]
    return merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]).hex()


def _hash_rows(file: BinaryIO, hashes: "Sequence[hashlib._Hash]", names: Sequence[str]) -> int:
    if file.readline() != tables.write_row(names).encode():
        raise ValueError("another header")
    count = 0
    for raw in file:
        cells = tables.split(raw.decode("utf-8").removesuffix("\n"), line=count + 2)
        if len(cells) != len(names):
            raise ValueError("a row of another length")
        update(hashes, cells)
        count += 1
    return count
