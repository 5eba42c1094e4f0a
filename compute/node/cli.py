"""`hengshu-node`: the tool of a data node's owner. Every command works on the node's own directory only.

Exit codes: 0 done, 1 refused (the sentence says what to do), 2 wrong usage.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compute.node import config as configuration
from compute.node import consents, datasets, gate_cli, journal, relay, service, sources, trust, witnessing
from compute.node.errors import ConfigInvalid, DatasetInvalid, NodeError
from compute.node.objection_cli import add as add_objections
from compute.node.store import Store
from compute.protocol import documents, keyfiles, shapes
from compute.protocol.documents import DocumentInvalid
from exchange.kernel.errors import DomainError
from ledger.proofs import policies, statements
from ledger.proofs.errors import VerificationError

Arguments = argparse.Namespace
MAX_FILE_BYTES = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    # Given as a namespace: --json and --lang are known to every sub-parser, whose defaults would win otherwise.
    language = "zh" if os.environ.get("LANG", "").startswith("zh") else "en"
    args = _parser().parse_args(arguments, argparse.Namespace(json=False, lang=language))
    command: Callable[[Arguments], None] = args.command
    try:
        command(args)
    except DomainError as error:
        _refuse(args, error)
        return 1
    except BrokenPipeError:
        return 1
    return 0


# --- commands ---------------------------------------------------------------------------------------------


def initialise(args: Arguments) -> None:
    """init: write config.toml and pin the exchange's keys."""
    policy = _read_policy(args.policy)
    settings: dict[str, Any] = {
        "name": args.name,
        "organization": args.organization,
        "key_file": str(args.key.resolve()),
        "min_group": args.min_group,
        "poll_milliseconds": args.poll_milliseconds,
        "exchange": {
            "url": args.exchange,
            "document_key": policy.exchange_document_key,
            "log_origin": policy.log_origin,
            "log_key": policy.log_key,
        },
        "engine": {"host": args.engine_host, "base_port": args.engine_port},
    }
    if args.chain_rpc:
        if policy.chain is None:
            raise ConfigInvalid(
                "The trust policy names no chain; leave out --chain-rpc, or ask the exchange for its policy again.",
                zh="信任策略中没有链；请去掉 --chain-rpc，或重新向交易所索取策略。",
            )
        settings["chain"] = {
            "rpc_url": args.chain_rpc,
            "chain_id": policy.chain.chain_id,
            "contract_address": policy.chain.contract_address,
        }
    # The key file is opened once, so that a wrong one is found now and not at the first job.
    keys = keyfiles.load(args.key, passphrase=os.environ.get("HENGSHU_PASSPHRASE"))
    made = configuration.write(args.home, settings)
    _store(made).close()
    _say(
        args,
        {"home": str(made.home), "organization": made.organization, "document_key": keys.document_key},
        en=f"Node {made.name} is ready in {made.home}. Next: hengshu-node --home {made.home} dataset add FILE",
        zh=f"节点 {made.name} 已建在 {made.home}。下一步：hengshu-node --home {made.home} dataset add 文件",
    )


def dataset_add(args: Arguments) -> None:
    """dataset add: take in one table, whole or not at all."""
    if (args.file is None) == (args.source is None):
        raise DatasetInvalid(
            "SOURCE",
            f"Name either a file or --source, which is one of {sources.FORMS}.",
            zh=f"请指定文件或 --source 其中之一；--source 为：{sources.FORMS}。",
        )
    config = configuration.load(args.home)
    added = datasets.add(
        args.file if args.source is None else sources.find(args.source, secret_file=args.source_secret),
        name=args.name,
        schema_path=args.schema,
        root=config.datasets,
        store=_store(config),
        progress=None if args.json or not sys.stderr.isatty() else _bar,
    )
    _say(
        args,
        {key: added[key] for key in ("name", "version", "rows", "commitment", "block_dimensions", "min_group")}
        | {"columns": [column["name"] for column in added["columns"]]},
        en=f"{added['name']} version {added['version']}: {added['rows']} rows. Commitment {added['commitment']}",
        zh=f"{added['name']} 第 {added['version']} 版：{added['rows']} 行。承诺值 {added['commitment']}",
    )


