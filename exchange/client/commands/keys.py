"""`hengshu keys`: make, show, rotate and withdraw the organisation's keys, on its own machine."""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from compute.protocol import key_documents, keyfiles, shapes
from compute.protocol.keyfiles import KeyFile
from exchange.client import store
from exchange.client.commands import confirming
from exchange.client.context import Context
from exchange.client.errors import ClientError
from exchange.kernel import identifiers
from ledger.proofs import grants

_PURPOSES = ("document", "chain", "sealing")


def new(context: Context, args: argparse.Namespace) -> int:
    """Make a key file and print the public card to register at the exchange."""
    path = context.key_file()
    made = keyfiles.generate(args.name)
    keyfiles.save(made, path, passphrase=os.environ.get("HENGSHU_PASSPHRASE"))
    config = context.home.config()
    config.key_file = str(path.resolve())
    context.home.save_config(config)
    context.out.say(
        f"密钥已生成：{path}（仅本人可读）。请备份该文件；交易所只需要下面的公钥卡片。",
        f"Keys made: {path} (readable by you only). Back the file up; the exchange needs only the card below.",
    )
    _card(context, made)
    return 0


def show(context: Context, args: argparse.Namespace) -> int:
    """Print the public card again."""
    _card(context, context.keys())
    return 0


def rotate(context: Context, args: argparse.Namespace) -> int:
    """Sign the hand-over with old and new keys, send it, and use the new file from then on."""
    old, path = context.keys(), Path(args.new)
    passphrase = os.environ.get("HENGSHU_PASSPHRASE")
    if path.exists():
        new = keyfiles.load(path, passphrase=passphrase)
    else:
        fresh = keyfiles.generate(old.name)
        new = replace(old, **{purpose: getattr(fresh, purpose) for purpose in args.only or _PURPOSES})
        keyfiles.save(new, path, passphrase=passphrase)
    organization = _organization(context)
    document = key_documents.rotate(organization=organization, old=old, new=new, created=context.now())
    context.out.facts([("更换", item["purpose"], f"{item['old']} → {item['new']}") for item in document["keys"]])
    confirming.confirm(context, args, zh="轮换以上密钥？", en="Rotate these keys?")
    ref = identifiers.parse_urn(organization, kind="org")
    kept = context.home.save_document("keys", f"rotation-{document['nonce']}", document)
    answer = context.api().post(f"organizations/{ref}/keys/", {"card": document}, key=document["nonce"])
    config = context.home.config()
    config.key_file = str(path.resolve())
    context.home.save_config(config)
    context.out.say(
        f"已轮换，新密钥文件 {path}。旧文件请保留：打开旧结果要用。轮换书存于 {kept}。",
        f"Rotated; {path} is in use now. Keep the old file: it opens old results. The rotation is kept in {kept}.",
    )
    context.out.document({"rotation": document, "answer": answer})
    return 0


def revoke(context: Context, args: argparse.Namespace) -> int:
    """Withdraw keys of the key file. No login is needed: the signature is enough."""
    keys, organization = context.keys(), _organization(context)
    texts = {"document": keys.document_key, "chain": keys.chain_address, "sealing": keys.sealing_key}
    held = [(purpose, texts[purpose]) for purpose in args.only or _PURPOSES]
    context.out.facts([("撤销", purpose, text) for purpose, text in held])
    confirming.confirm(
        context, args, zh="撤销不可恢复，确认撤销以上密钥？", en="This cannot be undone. Withdraw these keys?"
    )
    document = key_documents.revoke(
        organization=organization,
        keys=held,
        reason=args.reason,
        by=getattr(keys, args.by),
        created=context.now(),
    )
    kept = context.home.save_document("keys", f"revocation-{document['nonce']}", document)
    body: dict[str, Any] = {"document": document}
    if args.chain:
        body["voids"] = _voids(context, keys, [text for _, text in held])
        store.write_private(kept, json.dumps(body, indent=2, ensure_ascii=False).encode())
    answer = context.api(public=True).post("key-revocations/", body, key=document["nonce"])
    context.out.say(
        f"已撤销；此后以这些密钥签署的一律不算。撤销书存于 {kept}。",
        f"Withdrawn; nothing signed with these keys counts from now on. The document is kept in {kept}.",
    )
    context.out.document({**body, "answer": answer})
    return 0


def _voids(context: Context, keys: KeyFile, texts: list[str]) -> list[dict[str, str]]:
    chain = context.policy().chain
    if chain is None:
        raise ClientError(
            "CHAIN_NOT_IN_POLICY",
            "Your pinned trust policy names no chain; leave out --chain, or fetch the policy again.",
            zh="您固定的信任策略没有链；请去掉 --chain，或重新获取策略。",
        )
    return [
        grants.sign_void(
            key=keys.chain,
            chain_id=chain.chain_id,
            contract_address=chain.contract_address,
            statement_digest=key_documents.key_digest(text),
        )
        for text in texts
    ]


def _organization(context: Context) -> str:
    organization = context.home.config().organization
    if not organization:
        raise ClientError(
            "LOGIN_NEEDED",
            "It is not known for which organisation; run once: hengshu login --username NAME",
            zh="尚不知道代表哪个机构；请先运行一次：hengshu login --username 用户名",
        )
    return organization


def _card(context: Context, keys: keyfiles.KeyFile) -> None:
    card = keys.card(created=shapes.write_time(context.now()))
    context.out.facts(
        [
            ("名称", "name", card["name"]),
            ("文书密钥", "document key", card["document_key"]),
            ("链上地址", "chain address", card["chain_address"]),
            ("密封密钥", "sealing key", card["sealing_key"]),
        ]
    )
    context.out.document(card)
