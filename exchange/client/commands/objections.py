"""subject object, answer: a person objects to one provider of a listed run, and reads what it answers.

What is disputed, and by whom, is sealed here to that provider; the exchange is shown the notice's token only. Which
objections were filed is kept here, so that `answer` names no token that the exchange has not seen.
"""

import argparse
import base64
import binascii
import getpass
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from compute.protocol import notices, objections
from compute.protocol.notices import Found
from compute.protocol.shapes import DocumentInvalid
from exchange.client import store
from exchange.client.api import Api
from exchange.client.commands import subject
from exchange.client.context import Context
from exchange.client.errors import ClientError
from exchange.kernel import identifiers
from ledger.proofs.errors import VerificationError

OUTCOMES = {"": ("", ""), objections.CORRECTED: ("已更正", "corrected"), objections.UPHELD: ("维持原记录", "upheld")}
STATES = {"filed": ("已提出", "filed"), "marked": ("已标注", "marked as disputed"), "answered": ("已答复", "answered")}
_PLACE, _KEPT = "subjects/objections/", "objections"


def file(context: Context, args: argparse.Namespace) -> int:
    """subject object: write an objection, seal it to the provider, and file it with the notice's token."""
    card, api = subject.read_card(Path(args.card)), context.api(public=True)
    found = _run(context, api, card, args)
    provider = _provider(found.statement, args.provider)
    document = objections.objection(
        computation=found.statement["computation"],
        organization=provider["organization"],
        identifier=_identifier(context),
        disputed=_text(args.text),
        answer_key=card["public_key"],
        created=context.now(),
    )
    sealed = objections.seal_objection(document, token=found.token, recipient=provider["sealing_key"])
    body = {
        "token": found.token.hex(),
        "organization": provider["organization"],
        "sealed": base64.b64encode(sealed).decode(),
    }
    filed = api.post(_PLACE, body)
    kept = {"statement": found.statement, "token": found.token.hex()}
    context.home.save_document(_KEPT, f"{found.token.hex()}-{filed['urn'].rpartition(':')[2]}", kept)
    context.out.say(
        f"异议已提出。该机构须标注记录，并在 {filed['last_day']} 前答复；查看答复：hengshu subject answer",
        f"Filed. The provider marks the record and answers by {filed['last_day']}; look with: hengshu subject answer",
    )
    context.out.document({name: filed[name] for name in ("urn", "organization", "state", "filed_at", "last_day")})
    return 0


def answers(context: Context, args: argparse.Namespace) -> int:
    """subject answer: how this card's objections stand, and the answers, opened and checked on this machine.

    Without --computation, of the objections that were filed from here.
    """
    card, api = subject.read_card(Path(args.card)), context.api(public=True)
    asked = _named(context, api, card, args) if args.computation else _filed(context)
    told: list[dict[str, Any]] = []
    for token, statement in asked.items():
        found = api.post(f"{_PLACE}status/", {"token": token})
        told += [_described(statement, item, token=bytes.fromhex(token), card=card) for item in found]
    context.out.document({"objections": told})
    if not told:
        context.out.say("没有异议。", "No objection.")
        return 0
    zh = context.out.language == "zh"
    context.out.table(
        [
            ("计算", "computation"),
            ("机构", "provider"),
            ("状态", "state"),
            ("答复期限", "answer by"),
            ("结果", "outcome"),
        ],
        [
            (
                one["computation"],
                one["provider"]["name_zh" if zh else "name_en"],
                context.out.pick(*STATES.get(one["state"], (one["state"],) * 2))
                + (context.out.pick("（逾期）", " (overdue)") if one["is_overdue"] else ""),
                one["last_day"],
                context.out.pick(*OUTCOMES.get(one["outcome"], (one["outcome"],) * 2)),
            )
            for one in told
        ],
    )
    for one in told:
        if one["text"]:
            context.out.say(f"\n{one['text']}", f"\n{one['text']}")
        elif one["trouble"]:
            context.out.say(
                f"对 {one['urn']} 的答复无法采信（{one['trouble']}）；请向交易所投诉。",
                f"The answer to {one['urn']} cannot be trusted ({one['trouble']}); complain to the exchange.",
            )
    return 0