def dataset_list(args: Arguments) -> None:
    """dataset list."""
    found = [
        {key: item[key] for key in ("name", "version", "rows", "commitment", "added_at")}
        for item in _store(configuration.load(args.home)).datasets()
    ]
    lines = [f"{item['name']:<24} v{item['version']}  {item['rows']:>9}  {item['commitment']}" for item in found]
    _list(args, found, lines, en="No dataset yet.", zh="还没有数据集。")


def contract_accept(args: Arguments) -> None:
    """contract accept: pin a signed contract's parties and open its meter."""
    config = configuration.load(args.home)
    document = consents.accept_contract(
        _read_document(args.file), config=config, keys=config.load_keys(), store=_store(config)
    )
    digest = statements.digest(document)
    _say(
        args,
        {"contract": document["id"], "number": document["number"], "terms_digest": digest},
        en=f"{document['number']} accepted; terms {digest}.",
        zh=f"已接受 {document['number']}；条款摘要 {digest}。",
    )


def contract_list(args: Arguments) -> None:
    """contract list: accepted contracts and their meters."""
    store = _store(configuration.load(args.home))
    found = [
        {
            "contract": item["id"],
            "number": item["number"],
            "approval": item["computation"]["approval"],
            "revoked": store.is_revoked(item["id"]),
            "rule": store.rule(item["id"]),
            **store.meter(item["id"]),
        }
        for item in store.contracts()
    ]
    lines = [
        f"{item['number']:<28} {item['committed']}+{item['reserved']}/{item['quota']}"
        f"{'  REVOKED' if item['revoked'] else ''}  {item['contract']}"
        for item in found
    ]
    _list(args, found, lines, en="No contract accepted yet.", zh="还没有接受任何合约。")


def consent_standing(args: Arguments) -> None:
    """consent standing: say yes in advance to what the contract allows."""
    store = _store(configuration.load(args.home))
    until = None if args.until is None else _time(args.until)
    consents.set_standing(
        store=store, contract=args.contract, expires=until, per_day=args.per_day, chosen=args.operation
    )
    rule = store.rule(args.contract)
    _say(
        args,
        {"contract": args.contract, "rule": rule},
        en="Standing consent is kept on this node; take it back with: revoke, pause, or a rule that has ended.",
        zh="长期同意已存于本节点；可用 revoke、pause 或到期规则收回。",
    )


def consent_decide(args: Arguments) -> None:
    """consent approve, consent refuse: the owner's answer to one computation."""
    config = configuration.load(args.home)
    document = consents.decide(
        computation=args.computation,
        decision=args.decision,
        reason=getattr(args, "reason", ""),
        config=config,
        keys=config.load_keys(),
        store=_store(config),
        now=_now(),
    )
    _say(
        args,
        {"computation": args.computation, "decision": document["decision"], "consent": document["id"]},
        en=f"{document['decision']}: signed; the running node sends it.",
        zh=f"{'已同意' if args.decision == 'granted' else '已拒绝'}：已签名，由运行中的节点送出。",
    )


def consent_list(args: Arguments) -> None:
    """consent list: what waits for the owner."""
    found = _store(configuration.load(args.home)).undecided()
    lines = [
        f"{item['id']}  {item['operation']}  {json.dumps(item['parameters'], ensure_ascii=False)}" for item in found
    ]
    _list(args, found, lines, en="Nothing waits for a decision.", zh="没有等待决定的请求。")


def revoke(args: Arguments) -> None:
    """revoke: end a contract at this node at once, and write the signed document for the exchange."""
    config = configuration.load(args.home)
    document = consents.revoke(
        contract=args.contract,
        reason=args.reason,
        config=config,
        keys=config.load_keys(),
        store=_store(config),
        now=_now(),
    )
    path = args.out or config.home / f"revocation-{document['contract'].rpartition(':')[2]}-{document['sequence']}.json"
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    _say(
        args,
        {"contract": args.contract, "sequence": document["sequence"], "document": str(path)},
        en=f"Revoked at this node, at once. Send {path} to the exchange with: hengshu contract revoke",
        zh=f"已在本节点立即撤销。请用 hengshu contract revoke 将 {path} 送交交易所。",
    )


