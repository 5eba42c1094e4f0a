"""Grants as admission asks for them: good news may be a minute old, bad news is asked for again."""

from datetime import datetime

from compute.node import chain
from compute.node.config import Config
from compute.protocol.codes import Refused


class ChainGrants:
    """Grants read by the node itself, over the endpoint its owner chose."""

    def __init__(self, reader: chain.ChainReader) -> None:
        self._reader = reader

    def check(self, *, grantor: str, terms_digest: str, now: datetime) -> None:
        """See `admission.Grants`. A bad answer is asked for again: only good news may be a minute old."""
        try:
            self._reader.check(grantor=grantor, terms_digest=terms_digest, now=now)
        except Refused:
            self._reader.forget()
            self._reader.check(grantor=grantor, terms_digest=terms_digest, now=now)

    def forget(self) -> None:
        """Let the next question go to the chain: before a result leaves, nothing old will do."""
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
