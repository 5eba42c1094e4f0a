"""A provider's side of objections: fetched, opened here, marked for the engines, answered; and what dies in between."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from compute.engines.scoring import disputes, kept
from compute.node import cli
from compute.node.client import ExchangeClient
from compute.node.errors import ExchangeRefused
from compute.node.objections import FOLDER, STATE, Desk, ObjectionNotOpen
from compute.protocol import keyfiles, notices, objections, shapes
from tests.factories import node as factory
from tests.fakes.exchange import FakeExchange

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
REF = "01JD000000000000000000000A"
URN, RUN = f"urn:hengshu:objection:{REF}", "urn:hengshu:computation:01JD000000000000000000000B"
PERSON, DISPUTED = "99010119800101001X", "缴存月数有误。"
TOKEN = bytes(range(16))


class Objecting(FakeExchange):
    """The fake exchange with objections to fund-a."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.waiting: list[dict[str, Any]] = []

    def _objections(self, body: dict[str, Any]) -> dict[str, Any]:
        after = body.get("after", "")
        found = [item for item in self.waiting if item["objection"] > after]
        return {"objections": found[:1], "is_all": len(found) <= 1}

    def _mark_objection(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"state": "marked"}

    def _answer_objection(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"state": "answered"}


@pytest.fixture
def fund(tmp_path: Path) -> Iterator[factory.Provider]:
    made = factory.provider(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def exchange(fund: factory.Provider) -> Iterator[Objecting]:
    made = Objecting(document_key=fund.config.trust.exchange_document_key, node_key=fund.keys.document_key)
    yield made
    made.close()


@pytest.fixture
def card() -> dict[str, Any]:
    return notices.new_card(created=NOW)


@pytest.fixture
def desk(fund: factory.Provider, exchange: Objecting, card: dict[str, Any]) -> Desk:
    exchange.waiting = [waiting(fund, card)]
    return Desk(
        config=fund.config,
        keys=fund.keys,
        opening=fund.keys,
        store=fund.store,
        client=ExchangeClient(_reaching(fund.config, exchange.url), fund.keys, clock=lambda: NOW),
        clock=lambda: NOW,
    )


def _reaching(config: Any, url: str) -> Any:
    from dataclasses import replace

    return replace(config, exchange_url=url)


def waiting(fund: factory.Provider, card: dict[str, Any], *, urn: str = URN, **changes: Any) -> dict[str, Any]:
    document = objections.objection(
        computation=RUN,
        organization=fund.config.organization,
        identifier=PERSON,
        disputed=DISPUTED,
        answer_key=card["public_key"],
        created=NOW,
    )
    sealed = objections.seal_objection(document, token=TOKEN, recipient=fund.keys.sealing_key)
    return {
        "objection": urn,
        "computation": RUN,
        "token_digest": notices.token_digest(TOKEN),
        "sealed": base64.b64encode(sealed).decode(),
        "state": "filed",
        "filed": shapes.write_time(NOW),
        "last_day": "2026-12-11",
        **changes,
    }


def engines(desk: Desk) -> Path:
    return desk.config.home / STATE / kept.COMMON


def marked(desk: Desk) -> bool:
    return PERSON.lower() in disputes.marked(engines(desk))


def test_from_the_exchange_to_the_mark_to_the_answer(desk: Desk, exchange: Objecting, card: dict[str, Any]) -> None:
    assert [item["objection"] for item in desk.fetch()] == [URN]
    document = desk.read(REF)
    before = marked(desk)
    desk.mark(REF)
    while_open = marked(desk)
    desk.answer(REF, outcome="corrected", text="已更正。")

    assert (document["identifier"], document["disputed"]) == (PERSON, DISPUTED)
    assert (before, while_open, marked(desk)) == (False, True, False)
    assert exchange.of("mark_objection") == [{"objection": URN}]
    (sent,) = exchange.of("answer_objection")
    answer = objections.open_answer(
        base64.b64decode(sent["sealed_answer"]),
        objection=URN,
        token=TOKEN,
        card=card,
        signers=[desk.keys.document_key],
    )
    assert (answer["outcome"], answer["text"]) == ("corrected", "已更正。")
    assert (sent["outcome"], desk.kept()[0]["state"]) == ("corrected", "answered")


def test_nothing_of_the_person_leaves_or_is_told(desk: Desk, exchange: Objecting) -> None:
    desk.fetch()
    desk.mark(REF)
    desk.answer(REF, outcome="upheld", text="与原始凭证一致。")

    told = json.dumps(exchange.received) + json.dumps(list(_journal(desk)), default=str)
    for secret in (PERSON, DISPUTED, "与原始凭证一致", TOKEN.hex()):
        assert secret not in told
        assert json.dumps(secret)[1:-1] not in told


def _journal(desk: Desk) -> Iterator[Any]:
    from compute.node import journal

    return iter(list(journal.read(desk.store.connection(), limit=100)))


def test_files_are_for_the_node_s_user_only(desk: Desk) -> None:
    desk.fetch()
    desk.mark(REF)

    paths = list((desk.config.home / FOLDER).iterdir()) + list((engines(desk) / "disputes").iterdir())
    assert len(paths) == 2
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}


