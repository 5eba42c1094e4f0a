"""`hengshu`: what a member does from its own machine, with its own keys.

The parser alone is built here; a command's module is imported when that command runs, so that
`hengshu verify` starts fast and needs nothing but the proofs.
"""

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exchange.client.errors import EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_USAGE, ZH_BY_CODE, ClientError
from exchange.client.output import Output
from exchange.client.store import Home
from exchange.kernel.errors import DomainError
from ledger.proofs.errors import VerificationError

_COMMANDS = "exchange.client.commands"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code says how it ended (docs/reference/cli.md)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(_language(arguments))
    args = parser.parse_args(arguments)
    out = Output(as_json=args.json, language=_language(arguments))
    if not getattr(args, "command", ""):
        parser.print_help()
        return EXIT_USAGE
    try:
        return _run(args, out, has_own_process=argv is None)
    except ClientError as error:
        out.error(error.code, error.zh, error.message)
        return error.exit_code
    except (DomainError, VerificationError) as error:
        zh = getattr(getattr(error, "failure", None), "zh", "") or ZH_BY_CODE.get(error.code, error.message)
        out.error(error.code, zh, error.message)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(args: argparse.Namespace, out: Output, *, has_own_process: bool) -> int:
    from exchange.client.context import Context

    directory = Path(args.home or os.environ.get("HENGSHU_HOME") or Path.home() / ".config" / "hengshu")
    context = Context(Home(directory.expanduser()), out, key_path=args.key, url=args.url)
    module, _, function = args.command.partition(":")
    run = getattr(importlib.import_module(f"{_COMMANDS}.{module}"), function)
    if has_own_process:
        gc.freeze()  # what the imports made stays to the end: the collector need not walk it again
    result: int = run(context, args)
    return result


