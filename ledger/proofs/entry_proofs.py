"""Proofs of one entry, judged without the exchange: a C2SP tlog-proof file, or `hengshu/entry-proof/v1`.

Both show a leaf's place in the log and no more. What the leaf's commitment opens to is not in them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ledger.proofs import (
    canonical,
    chain_rules,
    key_rules,
    leaves,
    merkle,
    policies,
    receipt_rules,
    tlog_policy,
    tlog_proof,
)
from ledger.proofs.checks import Check, Found, Open, Status, ask, sentence
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import TrustPolicy
from ledger.proofs.receipt_parts import Evidence, digest32, items, number, text
from ledger.proofs.tlog_policy import LogPolicy
from ledger.proofs.tlog_proof import TlogProof
from ledger.proofs.tree_heads import Checkpoint

TYPE = "hengshu/entry-proof/v1"
_MEMBERS = {"type", "leaf", "index", "path", "checkpoint", "origin", "anchor"}
_WORDS = {
    "proof": ("证明文件完整", "The proof is whole"),
    "checkpoint": ("检查点由日志密钥签署", "The checkpoint is signed by the log's key"),
    "inclusion": ("该条目在检查点之下的日志之中", "The entry is included in the log under the checkpoint"),
    "cosignatures": ("足够的见证方已会签检查点", "Enough witnesses have cosigned the checkpoint"),
    "anchor": ("锚定与检查点一致", "The anchor says the same as the checkpoint"),
    "chain": ("链上确有此根", "The chain itself holds this root"),
    "header": ("区块由可信验证者签封", "The block is sealed by validators you trust"),
    "keys": ("日志密钥在该检查点有效", "The log's key was in force at the checkpoint"),
}


def kind_of(data: bytes) -> str:
    """What a file seems to be: `tlog-proof`, `entry-proof`, or empty for anything else."""
    if data.startswith(tlog_proof.HEADER.encode()):
        return "tlog-proof"
    try:
        value = canonical.parse(data)
    except VerificationError:
        return ""
    return "entry-proof" if isinstance(value, dict) and value.get("type") == TYPE else ""


def verify(data: bytes, *, policy: TrustPolicy | LogPolicy, leaf: bytes | None = None) -> list[Check]:
    """Judge a proof of one entry; never raises for a bad proof.

    Args:
        policy: ours, or a C2SP tlog-policy, which knows no windows, no withdrawn keys and no chain.
        leaf: the leaf's own bytes, which a tlog-proof does not hold; None leaves its inclusion open.
    """
    judge = _verify_tlog if kind_of(data) == "tlog-proof" else _verify_document
    try:
        return judge(data, policy, leaf)
    except VerificationError as error:
        zh, en = _WORDS["proof"]
        return [Check("proof", zh, en, Status.FAIL, sentence(error), f"核验未通过（{error.code}）。", error.code)]


def checkpoint_of(note: str, *, policy: TrustPolicy) -> Checkpoint:
    """A checkpoint that counts: cosigned as asked, within its log's end, by a log key in force and not withdrawn.

    Raises:
        VerificationError: as `LogPolicy.check`, `LOG_FROZEN`, `KEY_NOT_IN_FORCE`, `KEY_REVOKED`.
    """
    checkpoint = policies.tlog_policy(policy).check(note)
    evidence = _evidence(note, policy)
    receipt_rules.check_checkpoint(evidence)
    key_rules.check_log_keys(evidence)
    return checkpoint


def _verify_tlog(data: bytes, policy: TrustPolicy | LogPolicy, leaf: bytes | None) -> list[Check]:
    proof = tlog_proof.parse(data)
    trusted = policies.tlog_policy(policy) if isinstance(policy, TrustPolicy) else policy
    return [
        _ask("proof", lambda: None),
        _ask("checkpoint", lambda: _check_signed(proof, trusted, policy)),
        _ask("inclusion", lambda: _check_included(proof, trusted, leaf)),
        _ask("cosignatures", lambda: _check_quorum(proof, trusted), required=trusted.quorum != tlog_policy.NONE),
        *([_ask("keys", lambda: key_rules.check_log_keys(_evidence(proof.checkpoint, policy)))]
          if isinstance(policy, TrustPolicy) else []),
    ]  # fmt: skip


def _verify_document(data: bytes, policy: TrustPolicy | LogPolicy, leaf: bytes | None) -> list[Check]:
    value = canonical.parse(data)
    if not isinstance(value, dict) or value.get("type") != TYPE or set(value) != _MEMBERS:
        raise VerificationError("PROOF_INVALID", f"not a document of type {TYPE}")
    proof = TlogProof(number(value, "index"), tuple(map(digest32, items(value, "path"))), text(value, "checkpoint"))
    shown = text(value, "leaf").encode()
    leaves.parse(shown)
    if leaf is not None and leaf != shown:
        raise VerificationError("LEAF_INVALID", "the proof is of another leaf than the one given")
    trusted = policies.tlog_policy(policy) if isinstance(policy, TrustPolicy) else policy
    checks = [
        _ask("proof", lambda: None),
        _ask("checkpoint", lambda: _check_signed(proof, trusted, policy, origin=text(value, "origin"))),
        _ask("inclusion", lambda: _check_included(proof, trusted, shown)),
        _ask("cosignatures", lambda: _check_quorum(proof, trusted), required=trusted.quorum != tlog_policy.NONE),
    ]
    if isinstance(policy, LogPolicy):
        return checks
    evidence = _evidence(proof.checkpoint, policy, anchor=value["anchor"])
    return [
        *checks,
        _ask("anchor", lambda: chain_rules.check_anchor(evidence), required=False),
        _ask("chain", lambda: chain_rules.check_chain(evidence), required=False),
        _ask("header", lambda: chain_rules.check_header(evidence), required=False),
        _ask("keys", lambda: key_rules.check_log_keys(evidence)),
    ]


def _ask(name: str, answer: Callable[[], Found | None], *, required: bool = True) -> Check:
    zh, en = _WORDS[name]
    return ask(name, zh, en, answer, required=required)


def _evidence(note: str, policy: TrustPolicy, *, anchor: Any = None) -> Evidence:
    """The rules of receipts, for the little that an entry's proof holds of one."""
    return Evidence({"computation": "", "checkpoint": note, "entries": [], "anchor": anchor}, policy=policy)


