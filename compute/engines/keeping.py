"""What an engine keeps at a node from run to run: one secret, and files that appear whole or not at all."""

import os
import secrets
import shutil
from pathlib import Path

from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused

SECRET_BYTES = 32


def directory(context: StageContext, name: str) -> Path:
    """A private directory below the engine's own; EngineRefused ENGINE_ERROR where the node keeps nothing."""
    if context.state is None:
        raise EngineRefused("ENGINE_ERROR", "This node keeps nothing for engines; update it.")
    found = context.state / name
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def forget(context: StageContext, name: str) -> None:
    """Remove a directory that `directory` gave; there need be none."""
    if context.state is not None:
        shutil.rmtree(context.state / name, ignore_errors=True)


def secret(path: Path) -> bytes:
    """The secret in a file: 32 bytes, drawn by whoever asks first and the same for everybody after."""
    if not path.exists():
        own = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        write(own, secrets.token_bytes(SECRET_BYTES))
        try:
            os.link(own, path)  # the first one counts
        except FileExistsError:
            pass
        finally:
            own.unlink()
    found = path.read_bytes()
    if len(found) != SECRET_BYTES:
        raise EngineRefused("ENGINE_ERROR", "A secret of this node's engine is damaged; restore it.")
    return found


def write(path: Path, data: bytes) -> None:
    """Write a file that only this user reads, on disk before it returns."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def append(path: Path, line: bytes) -> None:
    """Add one line to a journal that only this user reads; lines of two runs never mix."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb", buffering=0) as file:
        file.write(line + b"\n")
        os.fsync(file.fileno())
