"""Receipt bundles: everything about one purchase that an outsider needs to judge it, offline.

`verify` takes the bytes of a `hengshu/receipt-bundle/v1` and a trust policy, and answers every question
one by one: PASS, FAIL, or NOT CHECKED with the reason. It reads no clock, no disk and no network. The
bytes are canonical JSON signed by the exchange, so one changed byte anywhere fails.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ledger.proofs import canonical, chain_rules, checkpoints, key_rules, policies, receipt_rules, statements
from ledger.proofs.checks import Check, Found, Status, accepted, ask, sentence
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import TrustPolicy
from ledger.proofs.receipt_parts import TYPE, Evidence

__all__ = ["TYPE", "Check", "Status", "accepted", "verify"]

MAX_BYTES = 4 * 1024 * 1024
_MEMBERS = {"type", "number", "computation", "documents", "entries", "checkpoint", "anchor", "charge", "proof"}
_DOCUMENTS = {"contract", "request", "job", "consents", "reports"}
_TAMPERED_ZH = "凭证包已损坏或被改动，其余各项不再核验。"
_TAMPERED_EN = "The bundle is damaged or has been changed; nothing further was checked."


Demand = Callable[[TrustPolicy, Evidence | None], bool]


def _always(_: TrustPolicy, __: Evidence | None) -> bool:
    return True


def _with_quorum(policy: TrustPolicy, _: Evidence | None) -> bool:
    """Whether the policy asks for witnesses."""
    return policy.witnesses.quorum > 0


def _on_sealed_chain(policy: TrustPolicy, _: Evidence | None) -> bool:
    """Whether the policy names validators: without them nobody vouches for a block, and its proof decides nothing."""
    return policy.chain is not None and bool(policy.chain.validators)


def _under_grants(policy: TrustPolicy, evidence: Evidence | None) -> bool:
    if evidence is None or not _on_sealed_chain(policy, evidence):
        return False
    try:
        return chain_rules.demands_grants(evidence)
    except VerificationError:  # no contract to ask; its own question says so
        return True


@dataclass(frozen=True, slots=True)
class _Question:
    name: str
    zh: str
    en: str
    answer: Callable[[Evidence], Found | None]
    demanded: Demand = _always


# The order is the order of the page: first who speaks, then what was agreed, what ran, what was logged, and who saw it.
_QUESTIONS = (
    _Question("contract", "合约由所列各方签署", "The contract is signed by every party named in it",
              receipt_rules.check_contract),
    _Question("request", "计算请求由合约所列需方签署", "The request is signed by the buyer named in the contract",
              receipt_rules.check_request),
    _Question("job", "作业书由交易所签署，结果只交给需方公钥",
              "The job is signed by the exchange and its result goes to the buyer's key", receipt_rules.check_job),
    _Question("consents", "各执行方均已同意", "Every party of the job has consented", receipt_rules.check_consents),
    _Question("reports", "执行报告由各方密钥签署且一致",
              "The execution reports are signed by the parties' keys and agree", receipt_rules.check_reports),
    _Question("checkpoint", "检查点由日志密钥签署", "The checkpoint is signed by the log's key",
              receipt_rules.check_checkpoint),
    _Question("inclusion", "各条目均在检查点之下的日志之中", "Every entry is included in the log under the checkpoint",
              receipt_rules.check_inclusion),
    _Question("commitments", "各项承诺与所示内容相符", "Every entry's commitment opens to the payload shown",
              receipt_rules.check_commitments),
    _Question("entry_kinds", "授权、验收、放行、计费条目齐备",
              "Authorization, acceptance, release and charge are all logged", receipt_rules.check_entry_kinds),
    _Question("authorization", "存证的授权即为本次运行", "The logged authorization is for exactly this run",
              receipt_rules.check_authorization),
    _Question("charge", "收费等于单价乘用量", "The charge is unit price times units", receipt_rules.check_charge),
    _Question("cosignatures", "足够的见证方已会签检查点", "Enough witnesses have cosigned the checkpoint",
              chain_rules.check_cosignatures, _with_quorum),
    _Question("anchor", "锚定与检查点一致", "The anchor says the same as the checkpoint",
              chain_rules.check_anchor, _on_sealed_chain),
    _Question("chain", "链上确有此根", "The chain itself holds this root", chain_rules.check_chain, _on_sealed_chain),
    _Question("header", "区块由可信验证者签封", "The block is sealed by validators you trust",
              chain_rules.check_header, _on_sealed_chain),
    _Question("grants", "各提供方的链上授权在该区块有效", "Every provider's grant is in force as of the block",
              chain_rules.check_grants, _under_grants),
    _Question("keys", "签名密钥在其签署内容存证之前均未被撤销",
              "No signing key was revoked before what it signed was logged", key_rules.check_keys),
)  # fmt: skip
_BUNDLE_ZH, _BUNDLE_EN = "用量凭证完整并由交易所签署", "The bundle is whole and signed by the exchange"


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
        first = Check("bundle", _BUNDLE_ZH, _BUNDLE_EN, Status.FAIL, sentence(error), _TAMPERED_ZH, error.code)
        rest = [
            Check(
                question.name, question.zh, question.en, Status.NOT_CHECKED, _TAMPERED_EN, _TAMPERED_ZH,
                code="NOT_WHOLE", required=question.demanded(trusted, None),
            )
            for question in _QUESTIONS
        ]  # fmt: skip
        return [first, *rest]
    checks = [Check("bundle", _BUNDLE_ZH, _BUNDLE_EN, Status.PASS)]
    return [
        *checks,
        *(
            ask(
                question.name,
                question.zh,
                question.en,
                partial(question.answer, evidence),
                required=question.demanded(trusted, evidence),
            )
            for question in _QUESTIONS
        ),
    ]


def _open(bundle: bytes, *, policy: TrustPolicy) -> Evidence:
    value = canonical.parse_canonical(bundle, max_bytes=MAX_BYTES)
    statements.expect_type(value, TYPE)
    if set(value) != _MEMBERS or not isinstance(value["documents"], dict) or set(value["documents"]) != _DOCUMENTS:
        raise VerificationError("BUNDLE_INVALID", "the bundle lacks a member or has one that is unknown")
    evidence = Evidence(value, policy=policy)
    receipt_rules.check_exchange_signed(value, evidence)
    if len(statements.proofs(value)) != 1:
        raise VerificationError("BUNDLE_INVALID", "only the exchange signs a bundle")
    return evidence


def checkpoint_of(bundle: bytes) -> checkpoints.Checkpoint:
    """The checkpoint a bundle rests on, unverified: for showing its size and root beside the answers."""
    value = canonical.parse_canonical(bundle, max_bytes=MAX_BYTES)
    statements.expect_type(value, TYPE)
    return checkpoints.parse(str(value.get("checkpoint", "")))
