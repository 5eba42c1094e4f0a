"""A key withdrawn on the chain: seen there by anybody, and proven absent before."""

from dataclasses import dataclass

import pytest

from compute.protocol.key_documents import key_digest
from exchange.kernel.errors import InvalidInput
from exchange.members.actions import key_revocations
from exchange.members.errors import KeyRevocationInvalid
from ledger import actions as ledger
from ledger import keys as own_keys
from ledger.actions import deployments
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.models import ChainRecord
from ledger.proofs import chain as proofs
from ledger.proofs import grants, layout
from ledger.proofs.errors import VerificationError
from tests.factories import members
from tests.factories.ledger import exchange_key_files

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Place:
    contract_address: str
    code_hash: str | None = None
    validators: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def _key_files(settings, tmp_path):
    exchange_key_files(settings, tmp_path)


@pytest.fixture(params=["memory", "evm"])
def chain(request):
    return MemoryBackend() if request.param == "memory" else EVMBackend(request.getfixturevalue("chain_rpc"))


@pytest.fixture
def deployment(chain):
    return deployments.deploy(backend=chain, anchor=own_keys.log_keys(), record=own_keys.exchange_keys())


class Member:
    def __init__(self, deployment):
        self.organization = members.organization()
        self.keys = members.with_keys(self.organization)
        self.place = {"chain_id": deployment.chain_id, "contract_address": deployment.contract_address}
        self.digest = key_digest(self.keys.document_key)

    def void(self, **changes):
        values = {"key": self.keys.chain, **self.place, "statement_digest": self.digest} | changes
        return grants.sign_void(**values)

    def withdraw(self, void):
        held = ("document", self.keys.document_key)
        document = members.revocation(self.organization, held, by=self.keys.document)
        return key_revocations.withdraw(document=document, voids=[void])


def test_a_withdrawal_reaches_the_chain_once(chain, deployment):
    member = Member(deployment)
    signer, address = member.keys.chain_address, deployment.contract_address
    assert not chain.is_voided(address, signer=signer, digest=member.digest)

    member.withdraw(member.void())
    member.withdraw(member.void())
    for _ in range(3):
        ledger.send_revocations(backend=chain)

    assert chain.is_voided(address, signer=signer, digest=member.digest)
    assert ChainRecord.objects.get().state == "confirmed"


def test_what_is_not_the_owners_word_is_not_sent(chain, deployment):
    member, other = Member(deployment), Member(deployment)

    with pytest.raises(InvalidInput):
        member.withdraw(member.void(chain_id=1))
    with pytest.raises(KeyRevocationInvalid):
        member.withdraw(member.void(key=other.keys.chain))
    with pytest.raises(KeyRevocationInvalid):
        member.withdraw(member.void(statement_digest=other.digest))

    assert not ChainRecord.objects.exists()
    assert member.organization.keys.current().count() == 3


def test_that_a_key_was_not_void_as_of_a_block_is_proven_offline(chain_rpc):
    chain = EVMBackend(chain_rpc)
    deployment = deployments.deploy(backend=chain, anchor=own_keys.log_keys(), record=own_keys.exchange_keys())
    member = Member(deployment)
    signer, place = member.keys.chain_address, Place(deployment.contract_address)
    slots = [layout.voided(signer, member.digest)]

    before = chain.evidence(deployment.contract_address, slots=slots)
    member.withdraw(member.void())
    for _ in range(3):
        ledger.send_revocations(backend=chain)
    after = chain.evidence(deployment.contract_address, slots=slots)

    block = proofs.read(before, chain=place).block.hash
    proofs.check_not_voided(before, chain=place, signer=signer, digest=member.digest, block_hash=block)
    later = proofs.read(after, chain=place).block.hash
    with pytest.raises(VerificationError) as refusal:
        proofs.check_not_voided(after, chain=place, signer=signer, digest=member.digest, block_hash=later)
    assert refusal.value.code == "STATEMENT_VOIDED"
