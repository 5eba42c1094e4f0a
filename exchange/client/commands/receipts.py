"""`hengshu receipt get`, `verify`, `policy fetch`: evidence that needs nobody's word."""

import argparse
import json
from pathlib import Path

from exchange.client import store
from exchange.client.context import Context
from exchange.client.errors import ClientError
from ledger.proofs import entry_proofs, policies, receipts, tlog_policy
from ledger.proofs.errors import VerificationError

_WORDS = {receipts.Status.PASS: "PASS", receipts.Status.FAIL: "FAIL", receipts.Status.NOT_CHECKED: "NOT CHECKED"}


def get(context: Context, args: argparse.Namespace) -> int:
    """Fetch a computation's receipt bundle, byte for byte."""
    bundle = context.api().get_bytes(f"/api/v1/computations/{args.ref}/receipt/")
    path = Path(args.out or f"receipt-{args.ref}.json")
    store.write_private(path, bundle)
    context.out.say(
        f"用量凭证已保存：{path}。离线核验：hengshu verify {path}", f"Saved {path}. Verify: hengshu verify {path}"
    )
    context.out.document({"file": str(path), "size_bytes": len(bundle)})
    return 0


def verify(context: Context, args: argparse.Namespace) -> int:
    """Judge a receipt or an entry's proof here: no network, no database. Exit 0 only when all that is demanded passes.

    What the file is, it says itself: a receipt bundle, a C2SP tlog-proof, or a proof of one entry.
    """
    data = _read(args.receipt)
    is_entry = bool(args.leaf or entry_proofs.kind_of(data))
    if is_entry:
        leaf = _read(args.leaf) if args.leaf else None
        checks = entry_proofs.verify(data, policy=_policy_for_entry(context, args.policy), leaf=leaf)
    else:
        checks = receipts.verify(data, policy=_policy(context, args.policy))
    accepted = receipts.accepted(checks)
    for check in checks:
        detail = context.out.pick(check.detail_zh, check.detail)
        if check.status is receipts.Status.FAIL:
            detail = f"{check.code} {detail}".strip()
        context.out.check(_WORDS[check.status], context.out.pick(check.name_zh, check.name_en), detail)
    what_zh, what_en = ("记录证明", "The entry's proof") if is_entry else ("用量凭证", "The receipt")
    if accepted:
        context.out.say(f"{what_zh}成立。", f"{what_en} holds.")
    else:
        context.out.say(f"{what_zh}不成立；请勿据此付款或放行。", f"{what_en} does not hold; do not pay or act on it.")
    context.out.document({"accepted": accepted, "checks": [check.document() for check in checks]})
    return 0 if accepted else 1


def fetch_policy(context: Context, args: argparse.Namespace) -> int:
    """Fetch the exchange's trust policy and pin it; a different one than pinned is refused unless --replace."""
    data = context.api(public=True).get_bytes("/.well-known/hengshu-policy.json")
    try:
        policy = policies.parse(data)
    except VerificationError as error:
        raise ClientError(
            error.code, f"The exchange's policy is not one: {error.message}.", zh="交易所的信任策略格式不对。"
        ) from error
    path = Path(args.out) if args.out else context.home.directory / "policy.json"
    if path.exists() and not args.replace:
        _check_follows(context, pinned=policies.parse(path.read_bytes()), offered=policy)
    store.write_private(path, (json.dumps(policy.document(), ensure_ascii=False, indent=2) + "\n").encode())
    chain = policy.chain
    context.out.facts(
        [
            ("交易所密钥", "exchange key", policy.exchange_document_key),
            ("日志", "log", policy.log_origin),
            ("日志密钥", "log key", policy.log_key),
            ("链", "chain", f"{chain.chain_id} {chain.contract_address}" if chain else "-"),
        ]
    )
    context.out.say(
        f"已固定于 {path}。请通过第二渠道（电话、公报）核对以上密钥。",
        f"Pinned at {path}. Compare these keys by a second way, such as the exchange's printed notice.",
    )
    context.out.document(policy.document())
    return 0


def _check_follows(context: Context, *, pinned: policies.TrustPolicy, offered: policies.TrustPolicy) -> None:
    """A changed policy is taken only where the keys pinned before have signed every step to it."""
    if pinned == offered:
        return
    from compute.protocol import key_history  # not at the top: `verify` needs none of it

    try:
        history = context.api(public=True).get_bytes("/.well-known/hengshu-key-history.json")
        key_history.check(history, pinned=pinned, offered=offered)
    except (ClientError, VerificationError) as error:
        raise ClientError(
            "POLICY_CHANGED",
            f"The exchange shows another policy than the one you pinned, and nothing proves the change ({error.code}: "
            f"{error.message}). Ask it why by a second way; then --replace.",
            zh="交易所给出的信任策略与您固定的不同，且没有密钥签署的轮换证明。请通过第二渠道核实，再加 --replace。",
        ) from error
    context.out.say(
        "信任策略已变更，每一步均由原先固定的密钥签署并已入日志。",
        "The policy has changed; the keys you had pinned signed every step of it, and the log holds them.",
    )


def _policy(context: Context, named: str) -> policies.TrustPolicy:
    try:
        return policies.parse(_read(named) if named else context.home.policy())
    except VerificationError as error:
        raise ClientError(
            error.code, f"The trust policy cannot be used: {error.message}.", zh="信任策略文件不可用。"
        ) from error


def _policy_for_entry(context: Context, named: str) -> policies.TrustPolicy | tlog_policy.LogPolicy:
    """Our policy, or a C2SP tlog-policy: whatever begins like JSON is ours."""
    data = _read(named) if named else b"{"
    if data.lstrip().startswith(b"{"):
        return _policy(context, named)
    try:
        return tlog_policy.parse(data)
    except VerificationError as error:
        raise ClientError(
            error.code, f"The tlog-policy cannot be used: {error.message}.", zh="tlog-policy 文件不可用。"
        ) from error


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ClientError(
            "FILE_UNREADABLE", f"{name} cannot be read: {error.strerror}.", zh=f"无法读取 {name}：{error.strerror}。"
        ) from None
