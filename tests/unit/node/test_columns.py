"""Column files and their commitment: what is read is what was committed to, column by column, chunk by chunk."""

import hashlib
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.engines import columns, loading, worker
from compute.engines.errors import EngineRefused
from compute.node import datasets, rowfiles, schemas
from compute.node.cells import Checker
from compute.node.distinct import Distinct, folded
from compute.node.errors import DatasetInvalid
from compute.node.store import Store
from compute.node.storing import Writer
from compute.protocol import operations
from ledger.proofs import canonical
from tests.factories import engines as factory
from tests.factories.node import NOW, SCHEMA, change_a_byte

ROWS = [[f"P{number:05d}", ("North", "South")[number % 2], "20-29", f"{number}.50"] for number in range(10)]
NAMES = ["person_id", "district", "age_band", "base"]
OTHER_ROWS = [[identifier, "South", "30-39", "9.99"] for identifier, *_ in ROWS]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "CHUNK_ROWS", 4)


@pytest.fixture
def default_chunks(small_chunks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "CHUNK_ROWS", 1 << 18)  # as the engine's own process has it


@pytest.fixture
def schema(tmp_path: Path) -> schemas.Schema:
    (tmp_path / "people.toml").write_text(SCHEMA, encoding="utf-8")
    return schemas.load(tmp_path / "people.toml")


Make = Callable[..., tuple[Path, dict[str, Any]]]


@pytest.fixture
def make(tmp_path: Path, schema: schemas.Schema) -> Make:
    def made(name: str, rows: list[list[str]] = ROWS, *, salt: bytes = b"s" * 32) -> tuple[Path, dict[str, Any]]:
        directory = tmp_path / name
        directory.mkdir()
        described = schema.describe()
        writer = Writer(directory, described["columns"], salt=salt)
        for row in rows:
            writer.add(row)
        version = {"type": datasets.SCHEMA_TYPE, "storage": columns.STORAGE, "name": "people", "version": 1}
        return directory, writer.finish({**version, **described, "rows": len(rows)})

    return made


def read(directory: Path) -> list[tuple[str, ...]]:
    return list(loading.records(directory, loading.load_meta(directory), NAMES))


def test_rows_come_back_to_the_letter_over_several_chunks(make: Make) -> None:
    directory, description = make("people")

    stored = columns.load(directory, commitment=description["commitment"])

    assert [chunk.rows for chunk in stored.chunks["base"]] == [4, 4, 2]
    assert read(directory) == [tuple(row) for row in ROWS]


def test_widths_follow_from_the_declaration_and_not_from_the_rows() -> None:
    assert columns.width({"type": "text"}) == 0
    assert columns.width({"type": "category", "values": ["a"] * 128}) == 1
    assert columns.width({"type": "category", "values": ["a"] * 129}) == 2
    for bound, size in [(127, 1), (128, 2), (2**31 - 1, 4), (2**31, 8), (10**15, 8)]:
        assert columns.width({"type": "integer", "min": -bound, "max": 0}) == size


def test_long_texts_end_a_chunk_early(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "CHUNK_TEXT_BYTES", 12)
    directory, description = make("people")

    assert {chunk.rows for chunk in columns.load(directory).chunks["person_id"]} == {2}
    assert read(directory) == [tuple(row) for row in ROWS]
    datasets.verify(directory, description=description)


@pytest.mark.parametrize("place", range(4))
def test_every_byte_of_every_column_is_committed_to(make: Make, place: int) -> None:
    directory, description = make("people")
    datasets.verify(directory, description=description)
    path = directory / columns.file_name(place)
    for at in range(path.stat().st_size):
        change_a_byte(path, at)
        with pytest.raises(DatasetInvalid) as refused:
            datasets.verify(directory, description=description)
        assert refused.value.reason == "COMMITMENT"
        change_a_byte(path, at)
    datasets.verify(directory, description=description)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_a_column_that_is_cut_or_grown_is_noticed(make: Make, change: Callable[[bytes], bytes]) -> None:
    directory, description = make("people")
    path = directory / columns.file_name(3)
    path.chmod(0o600)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DatasetInvalid):
        datasets.verify(directory, description=description)


