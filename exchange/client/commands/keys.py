"""`hengshu keys`: make and show the organisation's keys, on its own machine."""

import argparse
import os

from compute.protocol import keyfiles, shapes
from exchange.client.context import Context


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
