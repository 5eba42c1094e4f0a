"""`hengshu contract`: read terms, sign them, grant and revoke on chain, recompute statements."""

import argparse
import json
from pathlib import Path
from typing import Any

from compute.protocol import documents, shapes
from exchange.client import store
from exchange.client.commands import confirming, direct, products
from exchange.client.context import Context, failed, terms_of
from exchange.client.errors import ClientError
from exchange.client.output import yuan
from ledger.proofs import grants, statements, typed_data
from ledger.proofs.errors import VerificationError


def list_contracts(context: Context, args: argparse.Namespace) -> int:
    """The contracts the member is a party of."""
    answer = context.api().get("contracts/")
    context.out.table(
        [("编号", "number"), ("引用", "ref"), ("状态", "state")],
        ([row.get("number"), row.get("ref"), row.get("state")] for row in products.rows(answer)),
    )
    context.out.document(answer)
    return 0


def show(context: Context, args: argparse.Namespace) -> int:
    """One contract: the terms as text, who signed, meter and money; the signed terms as a file for the node."""
    answer = context.api().get(f"contracts/{args.ref}/")
    document = terms_of(answer)
    if args.out:
        store.write_private(Path(args.out), (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode())
    describe(context, document)
    context.out.facts([("状态", "state", answer.get("state")), ("签署", "signed by", _signed_by(document))])
    context.out.document(answer)
    return 0


def propose(context: Context, args: argparse.Namespace) -> int:
    """Ask for a contract over products; the exchange writes the terms, nobody has signed yet."""
    body: dict[str, Any] = {"products": args.product, "operation": args.operation}
    if args.terms:
        body |= store.read_json(Path(args.terms))
    for pair in args.set or []:
        _choose(body, pair)
    answer = context.api().post("contracts/", body)
    number, ref = answer.get("number", ""), answer.get("ref", "")
    context.out.say(
        f"已提出合约 {number}（{ref}）。签署：hengshu contract sign {ref}",
        f"Proposed {number} ({ref}). Sign: hengshu contract sign {ref}",
    )
    context.out.document(answer)
    return 0


def sign(context: Context, args: argparse.Namespace) -> int:
    """Sign the terms with the document key; what was signed is kept at home."""
    document = context.signed_terms(args.ref)
    keys, policy = context.keys(), context.policy()
    _check_own_party(document, keys=keys)
    if document["exchange"]["document_key"] != policy.exchange_document_key:
        raise ClientError(
            "EXCHANGE_KEY_DIFFERS",
            "The terms name another exchange key than your pinned trust policy; do not sign, ask the exchange why.",
            zh="条款中的交易所密钥与您固定的信任策略不符；请勿签署，先向交易所核实。",
        )
    describe(context, document)
    confirming.confirm(context, args, zh="签署以上条款？", en="Sign these terms?")
    signed = statements.sign(document, key=keys.document, created=shapes.write_time(context.now()))
    context.home.save_document("contracts", args.ref, signed)
    digest = statements.digest(signed)
    answer = context.api().post(f"contracts/{args.ref}/signatures/", {"document": signed})
    context.out.say(f"已签署，条款摘要 {digest}。", f"Signed; terms digest {digest}.")
    context.out.document({"terms_digest": digest, "answer": answer})
    return 0


def grant(context: Context, args: argparse.Namespace) -> int:
    """Sign the on-chain grant for a contract (EIP-712); the exchange carries it to the chain, or `--direct` we do."""
    document = direct.kept_terms(context, args) if args.direct else context.signed_terms(args.ref)
    keys, policy = context.keys(), context.policy()
    _check_own_party(document, keys=keys)
    _check_signed_by(document, keys.document_key)
    if args.direct:
        return direct.grant(context, args, document=document)
    if policy.chain is None:
        raise ClientError(
            "CHAIN_NOT_IN_POLICY",
            "Your pinned trust policy names no chain; fetch it again once the exchange has one: hengshu policy fetch",
            zh="您固定的信任策略没有链；交易所启用链之后请重新获取：hengshu policy fetch",
        )
    term, quota = document["term"], document["quota"]["total"]
    signed = grants.sign_grant(
        key=keys.chain,
        chain_id=policy.chain.chain_id,
        contract_address=policy.chain.contract_address,
        terms_digest=statements.digest(document),
        not_before=int(shapes.parse_time(term["effective_from"]).timestamp()),
        not_after=int(shapes.parse_time(term["effective_to"]).timestamp()),
        cap=quota,
    )
    context.out.facts(
        [
            ("合约", "contract", document["number"]),
            ("链", "chain", f"{policy.chain.chain_id} {policy.chain.contract_address}"),
            ("有效期", "window", f"{term['effective_from']} – {term['effective_to']}"),
            ("次数上限", "cap", signed["cap"]),
        ]
    )
    confirming.confirm(context, args, zh="签发此链上授权？", en="Sign this grant?")
    answer = context.api().post(f"contracts/{args.ref}/grants/", signed)
    context.out.say("链上授权已提交。", "The grant is on its way to the chain.")
    context.out.document({"grant": signed, "answer": answer})
    return 0


def revoke(context: Context, args: argparse.Namespace) -> int:
    """End a contract at once: a signed document for nodes and exchange, and a signature for the chain.

    With `--direct`, the chain alone is told, by a transaction of our own; the exchange need not be up.
    """
    if args.direct:
        document = direct.kept_terms(context, args)
        _check_own_party(document, keys=context.keys())
        return direct.revoke(context, args, document=document)
    detail = context.api().get(f"contracts/{args.ref}/")
    document = terms_of(detail)
    keys = context.keys()
    own = _check_own_party(document, keys=keys)
    confirming.confirm(
        context, args, zh="撤销不可恢复，确认撤销？", en="A revocation cannot be undone. Revoke this contract?"
    )
    digest = statements.digest(document)
    revocation = documents.revocation(
        contract=document["id"],
        terms_digest=digest,
        organization=own["organization"],
        sequence=args.sequence or int(context.now().timestamp()),  # only grows, whatever was said before
        issued=context.now(),
        reason=args.reason,
    )
    signed = statements.sign(revocation, key=keys.document, created=revocation["issued"])
    body: dict[str, Any] = {"document": signed}
    chain = context.policy().chain
    grant_id = grants.grant_id(grantor=keys.chain_address, terms_digest=digest)
    if chain is not None and _has_grant(detail, own=own, grant_id=grant_id):
        message = grants.revoke_digest(chain_id=chain.chain_id, contract_address=chain.contract_address, grant=grant_id)
        body["chain_signature"] = typed_data.sign(message, key=keys.chain)
    answer = context.api().post(f"contracts/{args.ref}/revocations/", body)
    context.out.say("已撤销；之后的运行会被各节点拒绝。", "Revoked; every node refuses runs from now on.")
    context.out.document({"revocation": signed, "answer": answer})
    return 0


def statement(context: Context, args: argparse.Namespace) -> int:
    """Recompute the statement here, from the signed terms and the receipts, and compare."""
    from exchange.client.commands import statements_check

    document = context.signed_terms(args.ref)
    query = {"period": args.period} if args.period else None
    answer = context.api().get(f"contracts/{args.ref}/statement/", query=query)
    theirs = answer.get("statement", answer)
    findings = statements_check.compare(context, document, theirs)
    totals = theirs.get("totals", {})
    context.out.facts(
        [
            ("合约", "contract", document["number"]),
            ("次数", "units", totals.get("units")),
            ("金额（元）", "amount (CNY)", yuan(int(totals.get("amount_fen", 0)))),
        ]
    )
    for finding in findings:
        context.out.check("FAIL", finding)
    if not findings:
        context.out.check(
            "PASS",
            context.out.pick("本地重算与交易所结算单一致", "The statement recomputed here agrees with the exchange's"),
        )
    context.out.document({"agrees": not findings, "findings": findings, "statement": theirs})
    return 0 if not findings else 1


def describe(context: Context, document: dict[str, Any]) -> None:
    """The terms that matter most, for reading before signing."""
    names = [f"{party['name_zh']} / {party['name_en']} ({party['role']})" for party in document["parties"]]
    price, quota, term = document["price"], document["quota"], document["term"]
    short = {party["organization"]: party["name_en"] for party in document["parties"]} | {"exchange": "exchange"}
    data = [
        f"{short.get(item['provider'], item['provider'])}: {item['dataset']} v{item['version']} "
        f"({item['dataset_commitment'][:12]}…) {', '.join(item['columns'])}"
        for item in document["objects"]
    ]
    shares = [
        f"{short.get(line['account'], line['account'])} {line['basis_points'] / 100:g} %"
        for line in document["money"]["split"]
    ]
    context.out.facts(
        [
            ("编号", "number", document["number"]),
            ("各方", "parties", "; ".join(names)),
            ("运算", "operations", ", ".join(document["computation"]["operations"])),
            ("数据与字段", "data and columns", "; ".join(data)),
            ("用途", "purpose", document["purpose"]["code"]),
            ("结果接收方", "result goes to", short.get(document["output"]["receiver"], document["output"]["receiver"])),
            ("同意方式", "consent", document["computation"]["approval"]),
            ("单价（元，含税）", "unit price (CNY, tax incl.)", yuan(price["unit_price_fen"])),
            ("分配", "shares", "; ".join(shares)),
            ("次数", "quota", f"{quota['total']} ({quota['per_day']}/d)"),
            ("期限", "term", f"{term['effective_from']} – {term['effective_to']}"),
            ("最小分组", "smallest group", document["output"]["min_cell"]),
            ("链上授权", "grant on chain", document["evidence"]["chain"]),
            ("条款摘要", "terms digest", statements.digest(document)),
        ]
    )


def _has_grant(detail: dict[str, Any], *, own: dict[str, Any], grant_id: str) -> bool:
    """Whether the exchange knows a grant of ours for this contract."""
    names = {own["organization"], own["chain_address"], grant_id}
    return any(names & {value for value in row.values() if isinstance(value, str)} for row in detail.get("grants", []))


def _check_own_party(document: dict[str, Any], *, keys: Any) -> dict[str, Any]:
    """The party entry that is ours, with exactly our three public keys."""
    found: dict[str, Any]
    for found in document["parties"]:
        if found["document_key"] == keys.document_key:
            same = (found["chain_address"].lower(), found["sealing_key"])
            if same == (keys.chain_address.lower(), keys.sealing_key):
                return found
            raise ClientError(
                "PARTY_KEYS_DIFFER",
                "The terms give your organisation a chain or sealing key that is not in your key file; do not sign.",
                zh="条款中贵方的链上地址或密封密钥与密钥文件不符；请勿签署。",
            )
    raise ClientError(
        "NOT_A_PARTY",
        "Your key file is not of any party of this contract; choose another with --key.",
        zh="密钥文件不属于该合约的任何一方；请用 --key 指定。",
    )


def _check_signed_by(document: dict[str, Any], document_key: str) -> None:
    try:
        statements.verify(document, signers=[document_key])
    except VerificationError as error:
        raise failed(error, what="Sign the terms first (hengshu contract sign)", zh="请先签署条款") from error


def _signed_by(document: dict[str, Any]) -> str:
    keys = {party["document_key"]: party["name_en"] for party in document["parties"]}
    try:
        found = [statements.signer(proof) for proof in statements.proofs(document)]
    except VerificationError:
        return ""
    return ", ".join(keys.get(key, key) for key in found)


def _choose(body: dict[str, Any], pair: str) -> None:
    """Put one NAME=VALUE into the proposal; dots lead inwards, as in quota.total=20."""
    path, found, value = pair.partition("=")
    *places, name = path.split(".")
    if not found or not all((*places, name)):
        raise ClientError(
            "CHOICE_INVALID",
            "A choice looks like unit_price_fen=50000 or quota.total=20.",
            zh="条款形如 unit_price_fen=50000 或 quota.total=20。",
        )
    inner = body
    for place in places:
        inner = inner.setdefault(place, {})
        if not isinstance(inner, dict):
            raise ClientError("CHOICE_INVALID", f"{place} has no parts.", zh=f"{place} 没有下级。")
    inner[name] = _value(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
