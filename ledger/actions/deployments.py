"""Which contract on which chain the log is anchored in. A chain is optional; without one, anchors wait.

The exchange keeps three chain keys: the log's key sends anchors, the exchange's key sends grants and totals
and administers the contract, a third sends revocations. Nothing stuck therefore ever holds up a revocation.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from exchange.kernel.errors import DomainError
from ledger import keys as own_keys
from ledger.actions import log as open_log
from ledger.backends.base import ZERO_ADDRESS, ChainIdentity, LedgerBackend
from ledger.chain import artifact
from ledger.models import ChainDeployment, Log
from ledger.proofs import notes, typed_data

_WAIT_ROUNDS = 60


class ChainNotDeployed(DomainError):
    """No contract of ours stands on the configured chain."""

    code = "CHAIN_NOT_DEPLOYED"
    status = 503


class ChainMismatch(DomainError):
    """The endpoint shows another chain, or other code at the contract's address, than was recorded."""

    code = "CHAIN_MISMATCH"
    status = 503


def configured_backend() -> LedgerBackend | None:
    """The chain named by CHAIN_RPC_URL, or None where there is none, which is a legal state."""
    if not settings.CHAIN_RPC_URL:
        return None
    # Named, not imported: web3 takes a second to load and only workers need it.
    make: Callable[[str], LedgerBackend] = import_string("ledger.backends.evm.evm_backend")
    return make(settings.CHAIN_RPC_URL)


def current_deployment() -> ChainDeployment | None:
    """The epoch the log is in; None before the first deployment."""
    epoch = Log.objects.open().values_list("epoch", flat=True).first()
    return None if epoch is None else ChainDeployment.objects.filter(epoch=epoch).first()


def check_deployment(backend: LedgerBackend) -> ChainDeployment:
    """The current deployment, after the chain has shown that it is still that chain and that code.

    Raises:
        ChainNotDeployed, ChainMismatch, ChainUnreachable.
    """
    deployment = current_deployment()
    if deployment is None:
        raise ChainNotDeployed("No ledger contract is deployed; run: python manage.py deploy_ledger")
    identity = backend.identity()
    if (identity.chain_id, identity.genesis_hash) != (deployment.chain_id, deployment.genesis_hash):
        raise ChainMismatch(
            "This is not the chain the ledger was deployed on; correct CHAIN_RPC_URL, or begin a new epoch"
            " with: python manage.py deploy_ledger"
        )
    if backend.code_hash(deployment.contract_address) != deployment.code_hash:
        raise ChainMismatch("The contract's code is not the committed one; stop and find out who changed the chain.")
    return deployment


def deploy(*, backend: LedgerBackend, anchor: Any, record: Any) -> ChainDeployment:
    """Make sure our contract stands on this chain and is recorded.

    Args:
        anchor, record: key files whose chain keys send anchors and direct records; `record` deploys
            and administers.
    Raises:
        ChainMismatch: CHAIN_CONTRACT_ADDRESS names an address without our code.
    Idempotent: one deployment per chain and genesis; asking again returns it. A chain that was reset
        has another genesis and gets a new epoch.
    """
    identity = backend.identity()
    for keys in (anchor, record, own_keys.revocation_keys()):
        backend.fund(keys.chain_address)
    if settings.CHAIN_CONTRACT_ADDRESS:
        return _adopt(backend, identity, typed_data.checksum_address(settings.CHAIN_CONTRACT_ADDRESS))
    expected = _expected_code_hash()
    here = ChainDeployment.objects.filter(chain_id=identity.chain_id, genesis_hash=identity.genesis_hash)
    standing = [row for row in here.order_by("-epoch") if backend.code_hash(row.contract_address)]
    if standing and standing[0].code_hash == expected:
        return _adopt(backend, identity, standing[0].contract_address)
    predecessor = standing[0].contract_address if standing else ZERO_ADDRESS
    address = _send_deployment(backend, identity, predecessor=predecessor, anchor=anchor, record=record)
    return _adopt(backend, identity, address)


def _send_deployment(
    backend: LedgerBackend, identity: ChainIdentity, *, predecessor: str, anchor: Any, record: Any
) -> str:
    log = Log.objects.current()
    log_key = notes.vkey(settings.LOG_ORIGIN, anchor.document.public_key()) if log is None else log.vkey
    log_key_hash = hashlib.sha256(log_key.encode()).digest()
    arguments = [record.chain_address, anchor.chain_address, record.chain_address, log_key_hash, predecessor]
    signed = backend.sign_deployment(
        arguments,
        chain_id=identity.chain_id,
        key=record.chain,
        nonce=backend.nonce(record.chain_address),
        gas_price=backend.gas_price(),
    )
    for _ in range(_WAIT_ROUNDS):
        backend.send(signed.raw)
        landed = backend.inclusion(signed.transaction_hash)
        if landed is not None:
            if not landed.succeeded:
                raise ChainMismatch("The chain refused the contract's code; it must run at least London rules.")
            return landed.contract_address
        _pause()
    raise ChainNotDeployed("The chain has not taken the contract within a minute; run deploy_ledger again.")


def _adopt(backend: LedgerBackend, identity: ChainIdentity, address: str) -> ChainDeployment:
    code_hash = backend.code_hash(address)
    if code_hash != _expected_code_hash():
        raise ChainMismatch(
            "At this address stands other code than ledger/chain/ExchangeLedger.json; check the address."
        )
    first_size = backend.anchored(address).size
    with transaction.atomic():
        log = open_log.lock_log()
        newest = ChainDeployment.objects.order_by("-epoch").first()
        deployment, _ = ChainDeployment.objects.get_or_create(
            chain_id=identity.chain_id,
            genesis_hash=identity.genesis_hash,
            contract_address=address,
            defaults={
                "code_hash": code_hash,
                "epoch": 1 if newest is None else newest.epoch + 1,
                "first_size": first_size,
            },
        )
        if log.epoch != deployment.epoch:
            Log.objects.filter(pk=log.pk).update(epoch=deployment.epoch)
        return deployment


def _expected_code_hash() -> str:
    return "0x" + typed_data.keccak256(bytes.fromhex(artifact()["bytecode_runtime"][2:])).hex()


def _pause() -> None:
    time.sleep(1)
