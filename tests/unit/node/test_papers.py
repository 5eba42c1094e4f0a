"""The officers' tool: a list and two releases, signed apart, laid at the node, are what the engine accepts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from compute.node import papers
from compute.protocol import documents, keyfiles, letters, shapes
from compute.protocol.operations import private_lookup
from ledger.proofs import statements

NOW = datetime.now(UTC)


@pytest.fixture
def desk(tmp_path: Path) -> dict[str, Any]:
    """Two officers' key files, and a letter that names them."""
    keys = {}
    for name in ("one", "other", "stranger"):
        keys[name] = keyfiles.generate(name)
        keyfiles.save(keys[name], tmp_path / f"{name}.key")
    letter = {
        "number": "15",
        "batch": "07",
        "issued": shapes.write_time(NOW - timedelta(hours=1)),
        "expires": shapes.write_time(NOW + timedelta(hours=1)),
        "officers": [{"name": name, "key": keys[name].document_key} for name in ("one", "other")],
    }
    (tmp_path / "letter.json").write_text(json.dumps(letter))
    (tmp_path / "persons.txt").write_text("99010119700101001x\n\n 99010119700101001X \n990101197001010027\n")
    return letter


def _list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    paths = [str(tmp_path / name) for name in ("letter.json", "persons.txt", "one.key", "list.json")]
    assert papers.main(["list", "--letter", paths[0], "--persons", paths[1], "--key", paths[2], "--out", paths[3]]) == 0
    return capsys.readouterr().out.strip()


def _request(letter: dict[str, Any], approved: str) -> dict[str, Any]:
    parameters = private_lookup.parameters(
        input={"dataset": "declaration", "commitment": "a" * 64},
        person="person",
        declared=None,
        key="pid",
        columns=["unit_no"],
        subjects=2,
        letter=letter,
        approved=approved,
    )
    return documents.request(
        computation="urn:hengshu:computation:01JD000000000000000000000A",
        terms={"id": "urn:hengshu:contract:01JD000000000000000000000A", "purpose": {"code": "supervision"}},
        operation="private_lookup",
        parameters=parameters,
        created=NOW,
        expires=NOW + timedelta(hours=1),
    )


def test_papers_signed_apart_are_what_the_engine_accepts(
    tmp_path: Path, desk: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    digest = _list(tmp_path, capsys)
    request = _request(desk, digest)
    (tmp_path / "request.json").write_text(json.dumps(request))
    for name in ("one", "other"):
        files = ["--request", str(tmp_path / "request.json"), "--key", str(tmp_path / f"{name}.key")]
        assert papers.main(["release", *files, "--out", str(tmp_path / f"{name}.json")]) == 0
    laid = [str(tmp_path / f"{name}.json") for name in ("list", "one", "other")]
    assert papers.main(["keep", "--home", str(tmp_path / "node"), *laid]) == 0

    state = tmp_path / "node" / "engine_state" / "oprf_lookup-1"
    document = json.loads((state / "approved" / f"{digest}.json").read_bytes())
    persons = letters.approved_persons(document, letter=desk, digest=digest)
    assert persons == {"99010119700101001x", "990101197001010027"}
    found = [json.loads(path.read_bytes()) for path in (state / "releases").glob(f"{statements.digest(request)}-*")]
    letters.check_releases(found, request=request)
    assert all(path.stat().st_mode & 0o077 == 0 for path in state.rglob("*.json"))
    assert (tmp_path / "list.json").stat().st_mode & 0o077 == 0


def test_a_key_that_the_letter_does_not_name_releases_nothing(
    tmp_path: Path, desk: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "request.json").write_text(json.dumps(_request(desk, _list(tmp_path, capsys))))
    files = ["--request", str(tmp_path / "request.json"), "--key", str(tmp_path / "stranger.key")]
    assert papers.main(["release", *files, "--out", str(tmp_path / "x.json")]) == 1
    assert not (tmp_path / "x.json").exists()
    assert papers.main(["keep", "--home", str(tmp_path / "node"), str(tmp_path / "request.json")]) == 1