def _check_signed(
    proof: TlogProof, trusted: LogPolicy, policy: TrustPolicy | LogPolicy, *, origin: str | None = None
) -> None:
    checkpoint = replace(trusted, quorum=tlog_policy.NONE).check(proof.checkpoint)
    if origin is not None and checkpoint.origin != origin:
        raise VerificationError("ORIGIN_UNKNOWN", "the checkpoint speaks of another log than the proof")
    if isinstance(policy, TrustPolicy):
        receipt_rules.check_checkpoint(_evidence(proof.checkpoint, policy))


def _check_included(proof: TlogProof, policy: LogPolicy, leaf: bytes | None) -> None:
    if leaf is None:
        raise Open(
            "NO_LEAF",
            "The file does not hold the leaf itself. Give its bytes with --leaf.",
            "文件不含叶子本身，请用 --leaf 给出。",
        )
    tlog_proof.verify(proof, leaf_hash=merkle.leaf_hash(leaf), policy=replace(policy, quorum=tlog_policy.NONE))


def _check_quorum(proof: TlogProof, policy: LogPolicy) -> Found:
    if policy.quorum == tlog_policy.NONE:
        raise chain_rules.no_quorum()
    count = len(policy.check_quorum(proof.checkpoint))
    return Found(f"Witnesses that have cosigned: {count}.", f"已会签的见证方：{count} 个。")
