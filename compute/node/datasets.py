"""Datasets on the node's own disk: taken in whole or not at all, committed to column by column.

A version lies in `datasets/<name>/<version>/` as `data.csv` (canonical UTF-8), `schema.json` and
`commitment.json` (the salts). It exists once its row stands in the store; a directory without a row is
the rest of an interrupted add and is swept away.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from compute.node import schemas, tables
from compute.node.errors import DatasetInvalid
from compute.node.store import Store
from ledger.proofs import canonical, merkle

SCHEMA_TYPE = "hengshu/dataset-schema/v1"
COMMITMENT_TYPE = "hengshu/dataset-commitment/v1"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_REPORT_EVERY_ROWS = 5_000

Progress = Callable[[int, int], None]


def add(
    source: Path,
    *,
    name: str,
    schema_path: Path,
    root: Path,
    store: Store,
    salt: Callable[[int], bytes] = secrets.token_bytes,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Read, check, commit and store one new version; returns its description (never a row).

    Args:
        progress: called with (bytes read, bytes in all).
    Raises:
        DatasetInvalid: with line and reason; nothing is left behind.
    """
    if not _NAME.fullmatch(name):
        raise DatasetInvalid(
            "NAME",
            "A dataset's name is lower-case letters, digits and underscores.",
            zh="数据集名只用小写字母、数字和下划线。",
        )
    schema = schemas.load(schema_path)
    sweep(root, store=store)
    incoming = root / f".incoming-{secrets.token_hex(8)}"
    incoming.mkdir(mode=0o700, parents=True)
    try:
        return _take_in(
            source, incoming, name=name, schema=schema, root=root, store=store, salt=salt, progress=progress
        )
    except FileNotFoundError:
        raise DatasetInvalid("NO_FILE", f"There is no file {source}.", zh=f"没有文件 {source}。") from None
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _take_in(
    source: Path,
    incoming: Path,
    *,
    name: str,
    schema: schemas.Schema,
    root: Path,
    store: Store,
    salt: Callable[[int], bytes],
    progress: Progress | None,
) -> dict[str, Any]:
    names = [column.name for column in schema.columns]
    secret = salt(32)
    hashes = [_column_hash(secret, column) for column in names]
    count, size = 0, source.stat().st_size
    with source.open("rb") as file, _create(incoming / "data.csv") as out:
        out.write(tables.write_row(names).encode())
        for line, cells in tables.rows(file, schema):
            out.write(tables.write_row(cells).encode())
            _update(hashes, cells)
            count += 1
            if progress is not None and count % _REPORT_EVERY_ROWS == 0:
                progress(file.tell(), size)
            del line
        _sync(out)
    version = 1 + max((item["version"] for item in store.datasets() if item["name"] == name), default=0)
    described = {"type": SCHEMA_TYPE, "name": name, "version": version, "rows": count, **schema.describe()}
    commitment = _root(described, [item.hexdigest() for item in hashes], secret)
    description = {**described, "commitment": commitment}
    _write(incoming / "schema.json", description)
    _write(
        incoming / "commitment.json",
        {
            "type": COMMITMENT_TYPE,
            "salt": secret.hex(),
            "columns": [{"name": item, "digest": found.hexdigest()} for item, found in zip(names, hashes, strict=True)],
            "commitment": commitment,
        },
    )
    target = root / name / str(version)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    incoming.rename(target)
    _sync_directory(target.parent)
    try:
        store.add_dataset(description, directory=f"{name}/{version}")
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    if progress is not None:
        progress(size, size)
    return description


def sweep(root: Path, *, store: Store) -> None:
    """Remove what an interrupted add left: incoming directories and versions without a row."""
    known = {item["directory"] for item in store.datasets()}
    for path in root.glob(".incoming-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in root.glob("*/*"):
        if f"{path.parent.name}/{path.name}" not in known:
            shutil.rmtree(path, ignore_errors=True)


def verify(directory: Path, *, description: Mapping[str, Any]) -> None:
    """Recompute the commitment from the stored file: admission step 7, the first time it is opened.

    Raises:
        DatasetInvalid: `COMMITMENT`, the file, its schema or its salts are not the committed ones.
    """
    try:
        schema = json.loads((directory / "schema.json").read_text(encoding="utf-8"))
        salts = json.loads((directory / "commitment.json").read_text(encoding="utf-8"))
        described = {key: value for key, value in schema.items() if key != "commitment"}
        names = [column["name"] for column in schema["columns"]]
        secret = bytes.fromhex(salts["salt"])
        hashes = [_column_hash(secret, column) for column in names]
        with (directory / "data.csv").open("rb") as file:
            count = _hash_rows(file, hashes, names)
        found = _root(described, [item.hexdigest() for item in hashes], secret)
    except (OSError, ValueError, KeyError, TypeError):
        raise _damaged() from None
    if found != description["commitment"] or count != description["rows"] or described["rows"] != count:
        raise _damaged()


def _hash_rows(file: BinaryIO, hashes: "Sequence[hashlib._Hash]", names: Sequence[str]) -> int:
    if file.readline() != tables.write_row(names).encode():
        raise _damaged()
    count = 0
    for raw in file:
        cells = tables.split(raw.decode("utf-8").removesuffix("\n"), line=count + 2)
        if len(cells) != len(names):
            raise _damaged()
        _update(hashes, cells)
        count += 1
    return count


def _column_hash(secret: bytes, column: str) -> "hashlib._Hash":
    # Salted for each column, so that a column of few possible values cannot be guessed from its digest.
    return hashlib.sha256(hmac.new(secret, column.encode(), hashlib.sha256).digest())


def _update(hashes: "Sequence[hashlib._Hash]", cells: Sequence[str]) -> None:
    for found, cell in zip(hashes, cells, strict=True):
        data = cell.encode()
        found.update(len(data).to_bytes(4, "big") + data)


def _root(described: Mapping[str, Any], digests: Sequence[str], secret: bytes) -> str:
    """Merkle root over the description and one leaf for each column, in order."""
    salt = hmac.new(secret, b"", hashlib.sha256).hexdigest()
    leaves = [canonical.encode({**described, "salt": salt})]
    leaves += [
        canonical.encode({"column": column["name"], "digest": digest})
        for column, digest in zip(described["columns"], digests, strict=True)
    ]
    return merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]).hex()


def _damaged() -> DatasetInvalid:
    return DatasetInvalid(
        "COMMITMENT",
        "The stored dataset is not the one that was committed to; restore it or add it again as a new version.",
        zh="所存数据集与其承诺值不符；请恢复原件，或作为新版本重新加入。",
    )


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write(path: Path, value: Mapping[str, Any]) -> None:
    with _create(path) as file:
        file.write(canonical.encode(dict(value)))
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