def test_chunks_cannot_change_places(make: Make) -> None:
    directory, description = make(
        "people", [["A", "North", "20-29", "1.00"]] * 4 + [["B", "North", "20-29", "2.00"]] * 4
    )
    path, manifest = directory / columns.file_name(3), directory / columns.COMMITMENT_FILE
    for changed in (path, manifest):
        changed.chmod(0o600)
    data = path.read_bytes()
    path.write_bytes(data[16:] + data[:16])
    value = json.loads(manifest.read_bytes())
    value["columns"][3]["chunks"].reverse()
    manifest.write_bytes(canonical.encode(value))

    with pytest.raises(DatasetInvalid):
        datasets.verify(directory, description=description)


def test_only_the_columns_in_use_are_hashed(make: Make) -> None:
    directory, description = make("people")
    change_a_byte(directory / columns.file_name(0))  # person_id, which no joint statistic reads
    request = {
        "operation": operations.JOINT_STATISTICS,
        "parameters": {"group_by": ["district"], "values": ["base"], "filters": [], "min_group": 10},
    }

    used = datasets.columns_used(request, description=description)

    assert used == ["district", "age_band", "base"]
    datasets.verify(directory, description=description, columns_used=used)
    for columns_used in (None, ["person_id"]):
        with pytest.raises(DatasetInvalid):
            datasets.verify(directory, description=description, columns_used=columns_used)
    assert "person_id" in datasets.columns_used({**request, "operation": "matching"}, description=description)


def test_the_same_rows_under_another_salt_share_no_digest_with_these(make: Make) -> None:
    """A column of two categories in one chunk has 2^4 possible contents: without the salt they could all be tried."""
    directory, _ = make("one", ROWS[:4])
    other, _ = make("two", ROWS[:4], salt=b"t" * 32)
    first, second = columns.load(directory), columns.load(other)
    assert first.commitment != second.commitment
    assert not {c.digest for c in first.chunks["district"]} & {c.digest for c in second.chunks["district"]}

    def guess(salt: bytes, wanted: bytes) -> list[bytes]:
        key = columns.column_key(salt, "district")
        tried = [bytes(number >> place & 1 for place in range(4)) for number in range(16)]
        return [data for data in tried if columns.digest(key, 0, 4, data) == wanted]

    wanted = first.chunks["district"][0].digest
    assert guess(b"s" * 32, wanted) == [bytes([0, 1, 0, 1])]  # with the salt, the guess succeeds
    assert guess(b"u" * 32, wanted) == []


def test_what_an_engine_reads_is_what_its_job_names_even_when_the_files_are_exchanged(
    make: Make, tmp_path: Path
) -> None:
    """The race between check and use: the node checks one version, then another lies in its place."""
    directory, description = make("people")
    other, _ = make("other", OTHER_ROWS)
    datasets.verify(directory, description=description)
    view = columns.pin(directory, tmp_path / "run", commitment=description["commitment"])
    assert read(view) == [tuple(row) for row in ROWS]

    exchange(directory, other)

    with pytest.raises(EngineRefused) as refused:
        read(view)
    assert (refused.value.code, refused.value.failure_code) == ("COMMITMENT", "COMMITMENT_MISMATCH")
    # The guard off: an engine that opens the directory by its path reads rows that nobody agreed to.
    assert read(directory) == [tuple(row) for row in OTHER_ROWS]
    with pytest.raises(columns.Damaged):
        columns.pin(directory, tmp_path / "later", commitment=description["commitment"])


def test_a_file_exchanged_between_two_chunks_is_noticed(make: Make, tmp_path: Path) -> None:
    directory, description = make("people")
    view = columns.pin(directory, tmp_path / "run", commitment=description["commitment"])
    chunks = loading.chunks(view, loading.load_meta(view), values=["base"], blocks=False)
    assert next(chunks).values["base"].tolist() == [50, 150, 250, 350]

    path = directory / columns.file_name(3)
    path.chmod(0o600)
    with path.open("r+b") as file:  # in place, under the open descriptor
        file.seek(16)
        file.write(b"\1" * 16)

    with pytest.raises(EngineRefused) as refused:
        next(chunks)
    assert refused.value.code == "COMMITMENT"


def exchange(directory: Path, other: Path) -> None:
    for path in other.iterdir():
        target = directory / path.name
        target.unlink()
        shutil.copy(path, target)


def test_a_chunk_that_is_given_out_does_not_change_with_the_file(make: Make) -> None:
    """Why chunks are copied and not mapped: a mapping shows what is written later."""
    directory, _ = make("people")
    path = directory / columns.file_name(3)
    _, first = next(columns.load(directory).read("base"))
    path.chmod(0o600)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        before = hashlib.sha256(mapped[:16]).digest()
        os.pwrite(file.fileno(), b"\7" * 16, 0)
        assert hashlib.sha256(mapped[:16]).digest() != before
    assert columns.numbers(first, 4).tolist() == [50, 150, 250, 350]


