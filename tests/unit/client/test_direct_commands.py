"""`--direct`: the member's own transaction, with the exchange switched off."""

import json

import coincurve
import pytest
from eth_account import Account

from compute.protocol import keyfiles
from exchange.client.direct import Endpoint, sign
from exchange.client.errors import ClientError
from ledger.backends.evm import EVMBackend
from ledger.proofs import grants, statements
from ledger.proofs.policies import Chain
from tests.unit.client.test_contract_commands import COMMITMENTS
from tests.unit.ledger import chain_world


@pytest.fixture
def contract(chain_rpc):
    return chain_world.deploy(EVMBackend(chain_rpc))


@pytest.fixture
def provider(machine, contract, chain_rpc):
    """Fund A, with its signed terms at home, money on the chain, and no exchange to ask."""
    document = machine.world.contract(COMMITMENTS)
    machine.as_member("fund-a")
    machine.pin_policy(chain={"chain_id": contract.chain_id, "contract_address": contract.address})
    (machine.home / "contracts").mkdir()
    (machine.home / "contracts" / "C1.json").write_text(json.dumps(document))
    machine.exchange.stop()
    contract.backend.fund(machine.world.keys["fund-a"].chain_address)
    return document


def held(machine, contract, document):
    address = machine.world.keys["fund-a"].chain_address
    grant_id = grants.grant_id(grantor=address, terms_digest=statements.digest(document))
    return contract.backend.grant(contract.address, grant_id)


@pytest.mark.chain
def test_a_grant_and_its_end_need_no_exchange(machine, contract, provider, chain_rpc):
    machine.run("contract", "grant", "C1", "--direct", "--rpc", chain_rpc, "--yes", "--json")
    assert machine.code == 0, machine.err
    made = held(machine, contract, provider)
    assert (made.cap, made.revoked_at) == (provider["quota"]["total"], 0)
    assert machine.json()["block_number"] > 0

    machine.run("contract", "revoke", "C1", "--direct", "--rpc", chain_rpc, "--yes")
    assert machine.code == 0, machine.err
    assert held(machine, contract, provider).revoked_at > 0
    assert not machine.exchange.asked


@pytest.mark.chain
def test_without_a_grant_the_terms_are_voided_so_that_none_can_follow(machine, contract, provider, chain_rpc):
    machine.run("contract", "revoke", "C1", "--direct", "--rpc", chain_rpc, "--yes")
    assert machine.code == 0, machine.err
    signer = machine.world.keys["fund-a"].chain_address
    assert contract.backend.is_voided(contract.address, signer=signer, digest=statements.digest(provider))
    machine.run("contract", "grant", "C1", "--direct", "--rpc", chain_rpc, "--yes")
    assert machine.code == 1
    assert "TERMS_VOIDED" in machine.err


@pytest.mark.chain
def test_another_chain_than_the_pinned_one_gets_nothing(machine, contract, provider, chain_rpc):
    machine.pin_policy(chain={"chain_id": 1, "contract_address": contract.address})
    machine.run("contract", "revoke", "C1", "--direct", "--rpc", chain_rpc, "--yes")
    assert (machine.code, machine.err.split(":")[0]) == (1, "CHAIN_WRONG")


def test_a_silent_endpoint_no_endpoint_and_no_terms_are_said_so(machine):
    machine.as_member("fund-a")
    machine.pin_policy(chain={"chain_id": 31337, "contract_address": "0x" + "5A" * 20})
    machine.run("contract", "revoke", "C1", "--direct", "--rpc", "http://127.0.0.1:9", "--yes")
    assert machine.err.split(":")[0] == "TERMS_MISSING"
    (machine.home / "contracts").mkdir()
    (machine.home / "contracts" / "C1.json").write_text(json.dumps(machine.world.contract(COMMITMENTS)))
    machine.run("contract", "revoke", "C1", "--direct", "--rpc", "http://127.0.0.1:9", "--yes")
    assert (machine.code, machine.err.split(":")[0]) == (4, "CHAIN_UNREACHABLE")
    machine.run("contract", "revoke", "C1", "--direct", "--yes")
    assert machine.err.split(":")[0] == "RPC_URL_INVALID"


def test_a_transaction_is_signed_as_others_sign_it():
    key = coincurve.PrivateKey(bytes.fromhex("46" * 32))  # the example of EIP-155
    fields = [9, 20 * 10**9, 21_000, bytes.fromhex("35" * 20), 10**18, b""]
    published = (
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc21"
        "95fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    )
    assert sign(fields, chain_id=1, key=key).hex() == published
    ours = keyfiles.generate("x").chain
    theirs = Account.sign_transaction(
        {
            "nonce": 0,
            "gasPrice": 0,
            "gas": 200_000,
            "to": "0x" + "35" * 20,
            "value": 0,
            "data": b"\1\2",
            "chainId": 31337,
        },
        ours.secret,
    )
    made = sign([0, 0, 200_000, bytes.fromhex("35" * 20), 0, b"\1\2"], chain_id=31337, key=ours)
    assert made == bytes(theirs.raw_transaction)


@pytest.mark.chain
def test_an_account_without_money_is_refused_by_the_chain_and_says_so(contract, chain_rpc):
    poor = keyfiles.generate("poor")
    endpoint = Endpoint(chain_rpc, chain=Chain(chain_id=contract.chain_id, contract_address=contract.address))
    with pytest.raises(ClientError) as refused:
        endpoint.send("void(bytes32)", bytes(32), key=poor.chain, sender=poor.chain_address)
    assert refused.value.code == "CHAIN_REFUSED"
