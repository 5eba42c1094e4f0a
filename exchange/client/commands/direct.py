"""`hengshu contract grant --direct` and `revoke --direct`: straight to the chain, the exchange up or down."""

import argparse
from pathlib import Path
from typing import Any

from compute.protocol import shapes, terms
from exchange.client import store
from exchange.client.commands import confirming
from exchange.client.context import Context
from exchange.client.direct import Endpoint, Landed, words
from exchange.client.errors import ClientError
from ledger.proofs import grants, statements
from ledger.proofs.policies import Chain


def grant(context: Context, args: argparse.Namespace, *, document: dict[str, Any]) -> int:
    """Send the grant from the member's own account; the sender stands for the signature."""
    keys, chain = context.keys(), _chain(context)
    term, quota = document["term"], document["quota"]["total"]
    start, end = (int(shapes.parse_time(term[name]).timestamp()) for name in ("effective_from", "effective_to"))
    endpoint = Endpoint(args.rpc, chain=chain)
    endpoint.check()
    confirming.confirm(context, args, zh="直接向链发送此授权？", en="Send this grant to the chain yourself?")
    landed = endpoint.send(
        "grant(bytes32,uint64,uint64,uint64)",
        words(statements.digest(document), start, end, quota),
        key=keys.chain,
        sender=keys.chain_address,
    )
    context.out.say(
        f"授权已上链，区块 {landed.block_number}；交易所会自行读取。",
        f"The grant stands in block {landed.block_number}; the exchange reads it from there.",
    )
    return _done(context, landed, grantor=keys.chain_address, digest=statements.digest(document))


def revoke(context: Context, args: argparse.Namespace, *, document: dict[str, Any]) -> int:
    """End the member's grant, or void the terms where none was made, with a transaction of its own."""
    keys, chain = context.keys(), _chain(context)
    digest = statements.digest(document)
    grant_id = grants.grant_id(grantor=keys.chain_address, terms_digest=digest)
    endpoint = Endpoint(args.rpc, chain=chain)
    endpoint.check()
    confirming.confirm(
        context, args, zh="撤销不可恢复，确认直接在链上撤销？", en="A revocation cannot be undone. Revoke on the chain?"
    )
    function, argument = ("revoke(bytes32)", grant_id) if endpoint.grant_stands(grant_id) else ("void(bytes32)", digest)
    landed = endpoint.send(function, words(argument), key=keys.chain, sender=keys.chain_address)
    context.out.say(
        f"已在链上撤销，区块 {landed.block_number}；能看到链的节点即刻拒绝。",
        f"Revoked on the chain in block {landed.block_number}; every node that sees the chain refuses from now on.",
    )
    return _done(context, landed, grantor=keys.chain_address, digest=digest)


def kept_terms(context: Context, args: argparse.Namespace) -> dict[str, Any]:
    """The terms from --terms, or the copy kept when they were signed: the exchange is not asked.

    Raises:
        ClientError: `TERMS_MISSING` no copy is here.
    """
    path = Path(args.terms) if args.terms else context.home.directory / "contracts" / f"{args.ref}.json"
    if not path.exists():
        raise ClientError(
            "TERMS_MISSING",
            f"No signed terms at {path}; name the file with --terms (hengshu contract show REF --out FILE writes it).",
            zh=f"{path} 没有已签署的条款；请用 --terms 指定文件（可由 hengshu contract show 引用 --out 文件 得到）。",
        )
    document: dict[str, Any] = store.read_json(path)
    terms.check(document)
    return document


def _chain(context: Context) -> Chain:
    chain = context.policy().chain
    if chain is None:
        raise ClientError(
            "CHAIN_NOT_IN_POLICY",
            "Your pinned trust policy names no chain; fetch it again once the exchange has one: hengshu policy fetch",
            zh="您固定的信任策略没有链；交易所启用链之后请重新获取：hengshu policy fetch",
        )
    return chain


def _done(context: Context, landed: Landed, *, grantor: str, digest: str) -> int:
    context.out.document(
        {
            "transaction": landed.transaction,
            "block_number": landed.block_number,
            "grant_id": grants.grant_id(grantor=grantor, terms_digest=digest),
        }
    )
    return 0
