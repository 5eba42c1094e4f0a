"""What the tags of every template write."""

import pytest
from django import forms
from django.template import Context, Template
from django.utils import translation

from exchange.web.templatetags import hengshu as tags


@pytest.mark.parametrize(
    ("fen", "text"),
    [
        (50_000, "¥500.00"),
        (5, "¥0.05"),
        (-123_456_789, "−¥1,234,567.89"),
        (0, "¥0.00"),
        (None, "—"),
    ],
)
def test_money_is_whole_fen(fen, text):
    assert tags.money_fen(fen) == text


@pytest.mark.parametrize(("points", "text"), [(300, "3 %"), (4850, "48.5 %"), (4851, "48.51 %"), (None, "—")])
def test_basis_points_are_percent(points, text):
    assert tags.basis_points(points) == text


def test_a_hash_is_shortened_in_the_middle_and_a_short_text_is_not():
    assert tags.short_hash("0123456789abcdef" * 4) == "01234567…abcdef"
    assert tags.short_hash("short") == "short"


def test_a_name_follows_the_language_and_falls_back_to_the_other():
    names = {"name_zh": "远山银行", "name_en": "Yuanshan Bank"}
    with translation.override("zh-hans"):
        assert tags.localized(names, "name") == "远山银行"
    with translation.override("en"):
        assert tags.localized(names, "name") == "Yuanshan Bank"
        assert tags.localized({"name_zh": "远山银行", "name_en": ""}, "name") == "远山银行"
        assert tags.localized({"zh": "一", "en": "one"}) == "one"


def test_a_party_is_named_from_the_terms():
    terms = {
        "exchange": {"name_zh": "衡数", "name_en": "Hengshu"},
        "parties": [{"organization": "urn:hengshu:org:01", "name_zh": "远山银行", "name_en": "Yuanshan Bank"}],
    }
    with translation.override("en"):
        assert tags.party_name(terms, "urn:hengshu:org:01") == "Yuanshan Bank"
        assert tags.party_name(terms, "exchange") == "Hengshu"
        assert tags.party_name(terms, "urn:hengshu:org:02") == "02"


def test_text_of_others_is_escaped_everywhere():
    hostile = '"><script>alert(1)</script>'
    template = Template(
        "{% hash_value x full=True %}{% state_badge x %}{% progress 5 name=x %}{% gauge 1 2 name=x chart_id='g' %}"
    )

    assert "<script>alert" not in template.render(Context({"x": hostile}))


def test_steps_behind_are_done_and_a_side_exit_is_told():
    with translation.override("en"):
        shown = tags.stepper("draft,submitted,approved", "submitted")
        assert [step["status"] for step in shown["steps"]] == ["done", "current", "ahead"]
        assert tags.stepper("draft,submitted", "rejected")["aside"] == "Rejected"


def test_a_control_has_its_class_and_says_when_it_is_wrong():
    class Sample(forms.Form):
        name = forms.CharField()
        kind = forms.ChoiceField(choices=[("a", "A")])
        text = forms.CharField(widget=forms.Textarea, required=False)

    form = Sample({"name": "", "kind": "a"})

    assert 'class="form-control is-invalid"' in tags.control(form["name"])
    assert 'class="form-select"' in tags.control(form["kind"])
    assert 'rows="4"' in tags.control(form["text"])
    assert [tags.kind_of_control(field) for field in form] == ["input", "select", "input"]


def test_a_time_of_a_document_is_shown_in_local_time():
    shown = tags.moment("2026-11-21T05:30:00Z")
    assert shown is not None
    assert shown.strftime("%H:%M") == "13:30"
    assert tags.moment("no time") is None


def test_an_unknown_failure_code_is_shown_as_it_is():
    assert tags.failure("QUITE_NEW") == "QUITE_NEW"
    with translation.override("en"):
        assert tags.failure("CONTRACT_REVOKED").startswith("The contract has been revoked.")
