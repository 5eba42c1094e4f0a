"""The officers' tool for household sets: the same list whoever of a set is meant, and a set is cut once."""

import csv
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from compute.node import crowds

K = 20


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "households.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(crowds.COLUMNS)
        for number in range(200):
            for member in range(1 + number % 3):
                writer.writerow([f"h{number}", f"99010{number % 2}", "30", f"p{number}-{member}"])
    assert crowds.main(["cut", "--directory", str(path), "--k", str(K), "--kept", str(tmp_path / "kept.json")]) == 0
    return path


def ask(directory: Path, persons: Sequence[str], name: str) -> list[str]:
    folder = directory.parent
    (folder / f"{name}.in").write_text("\n".join(persons))
    words = ["--directory", str(directory), "--kept", str(folder / "kept.json")]
    words += ["--persons", str(folder / f"{name}.in"), "--out", str(folder / name)]
    assert crowds.main(["ask", *words]) == 0
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    return (folder / name).read_text().split()


def test_everybody_of_a_set_is_asked_for_by_the_same_list(directory: Path) -> None:
    first = ask(directory, ["p8-0"], "first")

    assert len({person.split("-")[0] for person in first}) >= K
    assert {"p8-0", "p8-1", "p8-2"} <= set(first), "whole households"
    assert first == sorted(first)
    for number, person in enumerate(first[:: len(first) // 5]):
        assert ask(directory, [person.upper()], f"other{number}") == first
    both = ask(directory, ["p8-0", "p9-0"], "both")
    assert set(both) > set(first), "another region is another set"


def test_sets_are_cut_once_and_strangers_are_refused(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = directory.parent
    kept = (folder / "kept.json").read_bytes()
    assert stat.S_IMODE((folder / "kept.json").stat().st_mode) == 0o600
    assert crowds.main(["cut", "--directory", str(directory), "--kept", str(folder / "kept.json")]) == 1
    assert (folder / "kept.json").read_bytes() == kept

    (folder / "stranger").write_text("p8-0\nsomebody-else\n")
    words = ["ask", "--directory", str(directory), "--kept", str(folder / "kept.json")]
    assert crowds.main([*words, "--persons", str(folder / "stranger"), "--out", str(folder / "never")]) == 1
    assert not (folder / "never").exists()
    assert "somebody" not in capsys.readouterr().err.split("Somebody")[-1]


def test_two_directories_with_two_secrets_have_other_sets(directory: Path) -> None:
    first = ask(directory, ["p8-0"], "first")
    (directory.parent / "kept.json").unlink()
    crowds.main(["cut", "--directory", str(directory), "--k", str(K), "--kept", str(directory.parent / "kept.json")])

    assert ask(directory, ["p8-0"], "again") != first
