"""Questions about evidence and their answers: PASS, FAIL, or NOT CHECKED with the reason."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ledger.proofs.errors import VerificationError


class Status(StrEnum):
    """The answer to one question."""

    PASS = "PASS"  # noqa: S105  not a password
    FAIL = "FAIL"
    NOT_CHECKED = "NOT_CHECKED"


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Args:
        name: a stable word for programs.
        required: whether the bundle is only accepted when this is PASS.
        code: why it failed or stays open, upper-snake-case; empty when it passed.
        detail: one sentence for people, in English; `detail_zh` says the same in Chinese.
    """

    name: str
    name_zh: str
    name_en: str
    status: Status
    detail: str = ""
    detail_zh: str = ""
    code: str = ""
    required: bool = True

    def document(self) -> dict[str, Any]:
        """The check as JSON."""
        return {
            "name": self.name,
            "name_zh": self.name_zh,
            "name_en": self.name_en,
            "status": str(self.status),
            "required": self.required,
            "code": self.code,
            "detail": self.detail,
            "detail_zh": self.detail_zh,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What a passed question found, a sentence in English and Chinese."""

    en: str
    zh: str


class Open(Exception):
    """A question that this evidence, under this policy, leaves open.

    Args:
        code: a stable upper-snake-case word, such as `NO_ANCHOR`.
        en, zh: one sentence for people that says what to do.
    """

    def __init__(self, code: str, en: str, zh: str) -> None:
        super().__init__(en)
        self.code = code
        self.en = en
        self.zh = zh


def ask(name: str, zh: str, en: str, answer: Callable[[], Found | None], *, required: bool = True) -> Check:
    """Put one question: `answer` returns what it found, or raises `VerificationError` or `Open`."""
    try:
        found = answer()
    except VerificationError as error:
        return Check(name, zh, en, Status.FAIL, sentence(error), f"核验未通过（{error.code}）。", error.code, required)
    except Open as reason:
        return Check(name, zh, en, Status.NOT_CHECKED, reason.en, reason.zh, reason.code, required)
    if found is None:
        return Check(name, zh, en, Status.PASS, required=required)
    return Check(name, zh, en, Status.PASS, found.en, found.zh, required=required)


def accepted(checks: list[Check]) -> bool:
    """Whether nothing failed and every required question was answered with PASS."""
    return bool(checks) and all(
        check.status is Status.PASS or (check.status is Status.NOT_CHECKED and not check.required) for check in checks
    )


def sentence(error: VerificationError) -> str:
    """An error as a sentence for people."""
    return error.message[:1].upper() + error.message[1:] + "."
