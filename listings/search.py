"""Full-text search that finds Chinese words of any length with PostgreSQL's own index (pure).

A run of Chinese characters is indexed as its overlapping pairs, each at the position of its first
character, and its last character alone: 公积金 becomes 公积@1 积金@2 金@3. A question is cut the same way
and asked as a phrase with exact distances: 公积金 asks for 公积 followed at distance 1 by 积金. Every
character of a text thus begins some entry of the index, so that one character is asked as a prefix (房:*).
Latin letters and digits are words; the last Latin word of a question may be a beginning. Nothing
matches that a plain substring search of at least two characters would not, and the index serves all of it.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

_RUNS = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+|[^\W_\u3400-\u9fff\uf900-\ufaff]+")
_FIRST_CJK = "\u3400"
MAX_POSITION = 16_383  # of a tsvector; what stands behind it is not found
MAX_WORDS = 16  # of one question
_GAP = 2  # between texts, so that no phrase spans two of them


def vector(texts: Iterable[tuple[str, str]]) -> str:
    """The tsvector literal of several texts.

    Args:
        texts: each with its weight, A (most) to D.
    """
    entries = []
    position = 1
    for text, weight in texts:
        for run, is_chinese in _runs(text):
            if is_chinese:
                pairs = [run[index : index + 2] for index in range(len(run))]  # the last one is one character
                entries += [f"'{pair}':{position + at}{weight}" for at, pair in enumerate(pairs)]
                position += len(run)
            else:
                entries.append(f"'{run}':{position}{weight}")
                position += 1
            if position >= MAX_POSITION:
                return " ".join(entries[: MAX_POSITION - 1])
        position += _GAP
    return " ".join(entries)


def query(words: str) -> str:
    """The tsquery literal of a question: all words, each as a phrase; empty when nothing can be asked."""
    phrases = [_phrase(word) for word in words.split()[:MAX_WORDS]]
    return " & ".join(f"({phrase})" for phrase in phrases if phrase)


def _phrase(word: str) -> str:
    """One word, cut into runs, as a phrase with the distances the index has."""
    terms: list[tuple[int, str]] = []
    position = 0
    runs = _runs(word)
    for index, (run, is_chinese) in enumerate(runs):
        is_last = index == len(runs) - 1
        if not is_chinese or len(run) == 1:
            terms.append((position, f"'{run}':*" if is_last else f"'{run}'"))
            position += 1
        else:
            terms += [(position + at, f"'{run[at : at + 2]}'") for at in range(len(run) - 1)]
            position += len(run)
    if not terms:
        return ""
    phrase = terms[0][1]
    for (before, _), (here, term) in pairwise(terms):
        phrase += f" <{here - before}> {term}"
    return phrase


def _runs(text: str) -> list[tuple[str, bool]]:
    folded = unicodedata.normalize("NFKC", text).lower()
    return [(run, run[0] >= _FIRST_CJK and not run[0].isascii()) for run in _RUNS.findall(folded)]
