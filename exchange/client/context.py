"""What every command is given: where it keeps things, how it speaks, and keys and API when it asks for them."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exchange.client.errors import ClientError
from exchange.client.output import Output
from exchange.client.store import Home
from ledger.proofs import policies
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import TrustPolicy

if TYPE_CHECKING:
    from compute.protocol.keyfiles import KeyFile
    from exchange.client.api import Api


@dataclass(slots=True)
class Context:
    """One call of the command line."""

    home: Home
    out: Output
    key_path: str = ""
    url: str = ""

    def api(self, *, public: bool = False) -> "Api":
        """The exchange, with the member token unless `public`."""
        url = self.url or self.home.config().url
        if not url:
            raise ClientError(
                "LOGIN_NEEDED",
                "No exchange is known yet; run: hengshu login --url URL --username NAME",
                zh="尚不知道交易所地址；请运行：hengshu login --url 网址 --username 用户名",
            )
        from exchange.client.api import Api  # not at the top: `verify` opens no network library

        return Api(url, token="" if public else self.home.token(), language=self.out.language)

    def key_file(self) -> Path:
        """Where the key file lies: --key, else the one of `keys new`."""
        return Path(self.key_path or self.home.config().key_file or self.home.directory / "key.json")

    def keys(self) -> "KeyFile":
        """The organisation's keys; the passphrase, where there is one, comes from HENGSHU_PASSPHRASE."""
        from compute.protocol import keyfiles

        return keyfiles.load(self.key_file(), passphrase=os.environ.get("HENGSHU_PASSPHRASE"))

    def policy(self) -> TrustPolicy:
        """The pinned trust policy."""
        return policies.parse(self.home.policy())

    def now(self) -> datetime:
        return datetime.now(UTC).replace(microsecond=0)

    def signed_terms(self, ref: str) -> dict[str, Any]:
        """A contract's terms with the signatures so far, checked for form; never trusted beyond that."""
        detail = self.api().get(f"contracts/{ref}/")
        return terms_of(detail)


def terms_of(detail: Any) -> dict[str, Any]:
    """The terms document inside a contract's answer."""
    from compute.protocol import terms

    found = detail.get("terms") if isinstance(detail, dict) else None
    if not isinstance(found, dict):
        raise ClientError(
            "ANSWER_INVALID",
            "The exchange's answer holds no terms; it may be of another version than this tool.",
            zh="交易所的应答中没有合约条款，其版本可能与本工具不同。",
        )
    terms.check(found)
    return found


def failed(error: VerificationError, *, what: str, zh: str) -> ClientError:
    """A verification that did not hold, as an error of the command line."""
    return ClientError(error.code, f"{what}: {error.message}.", zh=f"{zh}（{error.code}）。")
