"""Cards and withdrawals as an operator lays them into a node."""

import io
import json
import stat
from pathlib import Path

import pytest

from compute.engines.errors import EngineRefused
from compute.engines.scoring import cards, consents, kept
from compute.node import models

FEATURE = {"column": "months", "cuts": [12, 24], "points": [-40, 0, 30], "absent": -20}


def test_a_card_without_salt_gets_one_and_is_found_by_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {**cards.scorecard(version="2026-11", base=600, features=[FEATURE])}
    del document["salt"]
    (tmp_path / "card.json").write_text(json.dumps(document))

    assert models.main(["--home", str(tmp_path), "card", str(tmp_path / "card.json")]) == 0

    commitment = capsys.readouterr().out.strip()
    directory = tmp_path / models.STATE / kept.COMMON
    card = cards.Card.read(kept.read_card(directory, commitment))
    assert (card.commitment, card.document["version"], len(card.document["salt"])) == (commitment, "2026-11", 64)
    assert stat.S_IMODE((directory / "cards" / f"{commitment}.json").stat().st_mode) == 0o600
    assert models.main(["--home", str(tmp_path), "list"]) == 0
    assert capsys.readouterr().out.split() == ["card", commitment, "2026-11"]


def test_what_is_no_card_is_refused_and_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "card.json").write_text("[]")

    assert models.main(["--home", str(tmp_path), "card", str(tmp_path / "card.json")]) == 1

    assert "model" in capsys.readouterr().err
    assert not (tmp_path / models.STATE).exists()


def test_only_a_released_card_may_use_an_agency_s_tables(tmp_path: Path) -> None:
    directory, commitment = tmp_path / models.STATE / kept.COMMON, "ab" * 32

    for where, wanted in ((directory, commitment), (None, commitment)):
        with pytest.raises(EngineRefused) as refused:
            kept.check_released(where, wanted)
        assert refused.value.code == "RELEASE_MISSING"
    assert models.main(["--home", str(tmp_path), "release", commitment]) == 0
    assert models.main(["--home", str(tmp_path), "release", "ab"]) == 1

    kept.check_released(directory, commitment)
    with pytest.raises(EngineRefused):
        kept.check_released(directory, "cd" * 32)


def test_a_withdrawal_is_noted_in_its_canonical_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for option, line in (([], "９90101198001010001\n\n99010119800101000X\n"), (["--spouse"], "990101198001010003\n")):
        monkeypatch.setattr("sys.stdin", io.StringIO(line))
        assert models.main(["--home", str(tmp_path), "withdraw", *option]) == 0

    found = consents.withdrawn(tmp_path / models.STATE / kept.COMMON)

    assert found == {
        "": frozenset({"990101198001010001", "99010119800101000x"}),
        consents.SPOUSE: frozenset({"990101198001010003"}),
    }
    path = tmp_path / models.STATE / kept.COMMON / consents.WITHDRAWALS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