# --- the old form, and newer ones -------------------------------------------------------------------------


def old_form(tmp_path: Path, schema: schemas.Schema) -> tuple[Path, dict[str, Any]]:
    """A version as releases before column files wrote it."""
    directory = tmp_path / "old"
    directory.mkdir()
    secret = b"o" * 32
    hashes = [rowfiles.column_hash(secret, name) for name in NAMES]
    lines = [",".join(NAMES)]
    for row in ROWS:
        rowfiles.update(hashes, row)
        lines.append(",".join(row))
    (directory / "data.csv").write_text("\n".join(lines) + "\n")
    described = {"type": datasets.SCHEMA_TYPE, "name": "people", "version": 1, "rows": len(ROWS), **schema.describe()}
    commitment = rowfiles.root(described, [item.hexdigest() for item in hashes], secret)
    description = {**described, "commitment": commitment}
    (directory / "schema.json").write_bytes(canonical.encode(description))
    (directory / "commitment.json").write_bytes(
        canonical.encode({"type": rowfiles.COMMITMENT_TYPE, "salt": secret.hex(), "commitment": commitment})
    )
    return directory, description


def test_a_version_of_the_old_form_still_opens(tmp_path: Path, schema: schemas.Schema) -> None:
    directory, description = old_form(tmp_path, schema)

    datasets.verify(directory, description=description, columns_used=["base"])

    assert read(directory) == [tuple(row) for row in ROWS]
    meta = loading.load_meta(directory)
    assert loading.load_table(directory, meta, values=["base"], blocks=True, ids=True).values["base"][1] == 150
    text = (directory / "data.csv").read_text()
    (directory / "data.csv").write_text(text.replace("3.50", "3.51"))
    with pytest.raises(DatasetInvalid) as refused:
        datasets.verify(directory, description=description)
    assert refused.value.reason == "COMMITMENT"


def test_a_version_of_a_newer_form_is_refused_with_what_to_do(make: Make) -> None:
    directory, description = make("people")
    with pytest.raises(DatasetInvalid) as refused:
        datasets.verify(directory, description={**description, "storage": "columns/2"})
    assert refused.value.reason == "STORAGE"
    assert "update the node" in refused.value.message


def test_the_old_check_does_not_pass_for_the_new_form(tmp_path: Path, make: Make, schema: schemas.Schema) -> None:
    """A `data.csv` put beside column files is not what the commitment speaks of."""
    directory, description = make("people")
    old, _ = old_form(tmp_path, schema)
    shutil.copy(old / "data.csv", directory / "data.csv")
    (directory / columns.file_name(3)).unlink()
    with pytest.raises(DatasetInvalid):
        datasets.verify(directory, description=description)


# --- distinct identifiers -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "A", "ａ", "b", "b ", "x", "X", "c", "d\u200b", "d", "ß", "ss"]), max_size=12))
def test_repeated_identifiers_are_those_that_a_dictionary_finds(identifiers: list[str]) -> None:
    seen: dict[str, int] = {}
    expected = None
    for line, identifier in enumerate(identifiers, start=2):
        first = seen.setdefault(folded(identifier), line)
        if first != line and expected is None:
            expected = (line, first)
    with tempfile.TemporaryDirectory() as directory:
        distinct = Distinct(Path(directory), key=b"k" * 32)
        for line, identifier in enumerate(identifiers, start=2):
            distinct.add(identifier, line)
        assert distinct.first_repeated() == expected


