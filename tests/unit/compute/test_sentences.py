"""Every code of this app says something in Chinese, and every way to end does in both languages."""

import inspect

import pytest

from compute import errors
from compute.protocol import codes
from exchange.kernel.errors import DomainError
from exchange.web import sentences

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, DomainError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_code_has_a_chinese_sentence(kind):
    assert sentences.sentence(kind.code, english="", language="zh-hans")


@pytest.mark.parametrize("code", errors.END_SENTENCES)
def test_every_end_is_explained_in_both_languages(code):
    assert errors.END_SENTENCES[code].endswith(".")
    assert sentences.sentence(code, english="", language="zh-hans")


@pytest.mark.parametrize("code", ["LEASE_LOST", "DEADLINE_PASSED", "CONTRACT_REVOKED"])
def test_codes_shared_with_nodes_are_in_the_closed_list(code):
    assert codes.is_known(code)
