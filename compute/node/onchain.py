"""Grants as admission asks for them, read by the node itself."""

from datetime import datetime

from compute.node import chain
from compute.node.config import Config


class ChainGrants:
    """Grants read by the node itself, over the endpoint its owner chose."""

    def __init__(self, reader: chain.ChainReader) -> None:
        self._reader = reader

    def check(self, *, grantor: str, terms_digest: str, now: datetime, is_counted: bool = False) -> None:
        """See `admission.Grants`."""
        self._reader.check(grantor=grantor, terms_digest=terms_digest, now=now, is_counted=is_counted)

    def forget(self) -> None:
        """Let nothing kept stand in for a silent chain: before a result leaves, nothing old will do."""
        self._reader.forget()


def reader_for(config: Config) -> ChainGrants | None:
    """The grants of a node's configuration; None when no chain is configured."""
    if config.chain is None:
        return None
    return ChainGrants(
        chain.ChainReader(
            config.chain.rpc_url,
            chain_id=config.chain.chain_id,
            contract_address=config.chain.contract_address,
        )
    )