def test_identifiers_beyond_the_buffers_go_to_disk_without_a_trace_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.node.distinct._BUFFER", 240)
    distinct = Distinct(tmp_path, key=b"k" * 32)
    for line in range(6_000):
        distinct.add(f"9901011990010{line:05d}", line)
    distinct.add("990101199001000007", 6_000)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert len(on_disk) > 100_000
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert b"990101" not in on_disk
    bare = {hashlib.blake2b(f"9901011990010{n:05d}".encode(), digest_size=16).digest() for n in range(100)}
    assert not any(digest in on_disk for digest in bare)  # keyed: nobody else's table of hashes finds one
    assert distinct.first_repeated() == (6_000, 7)
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_id_is_found_when_the_first_is_far_away(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    lines = [f"9{number:06d},North,20-29,1.00" for number in range(3_000)]
    (tmp_path / "in.csv").write_text("\n".join([",".join(NAMES), *lines, lines[5]]) + "\n")
    (tmp_path / "in.toml").write_text(SCHEMA)
    store = Store(tmp_path / "node.sqlite3", clock=lambda: NOW)

    with pytest.raises(DatasetInvalid) as refused:
        datasets.add(
            tmp_path / "in.csv",
            name="people",
            schema_path=tmp_path / "in.toml",
            root=tmp_path / "datasets",
            store=store,
        )

    assert (refused.value.reason, refused.value.line) == ("DUPLICATE_ID", 3_002)
    assert "line 7" in refused.value.message
    assert list((tmp_path / "datasets").iterdir()) == []


def test_a_checker_names_the_first_unfit_cell(schema: schemas.Schema) -> None:
    checker = Checker(schema, unit="row")
    assert checker.canonical(1, ["1", "North", "20-29", "5"]) == ["1", "North", "20-29", "5.00"]
    with pytest.raises(DatasetInvalid) as refused:
        checker.canonical(7, ["1", "North", "nobody", "x"])
    assert refused.value.message.startswith("Row 7: column age_band: ")


# --- in real engine processes -------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.usefixtures("default_chunks")
def test_engines_run_on_column_files_and_refuse_rows_that_their_job_does_not_name(make: Make, tmp_path: Path) -> None:
    people = [[f"P{number:05d}", ("North", "South")[number % 2], "20-29", f"{number}.50"] for number in range(40)]
    (first, described), (second, _) = make("first", people), make("second", people, salt=b"t" * 32)
    request = operations.joint_statistics(group_by=["district"], values=["base"])
    job = factory.Job(tmp_path / "job", operations.JOINT_STATISTICS, request, [first, second])
    cells = job.result()["cells"]
    assert [(cell["group"]["district"], cell["count"]) for cell in cells] == [("North", 40), ("South", 40)]
    assert cells[0]["sum"] == "780.00"  # twice 0.50 + 2.50 + ... + 38.50 is 2 x 390

    named = factory.Job(tmp_path / "named", operations.JOINT_STATISTICS, request, [first, second])
    document = named.job
    for party, commitment in zip(document["parties"], [described["commitment"], "0" * 64], strict=True):
        party["dataset_commitment"] = commitment
    runs = [named.start(rank, job=document) for rank in range(2)]
    for run in runs:
        run.wait()

    assert runs[1].code() == "COMMITMENT"  # its rows are not those that the job names
    assert runs[0].code() == "PEER_LOST"
    assert not (tmp_path / "named" / "party0" / "part.json").exists()


def test_a_version_with_column_files_is_not_read_as_one_of_the_old_form(
    make: Make, tmp_path: Path, schema: schemas.Schema
) -> None:
    """Downgrade: other rows as `data.csv`, with a description to match, put in place after the node's check."""
    directory, description = make("people")
    old, _ = old_form(tmp_path, schema)
    (directory / columns.SCHEMA_FILE).unlink()
    for name in ("data.csv", "schema.json"):
        shutil.copy(old / name, directory / name)
    spec = {
        "job": {"parties": [{"rank": 0, "role": "data", "dataset_commitment": description["commitment"]}]},
        "request": {"parameters": {}},
        "rank": 0,
    }

    with pytest.raises(EngineRefused) as refused:
        worker._pinned(directory, tmp_path, spec)

    assert refused.value.code == "COMMITMENT"
    assert worker._pinned(old / "data.csv", tmp_path, spec) == old  # where the node itself says so
    assert read(directory) == read(old)  # the guard off: by its path, the other rows are read


def test_one_add_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.csv").write_text("\n".join([",".join(NAMES), *(",".join(row) for row in ROWS)]) + "\n")
    (tmp_path / "in.toml").write_text(SCHEMA)
    store = Store(tmp_path / "node.sqlite3", clock=lambda: NOW)
    root = tmp_path / "datasets"

    def add() -> dict[str, Any]:
        path, schema_path = tmp_path / "in.csv", tmp_path / "in.toml"
        return datasets.add(path, name="people", schema_path=schema_path, root=root, store=store)

    with datasets._alone(root):
        with pytest.raises(DatasetInvalid) as refused:
            add()
        assert refused.value.reason == "BUSY"
        incoming = root / ".incoming-of-the-first"
        incoming.mkdir()
        monkeypatch.setattr(datasets, "_alone", lambda root: nullcontext())  # the guard off
        add()
        assert not incoming.exists()  # the second has swept away what the first was writing
    monkeypatch.undo()
    assert add()["version"] == 2
