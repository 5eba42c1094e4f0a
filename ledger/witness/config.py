"""A stand-alone witness's directory: `witness.toml`, its key, its database.

    host = "127.0.0.1"
    port = 21080

    [[log]]
    origin = "exchange.example/ledger/2026"
    keys = ["exchange.example/ledger/2026+…"]

One `[[log]]` for each log; a yearly shard is a log of its own, a rotated key is one more line in `keys`.
Nothing is learnt at run time: a log is cosigned for when its key stands here.
"""

import json
import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.proofs import checkpoints
from ledger.proofs.errors import VerificationError
from ledger.witness.errors import WitnessError

FILE_NAME = "witness.toml"
KEY_FILE = "witness-key.json"
STATE_FILE = "witness.sqlite3"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 21_080


@dataclass(frozen=True, slots=True)
class WitnessConfig:
    """Where a witness listens, and the vkeys of each origin it cosigns for."""

    directory: Path
    host: str
    port: int
    logs: Mapping[str, Collection[str]]

    @property
    def key_file(self) -> Path:
        """The witness's own keys."""
        return self.directory / KEY_FILE

    @property
    def state_file(self) -> Path:
        """What it saw and cosigned."""
        return self.directory / STATE_FILE


def by_origin(vkeys: Sequence[str]) -> dict[str, list[str]]:
    """Logs as vkeys name them: the key's name is the origin, as C2SP recommends.

    Raises:
        WitnessError: one is not a verifier key.
    """
    logs: dict[str, list[str]] = {}
    for vkey in vkeys:
        try:
            origin = checkpoints.parse_vkey(vkey).name
        except VerificationError:
            raise _invalid(
                "a log's key is not one that a log signs with; copy it from the log's policy",
                "日志公钥格式不对；请从信任策略复制",
            ) from None
        logs.setdefault(origin, [])
        if vkey not in logs[origin]:
            logs[origin].append(vkey)
    return logs


def write(directory: Path, *, host: str, port: int, logs: Mapping[str, Collection[str]]) -> WitnessConfig:
    """Write a new witness.toml; an existing one is never overwritten."""
    lines = [f"host = {_toml(host)}", f"port = {port}"]
    for origin, keys in logs.items():
        lines += ["", "[[log]]", f"origin = {_toml(origin)}", f"keys = {_toml(list(keys))}"]
    text = "\n".join(lines) + "\n"
    parse(text, directory=directory)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(directory / FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WitnessError(
            f"{directory / FILE_NAME} exists; edit it, or choose another directory.",
            zh=f"{directory / FILE_NAME} 已存在；请修改它，或换一个目录。",
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return load(directory)


def load(directory: Path) -> WitnessConfig:
    """Read a directory's witness.toml; WitnessError when it is missing or wrong."""
    try:
        text = (directory / FILE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WitnessError(
            f"{directory} is not a witness yet; run: hengshu witness init --dir {directory}",
            zh=f"{directory} 还不是见证方；请运行：hengshu witness init --dir {directory}",
        ) from None
    except (OSError, UnicodeDecodeError):
        raise _invalid("it cannot be read", "无法读取") from None
    return parse(text, directory=directory)


def parse(text: str, *, directory: Path) -> WitnessConfig:
    """Check a witness.toml; WitnessError names what is wrong."""
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise _invalid("it is not TOML", "不是 TOML") from None
    if set(settings) - {"host", "port", "log"}:
        raise _invalid("only host, port and [[log]] stand there", "只能含 host、port 与 [[log]]")
    host, port = settings.get("host", DEFAULT_HOST), settings.get("port", DEFAULT_PORT)
    if not isinstance(host, str) or not 0 < len(host) <= 200:
        raise _invalid("host is an address, such as 127.0.0.1", "host 应为地址，如 127.0.0.1")
    if isinstance(port, bool) or not isinstance(port, int) or not 1024 <= port <= 65_535:
        raise _invalid("port is a number from 1024 to 65535", "port 应为 1024 至 65535 的整数")
    logs: dict[str, Collection[str]] = {}
    for log in _tables(settings.get("log")):
        origin, keys = _log(log)
        if origin in logs:
            raise _invalid(
                "one origin stands there twice; put its keys in one [[log]]", "同一日志出现两次；请合并其公钥"
            )
        logs[origin] = keys
    if not logs:
        raise _invalid("there is no [[log]]; a witness needs one to cosign for", "没有 [[log]]；见证方至少需要一个日志")
    return WitnessConfig(directory=directory, host=host, port=port, logs=logs)


def _tables(found: Any) -> list[Any]:
    if found is not None and not isinstance(found, list):
        raise _invalid("logs stand in [[log]], with two brackets", "日志应写作 [[log]]（双括号）")
    return found or []


def _log(log: Any) -> tuple[str, tuple[str, ...]]:
    if not isinstance(log, dict) or set(log) != {"origin", "keys"}:
        raise _invalid("a [[log]] has an origin and keys", "[[log]] 应含 origin 与 keys")
    origin, keys = log["origin"], log["keys"]
    if not isinstance(origin, str) or not origin or not isinstance(keys, list) or not keys:
        raise _invalid("a [[log]] has an origin and keys", "[[log]] 应含 origin 与 keys")
    by_origin([key if isinstance(key, str) else "" for key in keys])
    return origin, tuple(keys)


def _invalid(en: str, zh: str) -> WitnessError:
    return WitnessError(f"{FILE_NAME}: {en}.", zh=f"{FILE_NAME}：{zh}。")


def _toml(value: object) -> str:
    # JSON strings and lists of them are TOML too, as long as no character needs a surrogate pair.
    return json.dumps(value, ensure_ascii=False)
