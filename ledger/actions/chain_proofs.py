"""Offline evidence of the chain's state, fetched while the chain still has that state, for receipts to carry.

Chain nodes forget old state, so what proves an anchor is kept with it. Whatever is kept has been read as a
stranger would read it. Where the chain is silent or offers no proofs there is none, which is legal.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from exchange.kernel.errors import DomainError
from ledger.backends.base import ChainRefused, LedgerBackend
from ledger.models import Anchor, ChainDeployment
from ledger.proofs import chain, layout, policies
from ledger.proofs.errors import VerificationError

logger = logging.getLogger(__name__)


def of_root(
    backend: LedgerBackend, deployment: ChainDeployment, *, shard: int, size: int, root: str, block_number: int
) -> dict[str, Any] | None:
    """What proves that the contract holds this root, as of its own block or the newest that counts as final."""
    wanted = {layout.root_in(shard, size): root}
    return _fetch(backend, deployment, slots=list(wanted), roots=wanted, block_number=block_number)


def for_receipt(
    backend: LedgerBackend | None, anchors: Sequence[Anchor], *, grants: Sequence[Mapping[str, str]]
) -> dict[str, Any] | None:
    """What proves the roots of these anchors, and these grants, all in one block; else what is kept of the last.

    Args:
        anchors: in the order of their logs, all of one deployment.
        grants: `signer` and `terms_digest` of each, and its `grant_id`.
    """
    last = anchors[-1]
    roots = {layout.root_in(anchor.log_id, anchor.size): anchor.root for anchor in anchors}
    slots = [*roots, *(slot for grant in grants for slot in layout.for_grant(**grant))]
    found = None
    if backend is not None and len(slots) <= chain.MAX_SLOTS:
        found = _fetch(backend, last.deployment, slots=slots, roots=roots, block_number=last.block_number)
    return found or last.proof


def trusted_chain(deployment: ChainDeployment) -> policies.Chain:
    """The chain as our trust policy names it."""
    validators = tuple(settings.CHAIN_VALIDATORS)
    return policies.Chain(
        chain_id=deployment.chain_id,
        contract_address=deployment.contract_address,
        genesis_hash=deployment.genesis_hash,
        code_hash=deployment.code_hash,
        development=not validators and deployment.chain_id in policies.DEVELOPMENT_CHAINS,
        validators=validators,
    )


def _fetch(
    backend: LedgerBackend,
    deployment: ChainDeployment,
    *,
    slots: Sequence[str],
    roots: Mapping[str, str],
    block_number: int,
) -> dict[str, Any] | None:
    try:
        found = _ask(backend, deployment.contract_address, slots=slots, block_number=block_number)
        if found is None:
            return None
        held = chain.read(found, chain=trusted_chain(deployment))
        if {slot: f"{held.value(slot):064x}" for slot in roots} == roots:
            return found
        logger.warning("the chain's proof is of another root than the anchor's; none is kept")
    except (DomainError, VerificationError) as error:
        logger.warning("no proof of the chain's state: %s", error.code)
    return None


def _ask(backend: LedgerBackend, address: str, *, slots: Sequence[str], block_number: int) -> dict[str, Any] | None:
    """At the anchor's own block, or where that state is gone, at the newest that counts as final."""
    try:
        return backend.evidence(address, slots=slots, block_number=block_number)
    except ChainRefused:
        final = max(block_number, backend.block_number() - settings.CHAIN_CONFIRMATIONS)
        return backend.evidence(address, slots=slots, block_number=final)
