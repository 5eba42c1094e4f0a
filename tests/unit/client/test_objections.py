"""A person's commands: an objection leaves sealed, only with its own token; an answer is shown only if it holds."""

import argparse
import base64
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from compute.protocol import notices, objections, shapes
from exchange.client.commands import objections as commands
from exchange.client.context import Context
from exchange.client.errors import ClientError
from exchange.client.output import Output
from exchange.client.store import Home
from ledger.proofs import statements
from tests.factories import notices as factory
from tests.factories.node import World

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
URN = "urn:hengshu:objection:01JD000000000000000000000A"
IDENTIFIER, DISPUTED = "99010119800101001X", "缴存月数有误。"


class Exchange:
    """What the exchange answers; everything that reached it is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.filed: dict[str, dict[str, Any]] = {}

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self.asked.append((path, body))
        if path.endswith("status/"):
            return [item for token, item in self.filed.items() if token == body["token"]]
        item = {
            "urn": URN,
            "organization": body["organization"],
            "state": "filed",
            "filed_at": "2026-11-21T08:00:00Z",
            "last_day": "2026-12-11",
            "is_overdue": False,
            "outcome": "",
            "sealed_answer": None,
        }
        self.filed[body["token"]] = item
        return item


class Person:
    """A person with a card, two runs in the notices, and a machine of its own."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.exchange, self.folder = World(tmp_path / "world"), Exchange(), tmp_path
        self.card = factory.card()
        (tmp_path / "card.json").write_text(json.dumps(self.card))
        (tmp_path / "text.txt").write_text(DISPUTED + "\n", encoding="utf-8")
        contract = factory.scoring_contract(self.world)
        requests = [factory.scoring_request(self.world, contract) for _ in range(2)]
        self.batches = {
            str(number): notices.make(
                factory.signed_statement(self.world, contract, request), [self.card["public_key"]]
            )[0]
            for number, request in enumerate(requests)
        }
        self.runs = [request["id"] for request in requests]
        listing = [{"ref": name} for name in self.batches]
        monkeypatch.setattr(commands.subject, "listing", lambda api, since: listing)
        monkeypatch.setattr(commands.subject, "fetch", lambda api, item: self.batches[item["ref"]])
        monkeypatch.setattr(Context, "api", lambda context, public=False: self.exchange)
        self._patch = monkeypatch

    def call(self, command: Any, *, lang: str = "en", stdin: str = "", **given: Any) -> dict[str, Any]:
        self._patch.setattr("sys.stdin", io.StringIO(stdin))
        out = Output(as_json=True, language=lang)
        told: list[dict[str, Any]] = []
        self._patch.setattr(Output, "document", lambda _, value: told.append(value))
        args = {"card": str(self.folder / "card.json"), "days": 90, "computation": "", "provider": ""}
        args["text"] = str(self.folder / "text.txt")
        assert command(Context(Home(self.folder / "home"), out), argparse.Namespace(**{**args, **given})) == 0
        return told[-1]

    def object(self, **given: Any) -> dict[str, Any]:
        given = {"computation": self.runs[0], "provider": self.world.orgs["fund-a"], **given}
        return self.call(commands.file, stdin=IDENTIFIER + "\n", **given)

    def answered(self, *, signer: str = "fund-a", to: str = "", outcome: str = "upheld") -> None:
        """The provider's answer, or somebody else's, reaches the exchange."""
        ((token, item),) = self.exchange.filed.items()
        document = objections.answer(
            objection=URN, organization=item["organization"], outcome=outcome, text="与凭证一致。", created=NOW
        )
        signed = statements.sign(document, key=self.world.keys[signer].document, created=shapes.write_time(NOW))
        digest = notices.token_digest(bytes.fromhex(token))
        sealed = objections.seal_answer(signed, to=to or self.card["public_key"], token_digest=digest)
        item |= {"state": "answered", "outcome": outcome, "sealed_answer": base64.b64encode(sealed).decode()}


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    return Person(tmp_path, monkeypatch)


def test_an_objection_leaves_sealed_and_opens_at_its_provider_only(person: Person) -> None:
    told = person.object()

    ((path, body),) = person.exchange.asked
    assert (path, told["last_day"]) == ("subjects/objections/", "2026-12-11")
    assert set(body) == {"token", "organization", "sealed"}
    document = objections.open_objection(
        base64.b64decode(body["sealed"]),
        token_digest=notices.token_digest(bytes.fromhex(body["token"])),
        computation=person.runs[0],
        organization=person.world.orgs["fund-a"],
        key=person.world.keys["fund-a"].sealing,
    )
    assert (document["identifier"], document["disputed"]) == (IDENTIFIER, DISPUTED)
    assert document["answer_key"] == person.card["public_key"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"computation": "urn:hengshu:computation:01JD000000000000000000000Z"}, "NOTICE_MISSING"),
        ({"provider": "nobody"}, "PROVIDER_UNKNOWN"),
        ({"provider": ""}, "PROVIDER_UNKNOWN"),
        ({"text": "/nowhere"}, "FILE_UNREADABLE"),
        ({"card": "/nowhere"}, "CARD_INVALID"),
    ],
)
def test_what_cannot_be_filed_reaches_nobody(person: Person, given: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        person.object(**given)

    assert refused.value.code == code
    assert person.exchange.asked == []


def test_asking_names_no_token_that_the_exchange_has_not_seen(person: Person) -> None:
    person.object()
    filed = person.exchange.asked[0][1]["token"]

    (state,) = person.call(commands.answers)["objections"]

    assert [body for path, body in person.exchange.asked if path.endswith("status/")] == [{"token": filed}]
    assert (state["state"], state["text"], state["computation"]) == ("filed", "", person.runs[0])


def test_the_answer_is_opened_and_checked(person: Person) -> None:
    person.object()
    person.answered()

    (state,) = person.call(commands.answers)["objections"]
    (elsewhere,) = person.call(commands.answers, computation=person.runs[0])["objections"]

    assert (state["outcome"], state["text"], state["trouble"]) == ("upheld", "与凭证一致。", "")
    assert elsewhere == state


def test_an_answer_by_somebody_else_is_not_shown(person: Person) -> None:
    person.object()
    person.answered(signer="bank")
    (forged,) = person.call(commands.answers)["objections"]
    person.answered(to=factory.card()["public_key"])
    (misdirected,) = person.call(commands.answers, lang="zh")["objections"]

    assert (forged["text"], forged["trouble"]) == ("", "SIGNATURE_MISSING")
    assert (misdirected["text"], misdirected["trouble"]) == ("", "SEAL_INVALID")


def test_what_is_kept_is_for_its_owner_only_and_names_no_person(person: Person) -> None:
    person.object()

    kept = [path for path in (person.folder / "home").rglob("*") if path.is_file()]
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]
    assert not any(secret in kept[0].read_text() for secret in (IDENTIFIER, DISPUTED, person.card["private_key"]))