def _filed(context: Context) -> dict[str, dict[str, Any]]:
    """The notices of what was filed from here, by token."""
    paths = (context.home.directory / _KEPT).glob("*.json")
    return {one["token"]: one["statement"] for one in map(store.read_json, sorted(paths))}


def _named(context: Context, api: Api, card: dict[str, Any], args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    return {one.token.hex(): one.statement for one in _runs(context, api, card, args)}


def _described(
    statement: Mapping[str, Any], item: Mapping[str, Any], *, token: bytes, card: Mapping[str, Any]
) -> dict[str, Any]:
    provider = _provider(statement, item["organization"])
    names = ("urn", "state", "filed_at", "last_day", "is_overdue", "outcome")
    one = {name: item[name] for name in names} | {
        "computation": statement["computation"],
        "provider": {name: provider[name] for name in ("organization", "name_zh", "name_en")},
        "text": "",
        "trouble": "",
    }
    if item["sealed_answer"] is None:
        return one
    try:
        document = objections.open_answer(
            base64.b64decode(item["sealed_answer"], validate=True),
            objection=item["urn"],
            token=token,
            card=card,
            signers=[provider["document_key"]],
        )
    except (VerificationError, DocumentInvalid) as error:
        return one | {"trouble": error.code}
    except binascii.Error:
        return one | {"trouble": "ENCODING_INVALID"}
    return one | {"outcome": document["outcome"], "text": document["text"]}


def _run(context: Context, api: Api, card: dict[str, Any], args: argparse.Namespace) -> Found:
    found = _runs(context, api, card, args)
    if not found:
        raise ClientError(
            "NOTICE_MISSING",
            "No notice of this run is for this card; see: hengshu subject runs",
            zh="没有给这张卡的此次计算告知；请用 hengshu subject runs 查看。",
        )
    return found[0]


def _runs(context: Context, api: Api, card: dict[str, Any], args: argparse.Namespace) -> list[Found]:
    """The notices for this card, of one run where one is named; always all batches are fetched."""
    key, found = notices.card_key(card), []
    since = (context.now() - timedelta(days=args.days)).date().isoformat()
    for item in subject.listing(api, since=since):
        try:
            found += notices.open_batch(subject.fetch(api, item), key=key)
        except VerificationError:
            continue  # `subject runs` tells of it
    wanted = str(args.computation).rpartition(":")[2]
    named = [one for one in found if not wanted or one.statement["computation"].endswith(f":{wanted}")]
    return sorted(named, key=lambda one: str(one.statement["at"]), reverse=True)


def _provider(statement: Mapping[str, Any], named: str) -> dict[str, Any]:
    """A provider of the run by its URN, reference or name; the only one when none is named."""
    listed: list[dict[str, Any]] = statement["providers"]
    words = ("organization", "name_zh", "name_en")
    found = [one for one in listed if named in (*(one[word] for word in words), one["organization"].rpartition(":")[2])]
    if not named and len(listed) == 1:
        found = listed
    if len(found) != 1:
        names = ", ".join(
            f"{one['name_zh']} {identifiers.parse_urn(one['organization'], kind='org')}" for one in listed
        )
        raise ClientError(
            "PROVIDER_UNKNOWN",
            f"Name one provider of this run: {names}",
            zh=f"请指定此次计算的一个数据来源机构：{names}",
        )
    return found[0]


def _identifier(context: Context) -> str:
    """From the keyboard without an echo, or standard input; never from the command line, which a shell remembers."""
    if sys.stdin.isatty():
        return getpass.getpass(context.out.pick("您在该机构的证件号：", "Your identifier at that provider: ")).strip()
    return sys.stdin.readline().strip()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ClientError("FILE_UNREADABLE", f"{path} cannot be read as text.", zh=f"无法读取 {path}。") from None
