"""What the pages say exists, exists: files, functions, links, commands, and every table of states."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands

from compute.protocol import cards

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
FOLDERS = "exchange|ledger|listings|contracts|compute|tests|scripts|docs|templates|locale|static"
FILE = re.compile(rf"`((?:{FOLDERS})/[\w./{{}},*-]+?)(?::([A-Za-z_]\w*(?:\.\w+)*))?`")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)")
COMMAND = re.compile(r"`manage\.py (\w+)")


def _alternatives(pattern: str) -> list[str]:
    """`a/{b,c}.py` as `a/b.py` and `a/c.py`."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    head, tail = pattern[: match.start()], pattern[match.end() :]
    return [found for one in match[1].split(",") for found in _alternatives(head + one + tail)]


def _parsed(path: Path) -> ast.Module:
    """CPython 3.11 counts the depth of its parser over all threads together, and may lose count (its issue 106905)."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SystemError:
        return ast.parse(path.read_text(encoding="utf-8"))


def _defines(path: Path, name: str) -> bool:
    body = _parsed(path).body
    for part in name.split("."):
        for node in body:
            assigned = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if getattr(node, "name", None) == part or part in {getattr(one, "id", None) for one in assigned}:
                body = getattr(node, "body", [])
                break
        else:
            return False
    return True


def untrue(text: str, *, root: Path = ROOT) -> list[str]:
    """The files and functions that a text names and the project does not have."""
    found = []
    for path, name in FILE.findall(text):
        for one in _alternatives(path.rstrip("/")):
            hits = sorted(root.glob(one))
            if not hits or (name and not any(_defines(hit, name) for hit in hits if hit.suffix == ".py")):
                found.append(f"{one}:{name}" if name else one)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_and_function_a_page_names_is_there(page):
    assert untrue(page.read_text(encoding="utf-8")) == []


def test_a_page_that_names_what_is_gone_is_noticed():
    text = (
        "`exchange/settings.py` `exchange/settings.py:NOWHERE` `compute/{states,gone}.py` `ledger/actions/log.py:seal`"
    )

    assert untrue(text) == ["exchange/settings.py:NOWHERE", "compute/gone.py"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    broken = [link for link, _ in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]

    assert broken == []


def test_every_management_command_a_page_names_is_there():
    named = {name for page in PAGES for name in COMMAND.findall(page.read_text(encoding="utf-8"))}

    assert named - set(get_commands()) == set()


def test_decisions_are_numbered_without_gaps_and_listed_in_order():
    files = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")

    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    assert all(path.read_text(encoding="utf-8").startswith(f"# {int(path.name[:4])}. ") for path in files)
    assert re.findall(r"\((\d{4}-[\w-]+\.md)\)", index) == [path.name for path in files]


def test_the_index_of_the_docs_names_every_page():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / link).resolve() for link, _ in LINK.findall(index)}
    pages = {page for page in PAGES if (ROOT / "docs") in page.parents and page.parent.name != "adr"}

    assert {str(page.relative_to(ROOT)) for page in pages - linked - {ROOT / "docs" / "README.md"}} == set()


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_is_one_screen(name):
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= 45


def test_every_table_of_states_is_drawn_as_it_is():
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts" / "draw-states", "check"], capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stdout) == (0, "")


def test_every_program_of_the_tour_can_be_imported():
    tour = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")

    for module in set(re.findall(r"python -I? ?-m ([\w.]+)", tour)):
        assert importlib.util.find_spec(module), module


def test_every_word_of_the_pages_is_listed_in_both_languages():
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts" / "draw-words", "check"], capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_cards_on_the_pages_are_those_of_the_engines():
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts" / "draw-cards", "check"], capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stdout) == (0, "")


def test_every_card_says_precision_cost_and_what_each_role_learns_in_both_languages():
    for engine, card in cards.cards().items():
        texts = [*card["assumption"].values(), *card["precision"].values(), *card["cost"].values()]
        texts += [item[language] for item in card["learned"] for language in ("zh", "en")]
        assert all(texts), engine
        assert "exchange" in {item["role"] for item in card["learned"]}, engine


def test_the_pages_of_states_use_the_words_of_the_pages():
    words = (ROOT / "docs" / "reference" / "words.md").read_text(encoding="utf-8").split("\n## ")[1]
    shown = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", words, re.MULTILINE))
    wrong = [
        (page.name, state)
        for page in sorted((ROOT / "docs" / "states").glob("*.md"))
        for state, chinese in re.findall(r"^\| (\w+) \| ([^|]+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
        if state in shown and shown[state] != chinese
    ]

    assert wrong == []
