"""One-job links: a fresh certificate for each job, offered under the node's signature, pinned by its peers."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from compute.engines import certificates
from compute.node.config import Config
from compute.protocol import documents, shapes, terms
from compute.protocol.codes import Refused
from exchange.kernel.errors import DomainError
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError

Document = dict[str, Any]


def make_certificate(directory: Path, *, now: datetime, until: datetime) -> tuple[Path, Path, str]:
    """Write `link.pem` and `link.key` (mode 0600) for one job; returns both paths and the PEM.

    What the certificate is, and why: compute/engines/certificates.py.
    """
    pem, secret = certificates.make(now=now, until=until)
    paths = directory / "link.pem", directory / "link.key"
    for path, data in zip(paths, (pem.encode(), secret.encode()), strict=True):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    return (*paths, pem)


def check_offers(
    offers: Any, *, job: Mapping[str, Any], accepted: Mapping[str, Any], own: Mapping[str, Any], now: datetime
) -> list[Document]:
    """The offers of all parties by rank: each signed by its party's key in the accepted contract.

    Raises:
        Refused: `LINK_FAILED`, an offer is missing, expired, signed by another, or not ours in our place.
    """
    if not isinstance(offers, list) or len(offers) != len(job["parties"]):
        raise Refused("LINK_FAILED")
    found: dict[int, Document] = {}
    digest = statements.digest(job)
    try:
        for offer in offers:
            documents.check_link_offer(offer)
            party = next(item for item in job["parties"] if item["rank"] == offer["rank"])
            member = terms.party(accepted, party["organization"])
            if (
                member is None
                or offer["organization"] != party["organization"]
                or offer["job_digest"] != digest
                or offer["computation"] != job["id"]
                or now >= shapes.parse_time(offer["expires"])
            ):
                raise Refused("LINK_FAILED")
            statements.verify(offer, signers=[member["document_key"]])
            found[offer["rank"]] = offer
    except (DomainError, VerificationError, StopIteration) as error:
        raise Refused("LINK_FAILED") from error
    if len(found) != len(offers) or statements.digest(found[own["rank"]]) != statements.digest(own):
        raise Refused("LINK_FAILED")
    return [found[rank] for rank in sorted(found)]


def addresses(host: str, base_port: int, *, count: int = 3) -> Sequence[str]:
    """The consecutive addresses of a node's link stages."""
    return [f"{host}:{base_port + stage}" for stage in range(count)]


def announced(config: Config) -> Sequence[str]:
    """The addresses that this node tells its peers: a forwarded port's where its owner has set one."""
    if config.engine_announced is None:
        return addresses(config.engine_host, config.engine_base_port)
    host, _, port = config.engine_announced.rpartition(":")
    return addresses(host, int(port))