def policy_update(args: Arguments) -> None:
    """policy update: take the exchange's new keys, if the pinned ones have signed for them."""
    config = configuration.load(args.home)
    before, now = config.trust, trust.update(config)
    if now != before:
        _store(config).note(
            "policy.updated", document_key=now.exchange_document_key, log_origin=now.log_origin, log_key=now.log_key
        )
    _say(
        args,
        {"changed": now != before, "document_key": now.exchange_document_key, "log_key": now.log_key},
        en=f"Changed, with the old keys' signatures; restart the node. Exchange key {now.exchange_document_key}"
        if now != before
        else "Nothing has changed.",
        zh=f"已变更，均有旧密钥签署；请重启节点。交易所密钥 {now.exchange_document_key}"
        if now != before
        else "没有变化。",
    )


def pause(args: Arguments) -> None:
    """pause, resume: the kill switch."""
    _store(configuration.load(args.home)).set_paused(args.paused)
    en = "Paused: nothing new starts and a running job is stopped." if args.paused else "Resumed."
    zh = "已暂停：不再开始新任务，运行中的任务会停止。" if args.paused else "已恢复。"
    _say(args, {"paused": args.paused}, en=en, zh=zh)


def run(args: Arguments) -> None:
    """run: the daemon, until SIGTERM or Ctrl-C."""
    service.run(configuration.load(args.home), verbose=args.verbose)


def show_journal(args: Arguments) -> None:
    """journal: check the whole chain, then show the last lines."""
    connection = _store(configuration.load(args.home)).connection()
    count = journal.verify(connection)
    found = list(journal.read(connection, limit=args.last))
    if args.json:
        print(json.dumps({"verified": True, "lines": count, "last": found}, ensure_ascii=False))
        return
    for line in found:
        details = " ".join(f"{key}={value}" for key, value in line["details"].items())
        print(f"{line['sequence']:>6}  {line['at']}  {line['event']:<20} {details}")
    print(_word(args, f"{count} lines, the chain holds.", f"共 {count} 行，哈希链完整。"))


def status(args: Arguments) -> None:
    """status: what this node is, holds and owes."""
    config = configuration.load(args.home)
    store = _store(config)
    found: dict[str, Any] = {
        "name": config.name,
        "organization": config.organization,
        "exchange": config.exchange_url,
        "chain": None if config.chain is None else config.chain.rpc_url,
        "paused": store.is_paused(),
        "datasets": len(store.datasets()),
        "contracts": len(store.contracts()),
        "undecided": len(store.undecided()),
        "outbox": len(store.waiting()),
        "reports": len(store.reports()),
        "witness": witnessing.status(config),
    }
    lines = [f"{key:<14}{_witness_line(value) if key == 'witness' else value}" for key, value in found.items()]
    _list(args, found, lines, en="", zh="")


def witness_enable(args: Arguments) -> None:
    """witness enable: make this node a witness of the exchange's log."""
    config = configuration.load(args.home)
    keys = witnessing.enable(
        config, name=args.name or f"{config.name}/witness", host=args.host, port=args.port, logs=args.log or []
    )
    _say(
        args,
        {"keys": list(keys), "address": f"{args.host}:{args.port}"},
        en=f"Restart the node, and give the exchange this key and the address where it reaches you:\n{keys[0]}",
        zh=f"请重启节点，并把以下公钥与可达地址交给交易所：\n{keys[0]}",
    )


def witness_key(args: Arguments) -> None:
    """witness key: the public keys again."""
    keys = witnessing.vkeys(configuration.load(args.home))
    _list(args, {"keys": list(keys)}, list(keys), en="", zh="")


