"""`hengshu-node objection`: what persons object to, on their provider's own machine."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compute.node import config as configuration
from compute.node.client import ExchangeClient
from compute.node.errors import NodeError
from compute.node.objections import Desk
from compute.node.store import Store
from compute.protocol import keyfiles, objections
from ledger.proofs.errors import VerificationError

Arguments = argparse.Namespace
STATES = {"filed": ("filed", "已提出"), "marked": ("marked", "已标注"), "answered": ("answered", "已答复")}


def add(command: Callable[..., argparse.ArgumentParser], family: Callable[[str, str], Any]) -> None:
    """Add the commands to the node's parser."""
    group = family("objection", "objections of data subjects / 数据主体的异议")
    command(group, "list", show_list, "fetch and list them / 领取并列出")
    shown = command(group, "show", show, "open one, on this machine only / 仅在本机打开")
    marked = command(group, "mark", mark, "mark the record as disputed / 将记录标注为有异议")
    answered = command(group, "answer", answer, "answer, and take the mark away / 答复并撤除标注")
    for made in (shown, marked, answered):
        made.add_argument("objection", metavar="REF")
        made.add_argument("--key", type=Path, help="an older key file it was sealed to / 密封时所用的旧密钥文件")
    answered.add_argument("--outcome", choices=objections.OUTCOMES, required=True)
    answered.add_argument("--text", type=Path, help="a file with the reasons; else stdin / 答复文件，缺省读标准输入")


def show_list(args: Arguments) -> None:
    """objection list: fetch what waits; references, last days and states, nothing of a person."""
    found = [
        {name: item[name] for name in ("objection", "computation", "state", "filed", "last_day")}
        for item in _desk(args).fetch()
    ]
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
        return
    for item in found:
        words = STATES[item["state"]]
        ref = item["objection"].rpartition(":")[2]
        print(f"{ref}  {item['last_day']}  {_word(args, *words):<10}{item['computation']}")
    if not found:
        print(_word(args, "No objection.", "没有异议。"))


def show(args: Arguments) -> None:
    """objection show: who objects and to what; nothing of it leaves this machine."""
    document = _opened(_desk(args), args.objection)
    if args.json:
        print(json.dumps({name: document[name] for name in ("identifier", "disputed", "created")}, ensure_ascii=False))
        return
    print(f"{_word(args, 'Person', '本人标识')}: {document['identifier']}")
    print(f"{_word(args, 'Written', '书写时间')}: {document['created']}\n\n{document['disputed']}\n")
    print(
        _word(
            args,
            "Mark the record first. Nobody has checked who wrote this: make sure of the person before you change a "
            "record or tell anything about it.",
            "请先标注该记录。书写人的身份未经任何一方核实；更正记录或告知任何内容之前，请先核实其身份。",
        )
    )


def mark(args: Arguments) -> None:
    """objection mark: from the next run on, scores say that a record is disputed."""
    desk = _desk(args)
    _opened(desk, args.objection)
    desk.mark(args.objection)
    _say(
        args,
        "marked",
        en="Marked as disputed from the next run on; the exchange knows.",
        zh="已标注，自下一次计算起生效；已告知交易所。",
    )


def answer(args: Arguments) -> None:
    """objection answer: signed by this organisation, sealed to the person; the mark is taken away."""
    text = _text(args)
    desk = _desk(args)
    _opened(desk, args.objection)
    desk.answer(args.objection, outcome=args.outcome, text=text)
    _say(
        args,
        "answered",
        en="Answered; only the person can open it. The mark is gone.",
        zh="已答复，仅本人可打开；标注已撤除。",
    )


def _desk(args: Arguments) -> Desk:
    config = configuration.load(args.home)
    keys = config.load_keys()
    older = getattr(args, "key", None)
    opening = keys if older is None else keyfiles.load(older, passphrase=os.environ.get("HENGSHU_PASSPHRASE"))
    store, client = Store(config.database, clock=_now), ExchangeClient(config, keys, clock=_now)
    return Desk(config, keys, opening, store, client, _now)


def _opened(desk: Desk, ref: str) -> dict[str, Any]:
    try:
        return desk.read(ref)
    except VerificationError as error:
        raise NodeError(
            "This objection does not open with this key; name the key file of the time with --key.",
            zh="无法以此密钥打开该异议；请用 --key 指定当时的密钥文件。",
        ) from error


def _text(args: Arguments) -> str:
    if args.text is None:
        return sys.stdin.read().strip()
    try:
        return str(args.text.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError):
        raise NodeError(
            f"{args.text} cannot be read as text; check the name.", zh=f"无法读取 {args.text}；请检查文件名。"
        ) from None


def _say(args: Arguments, state: str, *, en: str, zh: str) -> None:
    print(json.dumps({"objection": args.objection, "state": state}) if args.json else _word(args, en, zh))


def _now() -> datetime:
    return datetime.now(UTC)


def _word(args: Arguments, en: str, zh: str) -> str:
    return zh if args.lang == "zh" else en
