"""B9: an objection marks the record, and is answered: person, owner of a node and bank, each on a machine of its own.

Overdue, with the clock moved: `tests/unit/subjects/test_objections.py`.
"""

import time

import pytest

from exchange.runner.world import member
from tests.functional.acceptance.bank import Bank
from tests.functional.acceptance.persons import Person

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

PERSON = 20  # the applicant's number; every agency knows it, with consent
DISPUTED, ANSWER = "缴存月数应为 36 个月。\nI paid for 36 months.", "经核对原始凭证，已更正。"


def listed(person, computation):
    """The run in the person's list; the exchange publishes its notices with the result."""
    end = time.monotonic() + 60
    while True:
        found = [one for one in person.runs() if one["computation"] == computation]
        if found or time.monotonic() > end:
            return found
        time.sleep(0.5)


def objected(person, computation, provider, identifier):
    """The person's objection, from a file and the keyboard."""
    text = person.folder / "text.txt"
    text.write_text(DISPUTED, encoding="utf-8")
    words = ("--computation", computation, "--provider", provider, "--text", str(text), "--card", str(person.card))
    return person.run("subject", "object", *words, stdin=identifier + "\n")


@pytest.fixture(scope="module")
def person(market, tmp_path_factory):
    return Person(tmp_path_factory.mktemp("person"), market.story.stack.url)


@pytest.fixture(scope="module")
def bank(market, person):
    return Bank(market, cards={PERSON: person.public_key})


def owner(market, *words):
    """The housing fund's owner, at its node."""
    return market.story.parties.node_cli(member("fund-a"), "objection", *words)


def disputed(market, asked):
    """The applicants whose score says so, and the scores."""
    assert asked.state == "released", asked.code
    rows = market.opened(asked)["rows"]
    return [row["row"] for row in rows if row["disputed"]], [(row["score"], row["reasons"]) for row in rows]


def test_b9_an_objection_marks_the_record_until_it_is_answered(market, bank, person):
    first = bank.ask()
    before, scores = disputed(market, first)
    (run,) = listed(person, first.request["id"])
    fund = market.story.organizations["fund-a"]["urn"]

    filed = objected(person, run["computation"], fund, bank.applicants[PERSON])
    ref = filed["urn"].rpartition(":")[2]
    (waiting,) = owner(market, "list")
    shown = owner(market, "show", ref)
    owner(market, "mark", ref)
    while_open, same_scores = disputed(market, bank.ask())

    (market.story.stack.member("fund-a") / "answer.txt").write_text(ANSWER, encoding="utf-8")
    owner(market, "answer", ref, "--outcome", "corrected", "--text", "answer.txt")
    (answer,) = person.run("subject", "answer", "--card", str(person.card))["objections"]
    after, _ = disputed(market, bank.ask())

    assert (before, while_open, after) == ([], [PERSON], [])
    assert same_scores == scores, "the mark says that somebody objects, and changes nothing else"
    assert (shown["identifier"], shown["disputed"]) == (bank.applicants[PERSON], DISPUTED)
    assert (waiting["objection"], waiting["last_day"]) == (filed["urn"], filed["last_day"])
    assert (answer["state"], answer["outcome"], answer["text"]) == ("answered", "corrected", ANSWER)
    assert (answer["trouble"], answer["is_overdue"]) == ("", False)
    entries = market.story.parties.session("auditor").get("ledger/entries/", query={"subject": filed["urn"]})["results"]
    assert {one["kind"] for one in entries} >= {"objection.filed", "objection.marked", "objection.answered"}