def witness_evidence(args: Arguments) -> None:
    """witness evidence: checkpoints that the log signed and that do not go together."""
    found = witnessing.evidence(configuration.load(args.home))
    lines = [f"{item['kind']}\n{item['held_note']}\n{item['shown_note']}" for item in found]
    _list(args, found, lines, en="No evidence against a log.", zh="没有不利于日志的证据。")


# --- words and files --------------------------------------------------------------------------------------


def _witness_line(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "off"
    state = "listening" if found["listening"] else f"NOT LISTENING ({found['reason']})"
    sizes = ", ".join(f"{log['origin']} {log['size']}" for log in found["logs"] if log["size"] is not None)
    accused = sum(log["contradictions"] for log in found["logs"])
    return (
        f"{state} {found['address']}  {sizes}{'  CONTRADICTIONS: see hengshu-node witness evidence' if accused else ''}"
    )


def _store(config: configuration.Config) -> Store:
    return Store(config.database, clock=_now)


def _now() -> datetime:
    return datetime.now(UTC)


def _time(text: str) -> datetime:
    try:
        return shapes.parse_time(text)
    except ValueError:
        raise DocumentInvalid("--until", "must be UTC with seconds, such as 2026-11-21T05:30:00Z") from None


def _read_document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return documents.parse(file.read(MAX_FILE_BYTES), max_bytes=MAX_FILE_BYTES - 1)
    except OSError:
        raise NodeError(f"{path} cannot be read; check the name.", zh=f"无法读取 {path}；请检查文件名。") from None


def _read_policy(path: Path) -> policies.TrustPolicy:
    try:
        return policies.parse(_read_document(path))
    except VerificationError as error:
        raise ConfigInvalid(
            f"{path} is not a trust policy: {error.message}; take it from hengshu policy fetch.",
            zh=f"{path} 不是信任策略文件；请用 hengshu policy fetch 获取。",
        ) from None


def _say(args: Arguments, value: Mapping[str, Any], *, en: str, zh: str) -> None:
    print(json.dumps(value, ensure_ascii=False) if args.json else _word(args, en, zh))


def _list(args: Arguments, value: Any, lines: Sequence[str], *, en: str, zh: str) -> None:
    if args.json:
        print(json.dumps(value, ensure_ascii=False))
    elif lines:
        print("\n".join(lines))
    else:
        print(_word(args, en, zh))


def _refuse(args: Arguments, error: DomainError) -> None:
    zh = getattr(error, "zh", "")
    if args.json:
        found = {"error": error.code, "message": error.message, "zh": zh or error.message}
        for name in ("reason", "line", "column"):
            if hasattr(error, name):
                found[name] = getattr(error, name)
        print(json.dumps(found, ensure_ascii=False))
    else:
        print(f"{error.code}: {_word(args, error.message, zh or error.message)}", file=sys.stderr)


def _word(args: Arguments, en: str, zh: str) -> str:
    return zh if args.lang == "zh" else en


def _bar(done: int, total: int) -> None:
    if total == 0:  # a source that cannot tell how much there is
        print(f"\r{done:,} rows / 行", end="", file=sys.stderr, flush=True)
        return
    share = min(1.0, done / total)
    filled = int(share * 30)
    end = "\n" if share >= 1.0 else ""
    print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {share:4.0%}", end=end, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON value / 输出 JSON")
    common.add_argument("--lang", choices=("zh", "en"), default=argparse.SUPPRESS, help="language / 语言")
    parser = argparse.ArgumentParser(
        prog="hengshu-node", description="A data node of Hengshu / 衡数数据节点", parents=[common]
    )
    parser.add_argument("--home", type=Path, default=Path("node"), help="the node's directory / 节点目录")
    top = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        group: Any, name: str, function: Callable[[Arguments], None], help_text: str, **defaults: object
    ) -> argparse.ArgumentParser:
        found: argparse.ArgumentParser = group.add_parser(name, help=help_text, parents=[common])
        found.set_defaults(command=function, **defaults)
        return found

    def family(name: str, help_text: str) -> Any:
        return top.add_parser(name, help=help_text, parents=[common]).add_subparsers(required=True, metavar="COMMAND")

    gate_cli.add(command, family, top)
    add_objections(command, family)
    made = command(top, "init", initialise, "make a node / 建立节点")
    made.add_argument("--name", required=True, help="short name / 简称")
    made.add_argument("--organization", required=True, help="urn:hengshu:org:…")
    made.add_argument("--key", type=Path, required=True, help="key file / 密钥文件")
    made.add_argument("--exchange", required=True, help="address of the exchange / 交易所地址")
    made.add_argument("--policy", type=Path, required=True, help="the exchange's trust policy / 信任策略文件")
    made.add_argument("--chain-rpc", default="", help="your own chain endpoint / 自选的链端点")
    made.add_argument("--engine-host", default="127.0.0.1", help="where peers reach you / 对端可达的地址")
    made.add_argument("--engine-port", type=int, default=21000, help="first of three ports / 三个端口中的第一个")
    made.add_argument("--min-group", type=int, default=10, help="never fewer persons / 最小组人数")
    made.add_argument("--poll-milliseconds", type=int, default=500, help="pause between polls / 轮询间隔")

    dataset = family("dataset", "datasets / 数据集")
    added = command(dataset, "add", dataset_add, "take in a table / 加入一张表")
    added.add_argument("file", type=Path, nargs="?", help="a delimited file / 分隔符文件")
    added.add_argument("--source", help=f"or: {sources.FORMS}")
    added.add_argument("--source-secret", type=Path, help="file (0600) with the connection string / 连接串文件")
    added.add_argument("--name", required=True)
    added.add_argument("--schema", type=Path, required=True)
    command(dataset, "list", dataset_list, "what is here / 列出数据集")

    contract = family("contract", "contracts / 合约")
    accepted = command(contract, "accept", contract_accept, "accept a signed contract / 接受已签合约")
    accepted.add_argument("file", type=Path)
    command(contract, "list", contract_list, "accepted contracts / 列出已接受合约")

    consent = family("consent", "consents / 同意")
    standing = command(consent, "standing", consent_standing, "say yes in advance / 长期同意")
    standing.add_argument("contract")
    standing.add_argument("--operation", action="append")
    standing.add_argument("--per-day", type=int)
    standing.add_argument("--until")
    command(consent, "approve", consent_decide, "yes to one run / 同意一次", decision="granted").add_argument(
        "computation"
    )
    refused = command(consent, "refuse", consent_decide, "no to one run / 拒绝一次", decision="refused")
    refused.add_argument("computation")
    refused.add_argument("--reason", default="")
    command(consent, "list", consent_list, "what waits / 等待决定的请求")

    ended = command(top, "revoke", revoke, "end a contract at once / 立即撤销合约")
    ended.add_argument("contract")
    ended.add_argument("--reason", default="")
    ended.add_argument("--out", type=Path)
    policy = family("policy", "the exchange's keys / 交易所密钥")
    command(policy, "update", policy_update, "follow the exchange's new keys / 跟随交易所的新密钥")
    command(top, "pause", pause, "stop everything / 暂停", paused=True)
    command(top, "resume", pause, "allow again / 恢复", paused=False)
    relay.add(command, top)
    command(top, "run", run, "run the node / 运行节点").add_argument("--verbose", action="store_true")
    witness = family("witness", "cosign the exchange's log / 见证交易所日志")
    enabled = command(witness, "enable", witness_enable, "become a witness / 成为见证方")
    enabled.add_argument("--name", default="", help="as policies name it / 策略中的名称")
    enabled.add_argument("--host", default="127.0.0.1", help="where to listen / 监听地址")
    enabled.add_argument("--port", type=int, default=21080, help="port / 端口")
    enabled.add_argument("--log", action="append", help="a further log's vkey / 其他日志公钥")
    command(witness, "evidence", witness_evidence, "contradicting checkpoints / 相互矛盾的检查点")
    command(witness, "key", witness_key, "print its public keys / 打印公钥")
    command(top, "journal", show_journal, "check and show the journal / 核对并查看日志").add_argument(
        "--last", type=int, default=20
    )
    command(top, "status", status, "what this node is and owes / 状态")
    return parser
