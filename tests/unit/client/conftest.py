"""A member's machine: a home directory, a key file, a fake exchange, and the command line itself."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compute.protocol import keyfiles
from exchange.client import cli
from exchange.client.store import Config, Home
from tests.factories.node import World
from tests.fakes.exchange_server import FakeExchange


@dataclass
class Machine:
    """Runs `hengshu` in this process, as one member of a small world."""

    home: Path
    world: World
    exchange: FakeExchange
    url: str
    capsys: pytest.CaptureFixture[str]
    code: int = -1
    out: str = ""
    err: str = ""

    def run(self, *words: str) -> "Machine":
        self.code = cli.main(["--home", str(self.home), *words])
        self.out, self.err = self.capsys.readouterr()
        return self

    def json(self) -> Any:
        return json.loads(self.out)

    def as_member(self, name: str) -> None:
        """Log in as one of the world's organisations."""
        path = self.home / f"{name}.key.json"
        if not path.exists():
            keyfiles.save(self.world.keys[name], path)
        home = Home(self.home)
        home.save_config(Config(url=self.url, key_file=str(path), organization=self.world.orgs[name]))
        home.save_token("member-token")

    def pin_policy(self, *, chain: dict[str, Any] | None = None) -> None:
        policy = {
            "type": "hengshu/trust-policy/v1",
            "exchange_document_key": self.world.exchange.document_key,
            "log_origin": "hengshu.example/ledger/2026",
            "log_key": self.world.log_key,
            "chain": chain,
        }
        (self.home / "policy.json").write_text(json.dumps(policy))


@pytest.fixture
def fake_exchange():
    server = FakeExchange()
    url = server.start()
    yield server, url
    server.stop()


@pytest.fixture
def machine(tmp_path, fake_exchange, capsys, monkeypatch) -> Machine:
    for name in ("HENGSHU_LANG", "LC_ALL", "HENGSHU_PASSPHRASE", "HENGSHU_PASSWORD", "HENGSHU_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    server, url = fake_exchange
    home = tmp_path / "home"
    home.mkdir()
    return Machine(home, World(tmp_path), server, url, capsys)
