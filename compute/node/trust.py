"""Whom the node believes to be the exchange and its log: the keys pinned in config.toml, and what follows from them.

`hengshu-node policy update` takes a changed policy only where the pinned keys, or those that followed them,
have signed every step and the log holds it. The proven policy is kept in `policy.json`; config.toml stays the
owner's, and a policy that does not hold its pins is not read.
"""

import http.client
import json
import os
import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from compute.node.errors import ConfigInvalid, ExchangeUnavailable
from compute.protocol import key_history
from ledger.proofs import policies
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import TrustPolicy

if TYPE_CHECKING:
    from compute.node.config import Config

FILE_NAME = "policy.json"
_TIMEOUT_SECONDS = 10.0


def load(home: Path, *, document_key: str, log_origin: str, log_key: str) -> TrustPolicy:
    """The policy that the node works under: the pins, or the kept policy that followed from them.

    Raises:
        ConfigInvalid: the kept policy does not hold the pins.
    """
    pinned = policies.single(exchange_document_key=document_key, log_origin=log_origin, log_key=log_key)
    try:
        kept = policies.parse((home / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return pinned
    except VerificationError as error:
        raise ConfigInvalid(
            f"{home / FILE_NAME} is damaged ({error.message}); delete it, and run: hengshu-node policy update",
            zh=f"{home / FILE_NAME} 已损坏；请删除后运行：hengshu-node policy update",
        ) from None
    if document_key not in policies.exchange_keys(kept) or log_key not in policies.log_keys(kept, log_origin):
        raise ConfigInvalid(
            f"{home / FILE_NAME} does not follow from the keys in config.toml; delete it if you have changed those.",
            zh=f"{home / FILE_NAME} 与 config.toml 固定的密钥不一致；若已修改后者，请删除该文件。",
        )
    return kept


def update(config: "Config") -> TrustPolicy:
    """Fetch the exchange's policy and keep it, if the present one leads to it; returns what holds now.

    Raises:
        ExchangeUnavailable: no answer.
        ConfigInvalid: nothing proves the change; the owner compares the keys by a second way.
    """
    pinned = config.trust
    try:
        offered = policies.parse(_get(config, "/.well-known/hengshu-policy.json"))
        # Witnesses are for verifiers; the chain is pinned in config.toml by the owner.
        offered = replace(key_history.keys_only(offered, pinned=pinned), revoked=pinned.revoked)
        if offered != pinned:
            history = _get(config, "/.well-known/hengshu-key-history.json")
            key_history.check(history, pinned=pinned, offered=offered)
    except VerificationError as error:
        raise ConfigInvalid(
            f"The exchange's policy does not follow from the pinned keys: {error.message}. Compare its keys by a "
            "second way; then change config.toml yourself.",
            zh="交易所的信任策略并非由已固定的密钥签署而来；请通过第二渠道核对后自行修改 config.toml。",
        ) from error
    if offered != pinned:
        _keep(config.home / FILE_NAME, offered)
    return offered


def _keep(path: Path, policy: TrustPolicy) -> None:
    fresh = path.with_suffix(".json.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(policy.document(), file, ensure_ascii=False, indent=2)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _get(config: "Config", path: str) -> bytes:
    address = urlsplit(config.exchange_url)
    host, port = address.hostname or "", address.port
    connection: http.client.HTTPConnection
    if address.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", address.path + path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        answer = response.read(key_history.MAX_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ExchangeUnavailable(
            "The exchange does not answer; try again later.", zh="交易所没有应答；请稍后重试。"
        ) from error
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK or len(answer) > key_history.MAX_BYTES:
        raise ExchangeUnavailable(f"The exchange answered {response.status}.", zh=f"交易所答复 {response.status}。")
    return answer
