"""Every code that a page may show has words, and every text of the pages has its Chinese."""

import importlib.machinery
import importlib.util
import re
from enum import StrEnum
from pathlib import Path

import pytest
from django.utils import translation

from compute import states as compute_states
from compute import technique_words
from compute.engines import registry
from compute.protocol import operations, stages
from contracts import clause_words, postings
from contracts import states as contract_states
from exchange.members import states as member_states
from exchange.members.permissions import Role
from exchange.web import labels, verify_words
from ledger import models as ledger_models
from ledger.kinds import EntryKind
from ledger.proofs import receipts
from listings import states as listing_states
from listings import words as listing_words

PROJECT = Path(__file__).resolve().parents[3]

TABLES: tuple[tuple[type[StrEnum], str], ...] = (
    (compute_states.ComputationState, "state"),
    (compute_states.TaskState, "state"),
    (compute_states.ConsentState, "state"),
    (contract_states.ContractState, "state"),
    (contract_states.GrantState, "state"),
    (contract_states.ReservationState, "state"),
    (member_states.OrganizationStatus, "state"),
    (listing_states.ProductState, "state"),
    (listing_states.CertificateState, "state"),
    (listing_states.ReviewDecision, "state"),
    (member_states.MerchantKind, "merchant"),
    (member_states.KeyPurpose, "key"),
    (Role, "role"),
    (EntryKind, "entry"),
    (technique_words.Technique, "technique"),
    (technique_words.TaskKind, "task_kind"),
    (technique_words.Control, "control"),
    (listing_words.ProductKind, "product"),
    (listing_words.Personal, "personal"),
    (listing_words.DeliveryMode, "technique"),
    (listing_words.RegionScope, "specification"),
    (listing_words.UpdateFrequency, "specification"),
    (listing_words.SourceType, "specification"),
    (postings.AccountKind, "account"),
    (postings.TransferKind, "account"),
)


def messages_tool():
    """`scripts/messages` as a module: it is a program without a suffix."""
    loader = importlib.machinery.SourceFileLoader("messages_tool", str(PROJECT / "scripts" / "messages"))
    spec = importlib.util.spec_from_loader("messages_tool", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(("words", "table"), TABLES, ids=[f"{words.__name__}" for words, _ in TABLES])
def test_every_code_has_words(words, table):
    missing = [word.value for word in words if word.value and word.value not in labels.TABLES[table]]

    assert missing == []


@pytest.mark.parametrize("states", [ledger_models.ChainRecordState, ledger_models.AttemptState])
def test_every_state_of_the_chain_has_words(states):
    assert [value for value in states.values if value not in labels.STATES] == []


def test_every_operation_and_engine_has_words():
    for operation in operations.OPERATIONS.values():
        assert operation.code in labels.OPERATIONS
        assert operation.engine in labels.ENGINES


def test_every_stage_role_and_result_of_a_run_has_words():
    roles = {item.role for engine in registry.ids() for item in registry.get(engine).card.learned}

    assert [stage for stage in stages.STAGES if stage not in labels.TABLES["stage"]] == []
    assert [role for role in sorted(roles) if role not in labels.TABLES["role"]] == []
    assert [one.code for one in operations.OPERATIONS.values() if one.result not in clause_words.VALUES] == []


def test_every_state_with_a_tone_has_words():
    assert set(labels.TONES) <= set(labels.STATES) | set(labels.OBJECTIONS)


def test_an_unknown_code_is_shown_as_it_is():
    assert labels.label("quite_new") == "quite new"
    assert labels.tone("quite_new") == "neutral"


def test_one_code_in_two_tables_is_told_apart():
    with translation.override("en"):
        assert labels.label("hold", "specification") == "Right to hold"
        assert labels.label("hold", "account") == "Set aside"


def test_every_text_has_its_chinese():
    assert messages_tool().problems() == []


def test_a_text_without_chinese_is_found(monkeypatch):
    tool = messages_tool()
    found = tool.texts()
    found[("", "Never translated")] = tool.Text("Never translated", places=["here"])
    monkeypatch.setattr(tool, "texts", lambda: found)

    assert tool.problems() == ["here: not in the catalogue (run scripts/messages extract): 'Never translated'"]


def test_texts_are_read_from_templates_with_their_plurals_and_variables():
    tool = messages_tool()
    source = (
        '{% translate "One" %}{% blocktranslate count n=rows %}{{ n }} row of 5%{% plural %}{{ n }} rows'
        '{% endblocktranslate %}{% url "x" as y %}{{ _("Two") }}'
    )

    found = {text.singular: text.plural for text in tool._of_template(source, "x.html")}

    assert found == {"One": "", "%(n)s row of 5%%": "%(n)s rows", "Two": ""}


def test_the_page_of_verification_names_every_question():
    script = (PROJECT / "static" / "js" / "verify.js").read_text()
    listed = re.search(r"QUESTIONS = \[(.*?)\]", script, re.S)
    assert listed is not None

    assert set(re.findall(r'"(\w+)"', listed[1])) == set(verify_words.words()["names"])


def test_the_page_and_the_command_line_ask_in_the_same_words():
    asked = {question.en: question.zh for question in receipts._QUESTIONS}

    with translation.override("zh-hans"):
        assert {english: translation.gettext(english) for english in asked} == asked
