"""subject card, runs: for the person whose data is used, not for a member; no sign-in, and nothing is told to anybody.

Every notice of the window is fetched, whoever asks, and tried with the card on this machine.
"""

import argparse
import json
import os
import struct
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from compute.protocol import documents, notices
from compute.protocol.notices import Batch, Found
from exchange.client.api import Api
from exchange.client.context import Context
from exchange.client.errors import ClientError
from exchange.kernel.errors import DomainError
from ledger.proofs.errors import VerificationError


def card(context: Context, args: argparse.Namespace) -> int:
    """subject card: make a notice card; its public key goes with the application, the file stays here."""
    path = Path(args.out)
    made = notices.new_card(created=context.now())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ClientError(
            "FILE_EXISTS", f"{path} exists; choose another file.", zh=f"{path} 已存在；请换一个文件名。"
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(made, file, indent=2)
    context.out.document({"card": str(path), "notice_key": made["public_key"]})
    context.out.say(
        f"告知卡已写入 {path}，请妥善保管，勿交给任何人。申请时把下面的公钥交给机构：",
        f"The card is in {path}; keep it, and give it to nobody. This public key goes with your application:",
    )
    context.out.say(made["public_key"], made["public_key"])
    return 0


def runs(context: Context, args: argparse.Namespace) -> int:
    """subject runs: which runs used the data of this card's holder."""
    key = notices.card_key(read_card(Path(args.card)))
    since = (context.now() - timedelta(days=args.days)).date().isoformat()
    api = context.api(public=True)
    found: list[Found] = []
    items, tried, unreadable = listing(api, since=since), 0, 0
    total = sum(item["count"] for item in items)
    for item in items:
        try:
            found += notices.open_batch(fetch(api, item), key=key)
        except VerificationError:
            unreadable += 1
        tried += item["count"]
        context.out.bars([(context.out.pick("已试告知", "notices tried"), 100 * tried // total, f"{tried}/{total}")])
    found.sort(key=lambda one: str(one.statement["at"]), reverse=True)
    listed = [{**one.statement, "token": one.token.hex()} for one in found]
    context.out.document({"since": since, "tried": tried, "unreadable": unreadable, "runs": listed})
    if unreadable:
        context.out.say(
            f"另有 {unreadable} 批告知是给这张卡的，但内容不可信；请向交易所投诉。",
            f"{unreadable} more batches hold a notice for this card that cannot be trusted; complain to the exchange.",
        )
    if not found:
        context.out.say(
            f"{since} 以来的 {tried} 份告知中，没有一份是给这张告知卡的。",
            f"None of {tried} notices since {since} is for this card.",
        )
        return 0
    zh = context.out.language == "zh"
    context.out.table(
        [
            ("时间", "time"),
            ("使用方", "used by"),
            ("用途", "purpose"),
            ("数据来自", "data of"),
            ("计算", "computation"),
        ],
        [
            (
                one["at"],
                one["buyer"]["name_zh" if zh else "name_en"],
                one["purpose"]["scenario_zh" if zh else "scenario_en"] or one["purpose"]["code"],
                ", ".join(item["name_zh" if zh else "name_en"] for item in one["providers"]),
                one["computation"],
            )
            for one in listed
        ],
    )
    return 0


def read_card(path: Path) -> dict[str, Any]:
    """The card in a file.

    Raises:
        ClientError: it cannot be read, or is no card.
    """
    try:
        found = documents.parse(path.read_bytes())
        notices.card_key(found)
    except (OSError, DomainError):
        raise ClientError(
            "CARD_INVALID",
            f"{path} is no notice card; make one with: hengshu subject card",
            zh=f"{path} 不是告知卡；请用 hengshu subject card 生成。",
        ) from None
    return found


def listing(api: Api, *, since: str) -> list[dict[str, Any]]:
    """Every batch since a day, as the exchange lists them."""
    found: list[dict[str, Any]] = []
    place = f"/api/v1/notices/?{urlencode({'since': since})}"
    while place:
        page = json.loads(api.get_bytes(place))
        found += page["results"]
        parts = urlsplit(page["next"] or "")
        place = f"{parts.path}?{parts.query}" if page["next"] else ""
    return found


def fetch(api: Api, item: Mapping[str, Any]) -> Batch:
    """One listed batch; always all of them are fetched, so that the asking tells nothing."""
    pieces = [_split(api.get_bytes(f"/api/v1/notices/{item['ref']}/{number}/")) for number in range(item["pieces"])]
    return Batch(item["ref"], pieces[0][0], b"".join(records for _, records in pieces))


def _split(piece: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack(">I", piece[:4])
    return piece[4 : 4 + size], piece[4 + size :]
