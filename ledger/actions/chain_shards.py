"""Telling the contract of the log's new key or next shard: rare calls that only its administrator may make."""

import time
from typing import Any

from ledger.actions import anchoring, deployments, shards
from ledger.actions.chain_records import ORDINARY
from ledger.actions.passes import single_worker
from ledger.backends.base import Call, LedgerBackend, log_key_call, open_shard_call
from ledger.errors import ChainLagsBehind
from ledger.models import Log

WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.5


def show_log_key(log: Log, *, backend: LedgerBackend, keys: Any, seconds: float = WAIT_SECONDS) -> None:
    """Name the open log's key in the contract. Harmless when it is named already.

    Args:
        keys: the key file whose chain account administers the contract.
        seconds: how long to wait for the chain.
    Raises:
        ChainRefused, ChainUnreachable, ChainLagsBehind, ChainNotDeployed, ChainMismatch.
    """
    call = log_key_call(log_key_hash=shards.key_hash(log.vkey))
    _send(call, backend=backend, keys=keys, until=time.monotonic() + seconds)


def open_next(log: Log, *, backend: LedgerBackend, keys: Any, seconds: float = WAIT_SECONDS) -> str:
    """Begin a log's shard in the contract, once the contract holds the whole of the one before.

    Anchoring goes on by itself meanwhile; this only helps it along. The contract freezes what it holds, so a
    call too early would cut the old log's end off, and is not made.

    Returns: what is so, for people.
    Raises:
        as `show_log_key`.
    Idempotent: a shard that the contract has begun stays.
    """
    deployment = deployments.check_deployment(backend)
    until = time.monotonic() + seconds
    before = Log.objects.get(number=log.number - 1)
    while True:
        head = backend.anchored(deployment.contract_address)
        if head.shard >= log.number:
            return f"shard {head.shard} is open"
        if (head.shard, head.size, head.root.removeprefix("0x")) == (before.number, before.size, before.root):
            break
        if time.monotonic() >= until:
            raise ChainLagsBehind(
                f"The contract holds {head.size} of {before.size} leaves of {before.origin}. Let the worker anchor the "
                "rest, then run this command again."
            )
        anchoring.anchor_pass(backend=backend)
        time.sleep(_PAUSE_SECONDS)
    call = open_shard_call(number=log.number, log_key_hash=shards.key_hash(log.vkey))
    _send(call, backend=backend, keys=keys, until=until)
    return f"shard {log.number} is open"


def _send(call: Call, *, backend: LedgerBackend, keys: Any, until: float) -> None:
    """Send one call of the administrator's and wait until it has landed; the account's other duty waits meanwhile."""
    deployment = deployments.check_deployment(backend)
    while time.monotonic() < until:
        with single_worker(ORDINARY.lock) as alone:
            if not alone:
                time.sleep(_PAUSE_SECONDS)
                continue
            backend.simulate(call, address=deployment.contract_address, sender=keys.chain_address)
            signed = backend.sign(
                call,
                address=deployment.contract_address,
                chain_id=deployment.chain_id,
                key=keys.chain,
                nonce=backend.nonce(keys.chain_address),
                gas_price=backend.gas_price(),
            )
            while time.monotonic() < until:
                backend.send(signed.raw)
                landed = backend.inclusion(signed.transaction_hash)
                if landed is not None and landed.succeeded:
                    return
                if landed is not None:
                    break
                time.sleep(_PAUSE_SECONDS)
    raise ChainLagsBehind("The chain has not taken the call in time; run this command again.")
