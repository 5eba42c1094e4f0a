"""A node's configuration: whom it belongs to, which exchange and which keys it trusts, where engines listen.

Everything a node trusts is pinned here or in contracts its owner accepted; nothing is learnt at run time.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compute.node import trust
from compute.node.budget import Limits
from compute.node.errors import ConfigInvalid
from compute.protocol import keyfiles, privacy, shapes
from compute.protocol.operations import MINIMUM_GROUP
from compute.protocol.shapes import DocumentInvalid
from ledger.proofs import checkpoints, notes, policies
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import TrustPolicy

FILE_NAME = "config.toml"


@dataclass(frozen=True, slots=True)
class Chain:
    """The node's own endpoint to the chain, and the ledger contract on it."""

    rpc_url: str
    chain_id: int
    contract_address: str


@dataclass(frozen=True, slots=True)
class WitnessSection:
    """Where the node answers as a witness, and the vkeys of further logs than the pinned one."""

    name: str
    host: str
    port: int
    logs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """One node's settings, as read from its home directory."""

    home: Path
    name: str
    organization: str
    key_file: Path
    exchange_url: str
    exchange_document_key: str
    log_origin: str
    log_key: str
    chain: Chain | None
    engine_host: str
    engine_base_port: int
    min_group: int
    poll_seconds: float
    witness: WitnessSection | None = None
    relay: str | None = None
    engine_announced: str | None = None  # host:port; None where peers reach the engine where it listens
    engine_memory_mb: int | None = None
    engine_bucket_rows: int | None = None  # above so many rows tables are matched by buckets; None: the engines' own
    kept_trust: TrustPolicy | None = None
    privacy: Limits = field(default_factory=Limits)
    reviewers: Mapping[str, str] = field(default_factory=dict)  # name: did:key of each person who may review

    @property
    def trust(self) -> TrustPolicy:
        """The exchange's and the log's keys: those pinned here, or a kept policy that followed from them."""
        return self.kept_trust or policies.single(
            exchange_document_key=self.exchange_document_key, log_origin=self.log_origin, log_key=self.log_key
        )

    @property
    def datasets(self) -> Path:
        """Where datasets lie."""
        return self.home / "datasets"

    @property
    def work(self) -> Path:
        """Where runs work; wiped after each and at start."""
        return self.home / "work"

    @property
    def database(self) -> Path:
        """The node's own SQLite file."""
        return self.home / "node.sqlite3"

    def load_keys(self) -> keyfiles.KeyFile:
        """The organisation's keys; HENGSHU_PASSPHRASE opens a protected file."""
        return keyfiles.load(self.key_file, passphrase=os.environ.get("HENGSHU_PASSPHRASE"))


_TEXT = shapes.text(1, 400)
_TEXT_LONG = shapes.text(1, 2500)  # an ML-DSA-44 vkey has 1,750 characters and its name
_URL = shapes.pattern(r"https?://[A-Za-z0-9.\-_\[\]:]{1,200}(/[A-Za-z0-9._~/\-]{0,200})?", "an http or https address")
_PORT = shapes.integer(1024, 65_530)
_HOST_PORT = shapes.pattern(r"[A-Za-z0-9.\-\[\]:]{1,200}:[0-9]{1,5}", "host:port")
_MEMORY_MB = shapes.integer(128, 1 << 24)


def _bucket_rows(value: Any, path: str) -> None:
    shapes.integer(16, 1 << 24)(value, path)
    if value & (value - 1):
        raise shapes.refuse(path, "must be a power of two")


_SHAPE = {
    "name": shapes.text(1, 60),
    "organization": shapes.urn("org"),
    "key_file": _TEXT,
    "min_group": shapes.integer(MINIMUM_GROUP, 1_000_000),
    "poll_milliseconds": shapes.integer(50, 60_000),
    "exchange": shapes.members(
        {"url": _URL, "document_key": shapes.document_key, "log_origin": _TEXT, "log_key": _TEXT}
    ),
    "engine": shapes.members({"host": shapes.text(1, 200), "base_port": _PORT}, optional={"announced": _HOST_PORT}),
}
_WITNESS = shapes.members(
    {"name": shapes.text(1, 255), "host": shapes.text(1, 200), "port": _PORT, "logs": shapes.list_of(_TEXT_LONG)}
)
_CHAIN = shapes.members({"rpc_url": _URL, "chain_id": shapes.integer(1), "contract_address": shapes.ADDRESS})

_REVIEWERS = shapes.map_of(shapes.document_key, names=shapes.SLUG, high=16)


def _privacy(value: Any, path: str) -> None:
    """[privacy]: decimals in quotes, as in requests; what is left out has its default."""
    shapes.members(
        {},
        optional={"epsilon": _TEXT, "per_answer": _TEXT, "delta": _TEXT, "days": shapes.integer(1, 3660)},
    )(value, path)
    try:
        _limits(value)
    except (ValueError, ArithmeticError):
        raise shapes.refuse(path, 'needs decimals in quotes, such as epsilon = "1" and per_answer = "0.1"') from None