def test_a_mark_stands_before_the_exchange_is_told_and_until_it_has_the_answer(desk: Desk, exchange: Objecting) -> None:
    desk.fetch()
    exchange.refusals = {"mark_objection": [(409, "INVALID_TRANSITION")], "answer_objection": [(503, "BUSY")]}

    with pytest.raises(ExchangeRefused):
        desk.mark(REF)
    after_refusal = (marked(desk), desk.kept()[0]["state"])
    desk.mark(REF)
    with pytest.raises(Exception, match="503"):
        desk.answer(REF, outcome="corrected", text="已更正。")
    while_away = (marked(desk), desk.kept()[0]["state"])
    desk.answer(REF, outcome="corrected", text="已更正。")

    assert (after_refusal, while_away) == ((True, "filed"), (True, "marked"))
    assert (marked(desk), desk.kept()[0]["state"]) == (False, "answered")
    first, second = exchange.of("answer_objection")
    assert first == second, "what was signed once is sent again, byte for byte"


def test_another_answer_afterwards_is_refused(desk: Desk) -> None:
    desk.fetch()
    desk.mark(REF)
    desk.answer(REF, outcome="corrected", text="已更正。")

    for outcome, text in (("upheld", "已更正。"), ("corrected", "又改。")):
        with pytest.raises(ObjectionNotOpen, match="not changed"):
            desk.answer(REF, outcome=outcome, text=text)
    with pytest.raises(ObjectionNotOpen, match="answered"):
        desk.mark(REF)


def test_first_the_mark_then_the_answer(desk: Desk) -> None:
    desk.fetch()

    with pytest.raises(ObjectionNotOpen, match="not marked"):
        desk.answer(REF, outcome="corrected", text="已更正。")


@pytest.mark.parametrize("ref", ["01JD00000000000000000000ZZ", "../config", "", URN])
def test_a_reference_that_is_not_here_is_refused(desk: Desk, ref: str) -> None:
    desk.fetch()

    with pytest.raises(ObjectionNotOpen, match="objection list"):
        desk.read(ref)


def test_every_page_is_fetched_and_a_marked_one_is_not_overwritten(
    desk: Desk, fund: factory.Provider, exchange: Objecting, card: dict[str, Any]
) -> None:
    others = [f"urn:hengshu:objection:01JD000000000000000000000{letter}" for letter in "BC"]
    exchange.waiting += [waiting(fund, card, urn=urn) for urn in others]

    assert len(desk.fetch()) == 3
    desk.mark(REF)
    assert [item["state"] for item in desk.fetch() if item["objection"] == URN] == ["marked"]


def test_what_the_exchange_makes_up_is_refused(desk: Desk, fund: factory.Provider, exchange: Objecting) -> None:
    exchange.waiting[0]["objection"] = "../../engine_state/x"

    with pytest.raises(shapes.DocumentInvalid):
        desk.fetch()


def test_an_objection_for_another_run_or_key_does_not_open(desk: Desk, exchange: Objecting) -> None:
    exchange.waiting[0]["computation"] = RUN.replace("B", "C")
    desk.fetch()

    with pytest.raises(shapes.DocumentInvalid):
        desk.mark(REF)
    assert not marked(desk)


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def run(desk: Desk, exchange: Objecting, capsys: pytest.CaptureFixture[str]) -> Any:
    config = desk.config.home / "config.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace(desk.config.exchange_url, exchange.url), encoding="utf-8")

    def call(*words: str, lang: str = "en", json_: bool = False) -> tuple[int, str]:
        options = ["--home", str(desk.config.home), "--lang", lang, *(["--json"] if json_ else [])]
        code = cli.main([*options, "objection", *words])
        found = capsys.readouterr()
        return code, found.out + found.err

    return call


def test_the_owner_s_commands(run: Any, desk: Desk, exchange: Objecting, tmp_path: Path) -> None:
    exchange.waiting[0]["filed"] = shapes.write_time(datetime.now(UTC))
    text = tmp_path / "answer.txt"
    text.write_text("Corrected: 36 months.\n", encoding="utf-8")

    assert REF in run("list")[1]
    assert PERSON not in run("list", json_=True)[1]
    shown = run("show", REF)
    assert PERSON in shown[1]
    assert "make sure of the person" in shown[1]
    assert run("answer", REF, "--outcome", "corrected", "--text", str(text))[0] == 1
    assert run("mark", REF) == (0, "Marked as disputed from the next run on; the exchange knows.\n")
    assert marked(desk)
    assert run("answer", REF, "--outcome", "corrected", "--text", str(text), lang="zh")[0] == 0
    assert not marked(desk)
    assert json.loads(run("list", json_=True)[1])[0]["state"] == "answered"


def test_an_older_key_opens_what_was_sealed_before_the_rotation(
    run: Any, desk: Desk, fund: factory.Provider, exchange: Objecting, card: dict[str, Any], tmp_path: Path
) -> None:
    older = keyfiles.generate("older")
    keyfiles.save(older, tmp_path / "older.json")
    document = objections.objection(
        computation=RUN,
        organization=fund.config.organization,
        identifier=PERSON,
        disputed=DISPUTED,
        answer_key=card["public_key"],
        created=NOW,
    )
    sealed = objections.seal_objection(document, token=TOKEN, recipient=older.sealing_key)
    exchange.waiting[0]["sealed"] = base64.b64encode(sealed).decode()
    run("list")

    refused = run("show", REF)
    opened = run("show", REF, "--key", str(tmp_path / "older.json"))

    assert refused[0] == 1
    assert "--key" in refused[1]
    assert PERSON not in refused[1]
    assert PERSON in opened[1]
