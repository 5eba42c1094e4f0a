"""The parts of a running exchange on one machine, and the environment that joins them.

`DATABASE_URL`, `REDIS_URL` and `CHAIN_RPC_URL`, where set, replace the embedded parts.
"""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from exchange.runner import embedded, supervisor
from exchange.runner.supervisor import Process, StartFailed, Supervisor

_FIRST_ENGINE_PORT, _ENGINE_PORTS, _ENGINE_BLOCKS = 21_200, 60, 180  # below the ports of outgoing connections
_LONGEST_SOCKET_PATH = 100  # the kernel allows 107 bytes


@dataclass(slots=True)
class Stack:
    """One exchange with everything it needs, below one directory.

    Args:
        directory: holds databases, keys, logs and the members' own directories; mode 0700.
        web_port: where to serve the pages; the next free port when taken.
        say: told what happens.
    """

    directory: Path
    say: Callable[[str], None]
    web_port: int = 8000
    supervisor: Supervisor = field(init=False)
    environment: dict[str, str] = field(init=False, default_factory=dict)
    ports: dict[str, int] = field(init=False, default_factory=dict)
    cluster: Path | None = field(init=False, default=None)  # where our own PostgreSQL lies

    def __post_init__(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.supervisor = Supervisor(logs=self.directory / "logs", say=self.say)
        self._choose_ports()
        self.environment = self._environment()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['web']}"

    @property
    def sockets(self) -> Path:
        """Where the Unix sockets lie: beside the data, or below /tmp when that path is too long."""
        if len(str(self.directory / "postgres" / ".s.PGSQL.5432")) <= _LONGEST_SOCKET_PATH:
            return self.directory
        name = hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"hengshu-{name}"

    def member(self, code: str) -> Path:
        """A member's own machine, as far as one machine can play it: keys, client settings, node."""
        return self.directory / "members" / code

    def start_stores(self) -> None:
        """Database, broker and chain: whichever the environment does not already name."""
        batch = []
        if "DATABASE_URL" not in os.environ:
            cluster = embedded.postgres(self.sockets / "postgres")
            cluster.initialise()
            batch.append(
                Process(
                    "postgres",
                    cluster.command(),
                    supervisor.socket_answers(cluster.socket),
                    stop_signal=signal.SIGINT,
                    cwd=Path("/"),
                )
            )
            self.environment["DATABASE_URL"] = cluster.url
            self.cluster = cluster.directory
        if "REDIS_URL" not in os.environ:
            directory = self.sockets / "valkey"
            ready = supervisor.socket_answers(directory / "valkey.sock")
            batch.append(Process("valkey", embedded.valkey_command(directory), ready))
        if "CHAIN_RPC_URL" not in os.environ:
            (self.directory / "chain").mkdir(mode=0o700, exist_ok=True)
            command = embedded.anvil_command(port=self.ports["chain"], state=self.directory / "chain" / "anvil.json")
            batch.append(Process("chain", command, supervisor.port_answers(self.ports["chain"])))
        self.supervisor.start(*batch)

    def prepare(self, *arguments: str) -> None:
        """Run steps of `exchange.runner.prepare` in a process of their own.

        Raises:
            StartFailed: with the end of what it printed.
        """
        finished = subprocess.run(
            [sys.executable, "-m", "exchange.runner.prepare", *arguments],
            env={**os.environ, **self.environment},
            cwd=embedded.PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            raise StartFailed(f"preparing the exchange failed:\n{finished.stderr[-2000:]}")

    def launch_web(self) -> Process:
        """Start the web process; its code takes two seconds to load, in which others make the tables."""
        bind = f"127.0.0.1:{self.ports['web']}"
        web = [sys.executable, "-m", "gunicorn", "--preload", "-b", bind, "-w", "2", "--threads", "4"]
        web += ["--worker-tmp-dir", str(self.directory), "--no-control-socket", "exchange.wsgi:application"]
        ready = supervisor.page_answers(f"{self.url}/healthz")
        process = Process("web", web, ready, self.environment, cwd=embedded.PROJECT)
        self.supervisor.launch(process)
        return process

    def start_exchange(self, web: Process) -> None:
        """The worker, once there are tables; the first page is up when this returns."""
        worker = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "exchange.celery:app",
            "worker",
            "-B",
            "-c",
            "1",
            "-l",
            "WARNING",
        ]
        worker += ["-s", str(self.directory / "celery-beat"), "--without-gossip", "--without-mingle"]
        environment = self.environment
        self.supervisor.start(Process("worker", worker, lambda: True, environment, cwd=embedded.PROJECT))
        self.supervisor.wait(web)

    def node(self, code: str) -> Process:
        """A data node as its own process: no variable of the exchange reaches it."""
        home = self.member(code) / "node"
        command = [sys.executable, "-m", "compute.node", "--home", str(home), "run"]
        blank = dict.fromkeys(set(self.environment) & set(os.environ) | {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"}, "")
        ready = supervisor.file_exists(home / "ready")
        (home / "ready").unlink(missing_ok=True)
        return Process(f"node-{code}", command, ready, blank, cwd=embedded.PROJECT)

    def _choose_ports(self) -> None:
        path = self.directory / "ports.json"
        wanted = json.loads(path.read_text()) if path.exists() else {}
        web = wanted.get("web", self.web_port)
        self.ports = {"web": supervisor.free_ports(1, start=web)[0]}
        self.ports["chain"] = supervisor.free_ports(1, start=wanted.get("chain", 18545))[0]
        engines = wanted.get("engines", self._engine_ports())
        self.ports["engines"] = supervisor.free_ports(_ENGINE_PORTS, start=engines)[0]
        self.ports["witnesses"] = supervisor.free_ports(6, start=wanted.get("witnesses", 21100))[0]
        path.write_text(json.dumps(self.ports))

    def _engine_ports(self) -> int:
        """Where the nodes' engine ports begin: by the directory, because they are taken only while a run lasts, so
        that a second exchange on this machine would find the same ones free."""
        return _FIRST_ENGINE_PORT + _ENGINE_PORTS * (zlib.crc32(str(self.directory).encode()) % _ENGINE_BLOCKS)

    def _environment(self) -> dict[str, str]:
        secret = self.directory / "exchange" / "secret"
        if not secret.exists():
            secret.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_urlsafe(48))
        ours = {
            "SECRET_KEY": secret.read_text(),
            "REDIS_URL": embedded.valkey_url(self.sockets / "valkey"),
            "CHAIN_RPC_URL": f"http://127.0.0.1:{self.ports['chain']}",
            "RUN_DIR": str(self.directory),
            "PUBLIC_URL": self.url,
            "EMAIL_URL": "consolemail://",
            "ANCHOR_SECONDS": "1",  # gas costs nothing here
            "LOG_WITNESS_QUORUM": "3",  # of the six nodes
            "LOGIN_RATE": "600/min",
            "LOGIN_ADDRESS_RATE": "600/min",  # the whole cast signs in from one address
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "exchange.settings",
        }
        return {name: os.environ.get(name, value) for name, value in ours.items()}