_OPTIONAL = {
    "chain": _CHAIN,
    "witness": _WITNESS,
    "relay": _HOST_PORT,
    "engine_memory_mb": _MEMORY_MB,
    "engine_bucket_rows": _bucket_rows,
    "privacy": _privacy,
    "reviewers": _REVIEWERS,
}


def _limits(value: Mapping[str, Any]) -> Limits:
    default = Limits()
    return Limits(
        epsilon_micro=privacy.parse_epsilon(value["epsilon"]) if "epsilon" in value else default.epsilon_micro,
        per_answer_micro=privacy.parse_epsilon(value["per_answer"])
        if "per_answer" in value
        else default.per_answer_micro,
        delta_pico=privacy.parse_delta(value["delta"]) if "delta" in value else default.delta_pico,
        days=value.get("days", default.days),
    )


def write(home: Path, settings: Mapping[str, Any]) -> Config:
    """Write a new config.toml (mode 0600) from checked settings; an existing one is never overwritten."""
    _check(settings)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.chmod(0o700)
    lines = [f"{name} = {_toml(settings[name])}" for name in settings if not isinstance(settings[name], Mapping)]
    for name, table in settings.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    path = home / FILE_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigInvalid(
            f"{path} exists; edit it, or choose another --home.", zh=f"{path} 已存在；请修改它，或换一个 --home。"
        ) from None
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    (home / "datasets").mkdir(mode=0o700, exist_ok=True)
    (home / "work").mkdir(mode=0o700, exist_ok=True)
    return load(home)


def load(home: Path) -> Config:
    """Read a node's config.toml.

    Raises:
        ConfigInvalid: missing, not TOML, or a member is missing, unknown or wrong.
    """
    path = home / FILE_NAME
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigInvalid(
            f"{home} is not a node yet; run: hengshu-node --home {home} init",
            zh=f"{home} 还不是节点；请运行：hengshu-node --home {home} init",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigInvalid(f"{path} is not TOML in UTF-8.", zh=f"{path} 不是 UTF-8 的 TOML 文件。") from None
    _check(settings)
    chain = settings.get("chain")
    witness = settings.get("witness")
    return Config(
        home=home,
        name=settings["name"],
        organization=settings["organization"],
        key_file=home / settings["key_file"],  # an absolute path stays absolute
        exchange_url=settings["exchange"]["url"].rstrip("/"),
        exchange_document_key=settings["exchange"]["document_key"],
        log_origin=settings["exchange"]["log_origin"],
        log_key=settings["exchange"]["log_key"],
        chain=None if chain is None else Chain(**chain),
        engine_host=settings["engine"]["host"],
        engine_base_port=settings["engine"]["base_port"],
        min_group=settings["min_group"],
        poll_seconds=settings["poll_milliseconds"] / 1000,
        relay=settings.get("relay"),
        engine_announced=settings["engine"].get("announced"),
        engine_memory_mb=settings.get("engine_memory_mb"),
        engine_bucket_rows=settings.get("engine_bucket_rows"),
        witness=None if witness is None else WitnessSection(**{**witness, "logs": tuple(witness["logs"])}),
        kept_trust=trust.load(
            home,
            document_key=settings["exchange"]["document_key"],
            log_origin=settings["exchange"]["log_origin"],
            log_key=settings["exchange"]["log_key"],
        ),
        privacy=_limits(settings.get("privacy", {})),
        reviewers=settings.get("reviewers", {}),
    )


def add_table(home: Path, name: str, table: Mapping[str, Any]) -> Config:
    """Put a further table behind what config.toml holds; what its owner wrote there stays as it is.

    Raises:
        ConfigInvalid: the table is wrong; the file is then unchanged.
    """
    path = home / FILE_NAME
    lines = ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    text = path.read_text(encoding="utf-8").rstrip("\n") + "\n" + "\n".join(lines) + "\n"
    try:
        _check(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        raise ConfigInvalid(
            f"config.toml has a table [{name}] already; edit it.", zh=f"config.toml 已有 [{name}]；请直接修改。"
        ) from None
    fresh = path.with_suffix(".toml.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return load(home)


def _check(settings: Mapping[str, Any]) -> None:
    try:
        shapes.members(_SHAPE, optional=_OPTIONAL)(dict(settings), "")
        reviewers = list(settings.get("reviewers", {}).values())
        if len(set(reviewers)) != len(reviewers):
            raise shapes.refuse("reviewers", "must name different keys: two persons, two keys")
        notes.parse_vkey(settings["exchange"]["log_key"])
        for vkey in settings.get("witness", {}).get("logs", ()):
            checkpoints.parse_vkey(vkey)
    except DocumentInvalid as error:
        raise ConfigInvalid(f"config.toml: {error.message}", zh=f"config.toml 有误：{error.message}") from None
    except VerificationError:
        raise ConfigInvalid(
            "config.toml: a log's key is not a verifier key; copy it from the exchange's policy.",
            zh="config.toml：日志公钥不是验证公钥；请从交易所的信任策略复制。",
        ) from None


def _toml(value: object) -> str:
    # JSON strings and integers are TOML strings and integers, as long as no character needs a surrogate pair.
    return json.dumps(value, ensure_ascii=False)
