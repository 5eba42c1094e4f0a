"""Receipt bundles: everything about one purchase that an outsider needs to judge it, offline.

`verify` takes the bytes of a `hengshu/receipt-bundle/v1` and a trust policy, and answers every question
one by one: PASS, FAIL, or NOT CHECKED with the reason. It reads no clock, no disk and no network. The
bytes are canonical JSON signed by the exchange, so one changed byte anywhere fails.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ledger.proofs import canonical, checkpoints, policies, receipt_rules, statements
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import TrustPolicy
from ledger.proofs.receipt_rules import TYPE, Evidence

__all__ = ["TYPE", "Check", "Status", "accepted", "verify"]

MAX_BYTES = 4 * 1024 * 1024
_MEMBERS = {"type", "number", "computation", "documents", "entries", "checkpoint", "anchor", "charge", "proof"}
_DOCUMENTS = {"contract", "request", "job", "consents", "reports"}
_TAMPERED_ZH = "凭证包已损坏或被改动，其余各项不再核验。"
_TAMPERED_EN = "The bundle is damaged or has been changed; nothing further was checked."


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
        code: why it failed, upper-snake-case; empty otherwise.
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
class _Question:
    name: str
    zh: str
    en: str
    answer: Callable[[Evidence], None]


# The order is the order of the page: first who speaks, then what was agreed, what ran, what was logged.
_QUESTIONS = (
    _Question("contract", "合约由所列各方签署", "The contract is signed by every party named in it",
              receipt_rules.check_contract),
    _Question("request", "计算请求由需方签署", "The request is signed by the buyer named in the contract",
              receipt_rules.check_request),
    _Question("job", "作业书由交易所签署，结果只交给需方密钥",
              "The job is signed by the exchange and its result goes to the buyer's key", receipt_rules.check_job),
    _Question("consents", "各执行方均已同意", "Every party of the job has consented", receipt_rules.check_consents),
    _Question("reports", "执行报告由各方密钥签署且一致",
              "The execution reports are signed by the parties' keys and agree", receipt_rules.check_reports),
    _Question("checkpoint", "检查点由日志密钥签署", "The checkpoint is signed by the log's key",
              receipt_rules.check_checkpoint),
    _Question("inclusion", "各项记录均在日志之中", "Every entry is included in the log under the checkpoint",
              receipt_rules.check_inclusion),
    _Question("commitments", "各项承诺与所示内容相符", "Every entry's commitment opens to the payload shown",
              receipt_rules.check_commitments),
    _Question("entry_kinds", "授权、接收、放行、计费记录齐备",
              "Authorization, acceptance, release and charge are all logged", receipt_rules.check_entry_kinds),
    _Question("authorization", "授权所载即为本次运行", "The logged authorization is for exactly this run",
              receipt_rules.check_authorization),
    _Question("charge", "收费等于单价乘用量", "The charge is unit price times units", receipt_rules.check_charge),
)  # fmt: skip
_BUNDLE_ZH, _BUNDLE_EN = "凭证包完整并由交易所签署", "The bundle is whole and signed by the exchange"
_ANCHOR_ZH, _ANCHOR_EN = "锚定与检查点一致", "The anchor says the same as the checkpoint"
_CHAIN_ZH, _CHAIN_EN = "链上确有此根", "The chain itself holds this root"


def verify(bundle: bytes, *, policy: TrustPolicy | Mapping[str, Any] | bytes) -> list[Check]:
    """Judge a receipt bundle; never raises for a bad bundle, only for a policy that is none.

    Returns: one check for each question, always the same questions in the same order.
    Raises:
        VerificationError: the policy cannot be read.
    """
    trusted = policy if isinstance(policy, TrustPolicy) else policies.parse(policy)
    try:
        evidence = _open(bundle, policy=trusted)
    except VerificationError as error:
        first = Check(
            "bundle", _BUNDLE_ZH, _BUNDLE_EN, Status.FAIL, _sentence(error), _TAMPERED_ZH, error.code, required=True
        )
        rest = [_not_checked(q.name, q.zh, q.en, _TAMPERED_EN, _TAMPERED_ZH) for q in _QUESTIONS]
        return [
            first,
            *rest,
            _not_checked("anchor", _ANCHOR_ZH, _ANCHOR_EN, _TAMPERED_EN, _TAMPERED_ZH, required=False),
            _not_checked("chain", _CHAIN_ZH, _CHAIN_EN, _TAMPERED_EN, _TAMPERED_ZH, required=False),
        ]
    checks = [Check("bundle", _BUNDLE_ZH, _BUNDLE_EN, Status.PASS)]
    checks += [_ask(question, evidence) for question in _QUESTIONS]
    return [*checks, _anchor(evidence), _chain(evidence)]


def accepted(checks: list[Check]) -> bool:
    """Whether nothing failed and every required question was answered with PASS."""
    return bool(checks) and all(
        check.status is Status.PASS or (check.status is Status.NOT_CHECKED and not check.required) for check in checks
    )


def _open(bundle: bytes, *, policy: TrustPolicy) -> Evidence:
    value = canonical.parse_canonical(bundle, max_bytes=MAX_BYTES)
    statements.expect_type(value, TYPE)
    if set(value) != _MEMBERS or not isinstance(value["documents"], dict) or set(value["documents"]) != _DOCUMENTS:
        raise VerificationError("BUNDLE_INVALID", "the bundle lacks a member or has one that is unknown")
    statements.verify(value, signers=[policy.exchange_document_key])
    if len(statements.proofs(value)) != 1:
        raise VerificationError("BUNDLE_INVALID", "only the exchange signs a bundle")
    return Evidence(value, policy=policy)


def _ask(question: _Question, evidence: Evidence) -> Check:
    try:
        question.answer(evidence)
    except VerificationError as error:
        zh = f"核验未通过（{error.code}）。"
        return Check(
            question.name, question.zh, question.en, Status.FAIL, _sentence(error), zh, error.code, required=True
        )
    return Check(question.name, question.zh, question.en, Status.PASS)


def _anchor(evidence: Evidence) -> Check:
    """The anchor may be missing or cover another size; both leave the question open, neither fails it."""
    if evidence.bundle["anchor"] is None:
        return _not_checked(
            "anchor", _ANCHOR_ZH, _ANCHOR_EN,
            "This bundle carries no anchor. The log's own signature is the only evidence of its order.",
            "本凭证包未附锚定信息，日志顺序仅由日志签名证明。", required=False,
        )  # fmt: skip
    try:
        same_size = receipt_rules.check_anchor(evidence)
    except VerificationError as error:
        return Check(
            "anchor", _ANCHOR_ZH, _ANCHOR_EN, Status.FAIL, _sentence(error), f"核验未通过（{error.code}）。",
            error.code, required=False,
        )  # fmt: skip
    if not same_size:
        return _not_checked(
            "anchor", _ANCHOR_ZH, _ANCHOR_EN,
            "The anchor covers another size of the log, and the bundle does not join the two. Ask for a newer one.",
            "锚定所覆盖的日志大小与检查点不同，包内没有二者的一致性证明，请索取新的凭证包。", required=False,
        )  # fmt: skip
    return Check("anchor", _ANCHOR_ZH, _ANCHOR_EN, Status.PASS, required=False)


def _chain(evidence: Evidence) -> Check:
    """Nothing offline shows what the chain holds yet, and the answer says so."""
    if evidence.bundle["anchor"] is None:
        en, zh = "There is no anchor to look up.", "没有可查的锚定。"
    else:
        en = (
            "Not proven offline: ask a chain node that you trust whether the contract holds this root at this size. "
            "On a development chain no third party keeps it."
        )
        zh = "离线无法证明：请向您信任的链节点查询合约在该大小下是否存有此根；开发链没有第三方保存。"
    return _not_checked("chain", _CHAIN_ZH, _CHAIN_EN, en, zh, required=False)


def _not_checked(name: str, zh: str, en: str, detail: str, detail_zh: str, *, required: bool = True) -> Check:
    return Check(name, zh, en, Status.NOT_CHECKED, detail, detail_zh, required=required)


def _sentence(error: VerificationError) -> str:
    return error.message[:1].upper() + error.message[1:] + "."


def checkpoint_of(bundle: bytes) -> checkpoints.Checkpoint:
    """The checkpoint a bundle rests on, unverified: for showing its size and root beside the answers."""
    value = canonical.parse_canonical(bundle, max_bytes=MAX_BYTES)
    statements.expect_type(value, TYPE)
    return checkpoints.parse(str(value.get("checkpoint", "")))