def build_parser(language: str) -> argparse.ArgumentParser:
    """The whole command line; help texts in the chosen language."""

    def t(zh: str, en: str) -> str:
        return zh if language == "zh" else en

    parser = argparse.ArgumentParser(prog="hengshu", description=t("衡数：会员命令行", "Hengshu: the members' tool"))
    parser.set_defaults(command="")
    _global_options(parser, t, default=True)
    shared = argparse.ArgumentParser(add_help=False)
    _global_options(shared, t, default=False)
    groups = parser.add_subparsers(metavar=t("命令", "COMMAND"))

    def group(name: str, zh: str, en: str) -> Any:
        added = groups.add_parser(name, help=t(zh, en), description=t(zh, en), parents=[shared])
        return added.add_subparsers(metavar=t("动作", "ACTION"), required=True)

    def command(place: Any, name: str, run: str, zh: str, en: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = place.add_parser(name, help=t(zh, en), description=t(zh, en), parents=[shared])
        added.set_defaults(command=run)
        return added

    keys = group("keys", "机构密钥", "the organisation's keys")
    made = command(keys, "new", "keys:new", "生成密钥文件并打印公钥卡片", "make the key file and print the public card")
    made.add_argument("--name", required=True, help=t("机构名称", "name of the organisation"))
    command(keys, "show", "keys:show", "打印公钥卡片", "print the public card")
    changed = command(keys, "rotate", "keys:rotate", "轮换密钥", "put new keys in the place of the registered ones")
    changed.add_argument(
        "--new", required=True, help=t("新密钥文件，不存在则生成", "the new key file; made if missing")
    )
    changed.add_argument(
        "--only",
        action="append",
        choices=("document", "chain", "sealing"),
        help=t("只换这一种", "change this one only"),
    )
    changed.add_argument("--yes", action="store_true", help=t("不再询问", "do not ask"))
    ended = command(keys, "revoke", "keys:revoke", "撤销密钥", "withdraw keys at once, in the log and on chain")
    ended.add_argument(
        "--only", action="append", choices=("document", "chain", "sealing"), help=t("只撤这一种", "this one only")
    )
    ended.add_argument("--by", choices=("document", "chain"), default="document", help=t("用哪把钥签", "signed by"))
    ended.add_argument("--reason", choices=("compromised", "lost", "ceased"), default="compromised")
    ended.add_argument("--chain", action="store_true", help=t("同时在链上作废", "void them on chain as well"))
    ended.add_argument("--yes", action="store_true", help=t("不再询问", "do not ask"))

    login = command(groups, "login", "sessions:login", "登录交易所", "log in to an exchange")
    login.add_argument("--username", required=True, help=t("用户名", "user name"))
    login.add_argument("--code", default="", help=t("动态口令", "one-time code of two-step verification"))
    login.add_argument(
        "--password-stdin", action="store_true", help=t("从标准输入读取密码", "read the password from stdin")
    )
    command(groups, "logout", "sessions:logout", "退出登录", "log out")
    command(groups, "me", "sessions:me", "当前身份", "who the exchange takes you for")

    products = group("products", "数据产品目录", "the catalogue")
    found = command(products, "list", "products:list_products", "查找产品", "find products")
    found.add_argument("query", nargs="?", default="", help=t("关键词", "words"))
    command(products, "show", "products:show", "产品详情", "one product").add_argument("ref")

    _contract_commands(group("contract", "合约", "contracts"), command, t)
    _compute_commands(group("compute", "计算", "computations"), command, t)

    results = group("result", "结果", "results")
    opened = command(results, "open", "results:open_result", "核验并打开结果", "check and open a result")
    opened.add_argument("ref")
    opened.add_argument("--out", default="", help=t("输出目录", "directory to write to"))

    _subject_commands(
        group("subject", "个人信息主体：哪些计算使用了我的信息", "persons: which runs used my data"), command, t
    )

    receipt = group("receipt", "用量凭证", "receipts")
    got = command(receipt, "get", "receipts:get", "下载凭证包", "fetch a receipt bundle")
    got.add_argument("ref")
    got.add_argument("--out", default="", help=t("输出文件", "file to write"))

    verify = command(
        groups, "verify", "receipts:verify", "离线核验凭证包或记录证明", "judge a receipt or a log entry offline"
    )
    verify.add_argument("receipt", metavar="file", help=t("凭证包或记录证明", "bundle, tlog-proof or entry proof"))
    verify.add_argument("--leaf", default="", help=t("tlog-proof 所证明的记录", "the leaf a tlog-proof is about"))
    verify.add_argument(
        "--policy", default="", help=t("信任策略文件", "trust policy or tlog-policy; the pinned one if not given")
    )

    traced = command(
        groups, "trace", "trace:trace", "溯源：核验结果的来源与去向", "judge the chain of custody of a result"
    )
    traced.add_argument("reference", help=t("摘要、引用、编号", "digest, reference, URN or number"))

    archive = group("archive", "日志归档", "the whole log as files")
    judged = command(archive, "verify", "archive:verify", "离线核验归档", "judge an archive offline")
    judged.add_argument("archive", help=t("归档目录或 tar 文件", "the archive's directory or tar file"))
    judged.add_argument(
        "--policy", default="", help=t("信任策略文件", "trust policy file; the pinned one if not given")
    )
    judged.add_argument(
        "--since", default="", help=t("自存的旧检查点文件", "an older checkpoint that you kept: it must be extended")
    )

    policy = group("policy", "信任策略", "the trust policy")
    fetched = command(
        policy, "fetch", "receipts:fetch_policy", "获取并固定信任策略", "fetch the trust policy and pin it"
    )
    fetched.add_argument("--out", default="", help=t("另存为", "write it elsewhere"))
    fetched.add_argument("--replace", action="store_true", help=t("替换已固定的策略", "replace the pinned one"))
    _witness_commands(group("witness", "检查点见证方", "a witness of logs"), command, t)
    return parser


def _subject_commands(place: Any, command: Any, t: Any) -> None:
    made = command(place, "card", "subject:card", "生成告知卡", "make a notice card")
    made.add_argument("--out", default="notice-card.json", help=t("写入的文件", "file to write"))
    told = command(place, "runs", "subject:runs", "列出使用过我信息的计算", "list the runs that used my data")
    objected = command(
        place, "object", "objections:file", "对某次计算所用的记录提出异议", "object to a record of a run"
    )
    objected.add_argument("--provider", default="", help=t("哪个机构的记录", "whose record"))
    objected.add_argument("--text", required=True, help=t("写明异议内容的文件", "a file that says what is disputed"))
    answered = command(place, "answer", "objections:answers", "异议办理状态与答复", "how objections stand, and answers")
    for parser in (objected, answered):
        parser.add_argument("--computation", default="", help=t("哪一次计算", "which run"), required=parser is objected)
    for parser in (told, objected, answered):
        parser.add_argument("--card", default="notice-card.json", help=t("告知卡", "the card"))
        parser.add_argument("--days", type=int, default=90, help=t("查看最近几天", "how many days back"))


def _contract_commands(place: Any, command: Any, t: Any) -> None:
    command(place, "list", "contracts:list_contracts", "我的合约", "contracts you are a party of")
    shown = command(place, "show", "contracts:show", "查看条款、签署与余量", "terms, signatures and meter")
    shown.add_argument("ref")
    shown.add_argument("--out", default="", help=t("把已签署的条款另存为文件", "write the signed terms to a file"))
    proposed = command(place, "propose", "contracts:propose", "提出合约", "propose a contract over products")
    proposed.add_argument(
        "--product", action="append", required=True, help=t("产品引用，可重复", "product, repeatable")
    )
    proposed.add_argument("--operation", required=True, help=t("运算", "operation"))
    proposed.add_argument("--terms", default="", help=t("其余条款的 JSON 文件", "JSON file with further choices"))
    proposed.add_argument("--set", action="append", metavar="NAME=VALUE", help=t("单项条款", "one further choice"))
    _signing(command(place, "sign", "contracts:sign", "签署条款", "sign the terms"), t)
    granted = _signing(command(place, "grant", "contracts:grant", "签发链上授权", "sign the on-chain grant"), t)
    _directly(granted, t)
    revoked = _signing(command(place, "revoke", "contracts:revoke", "撤销合约授权", "end a contract at once"), t)
    _directly(revoked, t)
    revoked.add_argument("--reason", default="", help=t("理由", "reason"))
    revoked.add_argument(
        "--sequence", type=int, default=0, help=t("撤销序号，缺省为当前时间", "sequence; the time if not given")
    )
    stated = command(place, "statement", "contracts:statement", "重算结算单", "recompute the statement and compare")
    stated.add_argument("ref")
    stated.add_argument("--period", default="", help=t("账期，如 2026-11", "period, such as 2026-11"))


def _directly(parser: argparse.ArgumentParser, t: Any) -> None:
    parser.add_argument(
        "--direct", action="store_true", help=t("自己向链发送交易，不经交易所", "send the transaction yourself")
    )
    parser.add_argument(
        "--rpc", default="", metavar="URL", help=t("--direct 所用的链节点", "the chain's endpoint for --direct")
    )
    parser.add_argument("--terms", default="", help=t("--direct 所用的已签署条款", "the signed terms for --direct"))


def _signing(parser: argparse.ArgumentParser, t: Any) -> argparse.ArgumentParser:
    parser.add_argument("ref")
    parser.add_argument("--yes", action="store_true", help=t("不再询问", "do not ask"))
    return parser


def _request_options(parser: argparse.ArgumentParser, t: Any) -> None:
    parser.add_argument("contract", nargs="?", default="", help=t("合约引用", "contract"))
    parser.add_argument(
        "--operation", default="", help=t("运算；缺省为合约首项", "operation; the contract's first if not given")
    )
    parser.add_argument("--group-by", default="", help=t("分组列，逗号分隔", "grouping columns, comma separated"))
    parser.add_argument("--values", default="", help=t("数值列，逗号分隔", "value columns, comma separated"))
    parser.add_argument("--filter", action="append", metavar="COLUMN=A,B", help=t("筛选，可重复", "filter, repeatable"))
    parser.add_argument("--min-group", type=int, default=0, help=t("最小分组人数", "smallest group"))
    parser.add_argument("--group-provider", default="", help=t("分组列的提供方", "whose columns group"))
    parser.add_argument("--value-provider", default="", help=t("数值列的提供方", "whose columns are summed"))
    parser.add_argument("--parameters", default="", help=t("参数文件（JSON）", "a file with the parameters (JSON)"))
    parser.add_argument("--expires-minutes", type=int, default=60, help=t("请求有效分钟数", "minutes until it expires"))


def _compute_commands(place: Any, command: Any, t: Any) -> None:
    made = command(place, "submit", "computations:submit", "签署并提交计算请求", "sign a request and send it")
    kept = command(place, "request", "computations:request", "签署请求但不提交", "sign a request and keep it, unsent")
    for parser in (made, kept):
        _request_options(parser, t)
    kept.add_argument("--out", required=True, help=t("请求文件", "file to write"))
    made.add_argument("--request", default="", help=t("发送已签署的请求文件", "send a request signed before"))
    made.add_argument("--watch", action="store_true", help=t("提交后查看进度", "watch it afterwards"))
    watched = command(place, "watch", "computations:watch", "查看各方进度", "every party's progress")
    watched.add_argument("ref")
    for parser in (made, watched):
        parser.add_argument("--timeout", type=float, default=600.0, help=t("最多等待秒数", "seconds to wait at most"))
    command(place, "list", "computations:list_computations", "计算列表", "computations you may see")
    command(place, "withdraw", "computations:withdraw", "撤回请求", "take a request back").add_argument("ref")


def _witness_commands(place: Any, command: Any, t: Any) -> None:
    made = command(place, "init", "witness:init", "建立见证方", "make a witness")
    made.add_argument(
        "--name", required=True, help=t("名称，如 witness.example/w1", "name, such as witness.example/w1")
    )
    made.add_argument("--log", action="append", required=True, help=t("日志公钥，可重复", "a log's vkey, repeatable"))
    made.add_argument("--host", default="127.0.0.1", help=t("监听地址", "where to listen"))
    made.add_argument("--port", type=int, default=21080, help=t("端口", "port"))
    served = command(place, "serve", "witness:serve", "运行见证方", "cosign until stopped")
    shown = command(place, "key", "witness:key", "打印公钥", "print its public keys")
    stated = command(place, "status", "witness:status", "会签进度与证据", "what it cosigned, and evidence against logs")
    for parser in (made, served, shown, stated):
        parser.add_argument("--dir", default="witness", help=t("见证方目录", "the witness's directory"))


def _global_options(parser: argparse.ArgumentParser, t: Any, *, default: bool) -> None:
    """The same options before and after the command; given after, they count too."""

    def option(name: str, value: Any, **settings: Any) -> None:
        parser.add_argument(name, default=value if default else argparse.SUPPRESS, **settings)

    option("--json", False, action="store_true", help=t("输出 JSON", "print JSON"))
    option("--lang", "", choices=["zh", "en"], help=t("语言", "language"))
    option("--home", "", help=t("配置目录", "configuration directory"))
    option("--key", "", help=t("密钥文件", "key file"))
    option("--url", "", help=t("交易所地址", "address of the exchange"))


def _language(arguments: Sequence[str]) -> str:
    """--lang, else HENGSHU_LANG, else what the environment's locale says; known before help is written."""
    for position, word in enumerate(arguments):
        if word.startswith("--lang="):
            return "zh" if word.endswith("zh") else "en"
        if word == "--lang" and position + 1 < len(arguments):
            return "zh" if arguments[position + 1] == "zh" else "en"
    named = os.environ.get("HENGSHU_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return "zh" if named.startswith("zh") else "en"


if __name__ == "__main__":
    sys.exit(main())
