"""Datasets on the node's own disk: taken in whole or not at all, committed to column by column.

A version lies in `datasets/<name>/<version>/` as column files (`compute/engines/columns.py`). It exists once its row
stands in the store; a directory without a row is the rest of an interrupted add and is swept away.
"""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compute.engines import columns
from compute.node import cells, rowfiles, schemas
from compute.node.distinct import Distinct
from compute.node.errors import DatasetInvalid
from compute.node.sources import Source
from compute.node.sources.delimited import DelimitedFile
from compute.node.store import Store
from compute.node.storing import Writer
from compute.protocol import operations

SCHEMA_TYPE = "hengshu/dataset-schema/v1"
MAX_ROWS = 1_000_000_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_REPORT_EVERY_ROWS = 5_000

Progress = Callable[[int, int], None]


def add(
    source: Source | Path,
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
        source: where the rows are; a path is a delimited file.
        progress: called with (done, in all), in bytes or rows as the source counts; in all is 0 where unknown.
    Raises:
        DatasetInvalid: with line or row, and reason; nothing is left behind.
    """
    if not _NAME.fullmatch(name):
        raise DatasetInvalid(
            "NAME",
            "A dataset's name is lower-case letters, digits and underscores.",
            zh="数据集名只用小写字母、数字和下划线。",
        )
    schema = schemas.load(schema_path)
    with _alone(root):
        return _add(source, name=name, schema=schema, root=root, store=store, salt=salt, progress=progress or _silent)


def _add(
    source: Source | Path,
    *,
    name: str,
    schema: schemas.Schema,
    root: Path,
    store: Store,
    salt: Callable[[int], bytes],
    progress: Progress,
) -> dict[str, Any]:
    sweep(root, store=store)
    incoming = root / f".incoming-{secrets.token_hex(8)}"
    incoming.mkdir(mode=0o700, parents=True)
    try:
        source = DelimitedFile(source) if isinstance(source, Path) else source
        writer = Writer(incoming, [column.describe() for column in schema.columns], salt=salt(32))
        try:
            _read(source, schema, writer, incoming, progress=progress)
            return _keep(writer, incoming, name=name, schema=schema, root=root, store=store)
        finally:
            writer.close()
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _read(source: Source, schema: schemas.Schema, writer: Writer, incoming: Path, *, progress: Progress) -> None:
    """Every row of the source through the checks and into the writer."""
    checker = cells.Checker(schema, unit=source.unit)
    place = next((i for i, column in enumerate(schema.columns) if column.name == schema.id), None)
    distinct = Distinct(incoming, key=secrets.token_bytes(32))
    count = 0
    for line, raw in source.rows(schema):
        row = checker.canonical(line, raw)
        if place is not None:
            distinct.add(row[place], line)
        writer.add(row)
        count += 1
        if count > MAX_ROWS:
            raise cells.bad("TOO_MANY_ROWS", f"more than {MAX_ROWS} rows", f"超过 {MAX_ROWS} 行", unit=source.unit)
        if count % _REPORT_EVERY_ROWS == 0:
            progress(*source.progress())
    if count == 0:
        raise cells.bad("NO_ROWS", "the table has no row", "表中没有数据行")
    repeated = distinct.first_repeated()
    if repeated is not None:
        raise cells.bad(
            "DUPLICATE_ID",
            f"the identifier equals, or looks like, that of {source.unit} {repeated[1]}",
            f"标识与第 {repeated[1]} 行相同或形似",
            line=repeated[0],
            column=str(schema.id),
            unit=source.unit,
        )
    done, total = source.progress()
    progress(total or done, total or done)


def _keep(
    writer: Writer, incoming: Path, *, name: str, schema: schemas.Schema, root: Path, store: Store
) -> dict[str, Any]:
    """Commit, move into place, and make the version known."""
    version = 1 + max((item["version"] for item in store.datasets() if item["name"] == name), default=0)
    described = {"type": SCHEMA_TYPE, "storage": columns.STORAGE, "name": name, "version": version}
    description = writer.finish({**described, "rows": writer.count, **schema.describe()})
    target = root / name / str(version)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    incoming.rename(target)
    _sync_directory(target.parent)
    try:
        store.add_dataset(description, directory=f"{name}/{version}")
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return description


def sweep(root: Path, *, store: Store) -> None:
    """Remove what an interrupted add left: incoming directories and versions without a row."""
    known = {item["directory"] for item in store.datasets()}
    for path in root.glob(".incoming-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in root.glob("*/*"):
        if f"{path.parent.name}/{path.name}" not in known:
            shutil.rmtree(path, ignore_errors=True)


def verify(directory: Path, *, description: Mapping[str, Any], columns_used: Sequence[str] | None = None) -> None:
    """Recompute the commitment from the stored files: admission step 7, the first time they are opened.

    Args:
        columns_used: the columns whose rows are hashed; None for all. The description, the salts and every column's
            list of chunk digests are checked in any case. What an engine reads beyond these, it checks as it reads.

    Memory: one chunk.

    Raises:
        DatasetInvalid: `COMMITMENT`, a file, the schema or the salts are not the committed ones;
            `STORAGE`, a form that this release does not know.
    """
    form = description.get("storage")
    if form not in (None, columns.STORAGE):
        raise DatasetInvalid(
            "STORAGE",
            "The dataset is stored in a form that this release does not know; update the node, or add it again.",
            zh="数据集以本版本不认识的形式存储；请升级节点，或重新加入。",
        )
    try:
        if form is None:
            found, count = rowfiles.commitment(directory)
            if found != description["commitment"] or count != description["rows"]:
                raise columns.Damaged("another commitment")
            return
        stored = columns.load(directory, commitment=description["commitment"])
        known = [column["name"] for column in stored.description["columns"]]
        stored.verify(known if columns_used is None else [name for name in known if name in columns_used])
    except (OSError, ValueError, KeyError, TypeError, DatasetInvalid):
        raise _damaged() from None


def columns_used(request: Mapping[str, Any], *, description: Mapping[str, Any]) -> list[str]:
    """Which columns a request may make an engine read: those it names anywhere, block dimensions, and the id.

    Joint statistics match nobody and read no id. A column too many costs time only, and one too few is checked by
    the engine as it reads it.
    """
    named = set(_texts(request["parameters"])) | set(description["block_dimensions"])
    if request["operation"] != operations.JOINT_STATISTICS:
        named.add(str(description["id"]))
    return [column["name"] for column in description["columns"] if column["name"] in named]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)


def _damaged() -> DatasetInvalid:
    return DatasetInvalid(
        "COMMITMENT",
        "The stored dataset is not the one that was committed to; restore it or add it again as a new version.",
        zh="所存数据集与其承诺值不符；请恢复原件，或作为新版本重新加入。",
    )


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One add at a time: each sweeps away what lies unfinished, and the other's would."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DatasetInvalid(
            "BUSY",
            "Another dataset is being added to this node; wait until it is done.",
            zh="本节点正在加入另一份数据集；请等其完成。",
        ) from None
    finally:
        os.close(descriptor)


def _silent(done: int, total: int) -> None:
    del done, total


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
