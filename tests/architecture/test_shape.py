"""The shape of the code that a reader may rely on."""

import ast
import re
from pathlib import Path

import pytest

from exchange.web import labels
from ledger.kinds import EntryKind

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("exchange", "listings", "contracts", "compute", "ledger")
SOURCES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts
)
LONG = {"exchange/web/labels.py": "one table of words; splitting it would hide a missing one"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_can_be_read_in_one_sitting_and_says_what_it_is_for(path):
    text = path.read_text(encoding="utf-8")
    name = str(path.relative_to(ROOT))

    assert len(text.splitlines()) <= 500 or name in LONG
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "a module says in its first line what it does"


def test_every_kind_of_entry_has_a_word_in_both_languages():
    known = set(labels.ENTRY_KINDS)

    assert {kind.value for kind in EntryKind} <= known


def test_package_roots_stay_empty_so_that_a_node_may_import_below_them():
    for package in ("exchange", "compute", "contracts", "ledger", "compute/node", "compute/engines", "ledger/proofs"):
        assert (ROOT / package / "__init__.py").read_text() == ""


def test_nothing_is_left_for_later():
    pattern = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    found = [str(path.relative_to(ROOT)) for path in SOURCES if pattern.search(path.read_text(encoding="utf-8"))]

    assert found == []


def test_web_code_writes_nothing_by_itself():
    """Views reach objects through doors and write through actions."""
    writes = re.compile(r"\.objects\.(create|update|bulk_create|get_or_create)|\.save\(|\.delete\(|transaction\.atomic")
    views = [path for path in SOURCES if path.name in {"views.py", "serializers.py", "forms.py"}]
    found = [str(path.relative_to(ROOT)) for path in views if writes.search(path.read_text(encoding="utf-8"))]

    assert found == []
