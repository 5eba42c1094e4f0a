"""What the command line keeps between calls: settings, the member token, the pinned policy, own requests.

Everything lies in one directory that only its owner can enter; files are written whole or not at all.
"""

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exchange.client.errors import EXIT_LOGIN, ClientError


@dataclass(slots=True)
class Config:
    """Settings that `login` and `keys new` write down; empty where nothing is known yet."""

    url: str = ""
    key_file: str = ""
    organization: str = ""


class Home:
    """The directory of one member's command line."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def config(self) -> Config:
        """The settings kept so far."""
        try:
            kept = json.loads((self.directory / "config.json").read_text())
            return Config(**{name: str(kept.get(name, "")) for name in ("url", "key_file", "organization")})
        except FileNotFoundError:
            return Config()
        except (ValueError, AttributeError):
            raise ClientError(
                "CONFIG_INVALID",
                f"{self.directory / 'config.json'} is damaged; delete it and log in again.",
                zh=f"{self.directory / 'config.json'} 已损坏；请删除后重新登录。",
            ) from None

    def save_config(self, config: Config) -> None:
        self.write("config.json", json.dumps(asdict(config), indent=2, ensure_ascii=False).encode())

    def token(self) -> str:
        """The member token of the last login; ClientError `LOGIN_NEEDED` without one."""
        try:
            return (self.directory / "token").read_text().strip()
        except FileNotFoundError:
            raise ClientError(
                "LOGIN_NEEDED",
                "You are not logged in; run: hengshu login --url URL --username NAME",
                zh="尚未登录；请运行：hengshu login --url 网址 --username 用户名",
                exit_code=EXIT_LOGIN,
            ) from None

    def save_token(self, token: str) -> None:
        self.write("token", token.encode())

    def forget_token(self) -> None:
        (self.directory / "token").unlink(missing_ok=True)

    def policy(self) -> bytes:
        """The pinned trust policy; ClientError `POLICY_MISSING` where none was fetched."""
        try:
            return (self.directory / "policy.json").read_bytes()
        except FileNotFoundError:
            raise ClientError(
                "POLICY_MISSING",
                "No trust policy is pinned; run: hengshu policy fetch, and compare its keys by a second way.",
                zh="尚未固定信任策略；请运行：hengshu policy fetch，并通过第二渠道核对其中的密钥。",
            ) from None

    def save_document(self, kind: str, ref: str, document: dict[str, Any]) -> Path:
        """Keep a document of our own (a request, signed terms) under its reference."""
        return self.write(f"{kind}/{ref}.json", json.dumps(document, indent=2, ensure_ascii=False).encode())

    def write(self, name: str, data: bytes) -> Path:
        """Write a file for its owner only, whole or not at all."""
        path = self.directory / name
        write_private(path, data)
        return path


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600, whole or not at all; an existing one is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """Read a JSON file strictly; ClientError names the file, never its content."""
    from ledger.proofs import canonical
    from ledger.proofs.errors import VerificationError

    try:
        return canonical.parse(path.read_bytes())
    except FileNotFoundError:
        raise ClientError("FILE_MISSING", f"There is no file {path}.", zh=f"没有文件 {path}。") from None
    except OSError as error:
        raise ClientError(
            "FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}.", zh=f"无法读取 {path}：{error.strerror}。"
        ) from None
    except VerificationError as error:
        raise ClientError(error.code, f"{path}: {error.message}.", zh=f"{path} 不是严格的 JSON。") from None
