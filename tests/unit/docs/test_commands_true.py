"""Every command line that a page shows is one that the programs understand."""

import argparse
import re
from pathlib import Path

import pytest

from compute.node import cli as node_cli
from exchange.client import cli

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
SHOWN = re.compile(r"(?:^|`)(hengshu(?:-node)?) ((?:[^`\n]|\\\n)+)", re.MULTILINE)
PARSERS = {"hengshu": cli.build_parser("en"), "hengshu-node": node_cli._parser()}


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The command lines of a page: program and words, comments and line ends left out."""
    found = []
    for program, rest in SHOWN.findall(text):
        words = re.split(r"\s#|\||·", rest.replace("\\\n", " "))[0].split()
        found.append((program, words))
    return found


def misunderstood(program: str, words: list[str]) -> str:
    """The first word that the program does not know; empty when all is well."""
    parser, known = PARSERS[program], _options(PARSERS[program])
    for word in words:
        if word.startswith("--"):
            if re.split(r"[=\])]", word)[0] not in known:
                return word
            continue
        below = _below(parser)
        if below and re.fullmatch(r"[a-z]+", word) and word in below:
            parser = below[word]
            known |= _options(parser)
        elif below and re.fullmatch(r"[a-z]+", word) and parser is PARSERS[program] and not _is_value(words, word):
            return word
    return ""


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def _is_value(words: list[str], word: str) -> bool:
    return words.index(word) > 0 and words[words.index(word) - 1].startswith("--")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_of_a_page_is_understood(page):
    text = page.read_text(encoding="utf-8")

    assert [(*one, misunderstood(*one)) for one in commands(text) if misunderstood(*one)] == []


def test_a_command_line_that_is_not_understood_is_noticed():
    text = "`hengshu keys new --out f` `hengshu dance now` `hengshu-node --home H run`"

    assert [misunderstood(*one) for one in commands(text)] == ["--out", "dance", ""]
