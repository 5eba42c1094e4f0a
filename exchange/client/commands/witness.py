"""`hengshu witness …`: a witness of its own, beside no node and no exchange."""

import argparse
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from types import FrameType

from exchange.client.context import Context
from exchange.client.errors import ClientError
from ledger.witness import config as configuration
from ledger.witness import keys as witness_keys
from ledger.witness.errors import WitnessError
from ledger.witness.rules import Kind
from ledger.witness.server import Listener
from ledger.witness.state import State
from ledger.witness.witness import Witness

Command = Callable[[Context, argparse.Namespace], int]

_KINDS = {
    Kind.SPLIT_VIEW: (
        "同一大小两个根：两份检查点足以证明日志作伪",
        "two roots for one size: the two notes convict the log",
    ),
    Kind.EMPTY_ROOT: (
        "空日志的根不对：该检查点足以证明日志作伪",
        "an empty tree with another root: the note convicts the log",
    ),
    Kind.UNPROVEN: ("未获证明的后续：请向日志索取一致性证明", "a successor without a proof: ask the log for one"),
}


def _bilingual(command: Command) -> Command:
    """The witness's own refusals carry both languages; the command line shows the chosen one."""

    @wraps(command)
    def run(context: Context, args: argparse.Namespace) -> int:
        try:
            return command(context, args)
        except WitnessError as error:
            raise ClientError(error.code, error.message, zh=error.zh) from error

    return run


@_bilingual
def init(context: Context, args: argparse.Namespace) -> int:
    """Make a witness: its directory, its keys, the logs it cosigns for."""
    directory = Path(args.dir)
    made = witness_keys.generate(args.name)
    config = configuration.write(directory, host=args.host, port=args.port, logs=configuration.by_origin(args.log))
    witness_keys.save(made, config.key_file)
    context.out.facts(_key_facts(made))
    context.out.say(
        f"见证方已建在 {directory}。请备份 {configuration.KEY_FILE}，然后运行：hengshu witness serve --dir {directory}",
        f"The witness is ready in {directory}. Keep a copy of {configuration.KEY_FILE}, then run: "
        f"hengshu witness serve --dir {directory}",
    )
    context.out.document({"directory": str(directory), "name": made.name, "keys": list(made.vkeys)})
    return 0


@_bilingual
def serve(context: Context, args: argparse.Namespace) -> int:
    """Cosign until SIGTERM or Ctrl-C."""
    config = configuration.load(Path(args.dir))
    witness = _open(config)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    try:
        listener = Listener(witness, host=config.host, port=config.port)
    except OSError as error:
        raise ClientError(
            "ADDRESS_UNAVAILABLE",
            f"{config.host} port {config.port} cannot be had: {error.strerror}; edit {configuration.FILE_NAME}.",
            zh=f"无法监听 {config.host} 端口 {config.port}：{error.strerror}；请修改 {configuration.FILE_NAME}。",
        ) from None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    listener.start()
    context.out.say(
        f"{witness.keys.name} 正在 http://{listener.host}:{listener.port} 见证 {len(config.logs)} 个日志。",
        f"{witness.keys.name} cosigns for {len(config.logs)} log(s) at http://{listener.host}:{listener.port}",
    )
    stopping.wait()
    listener.stop()
    witness.state.close()
    return 0


@_bilingual
def key(context: Context, args: argparse.Namespace) -> int:
    """Print the public halves, as policies name them."""
    found = witness_keys.load(configuration.load(Path(args.dir)).key_file)
    context.out.facts(_key_facts(found))
    context.out.document({"name": found.name, "keys": list(found.vkeys)})
    return 0


@_bilingual
def status(context: Context, args: argparse.Namespace) -> int:
    """What was cosigned, and the evidence against logs; exit 1 when a log is convicted."""
    witness = _open(configuration.load(Path(args.dir)))
    found = witness.status()
    conflicts = witness.state.conflicts()
    witness.state.close()
    context.out.table(
        [("日志", "log"), ("大小", "size"), ("会签时间", "cosigned"), ("矛盾", "contradictions"), ("未证", "unproven")],
        [
            (log["origin"], log["size"], _moment(log["cosigned_at"]), log["contradictions"], log["unproven"])
            for log in found["logs"]
        ],
    )
    for conflict in conflicts:
        zh, en = _KINDS[conflict.kind]
        context.out.say(
            f"{_moment(conflict.seen_at)} {conflict.origin} 大小 {conflict.shown_size}：{zh}。",
            f"{_moment(conflict.seen_at)} {conflict.origin} size {conflict.shown_size}: {en}.",
        )
    if conflicts:
        context.out.say("两份检查点全文见 --json。", "Both notes in full: --json.")
    context.out.document(found | {"evidence": [conflict.document() for conflict in conflicts]})
    return 1 if any(conflict.kind is not Kind.UNPROVEN for conflict in conflicts) else 0


def _open(config: configuration.WitnessConfig) -> Witness:
    return Witness(
        keys=witness_keys.load(config.key_file),
        logs=config.logs,
        state=State(config.state_file),
        clock=lambda: int(time.time()),
    )


def _key_facts(keys: witness_keys.WitnessKeys) -> list[tuple[str, str, object]]:
    names = (("Ed25519 公钥", "Ed25519 key"), ("ML-DSA-44 公钥", "ML-DSA-44 key"))
    return [(*name, vkey) for name, vkey in zip(names, keys.vkeys, strict=False)]


def _moment(seconds: int | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
