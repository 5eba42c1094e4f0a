"""One contract per chain: found again, adopted by address, never taken on trust."""

import pytest
from django.core.management import CommandError, call_command

from ledger import keys
from ledger.actions import deployments
from ledger.backends.memory import MemoryBackend
from ledger.models import ChainDeployment, Log
from tests.factories.ledger import exchange_key_files

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_keys(settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    settings.CHAIN_CONTRACT_ADDRESS = ""
    settings.CHAIN_RPC_URL = ""


def deploy(chain):
    return deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())


def test_the_command_without_a_chain_says_so(capsys):
    call_command("deploy_ledger")
    assert "No chain is configured" in capsys.readouterr().out
    assert not ChainDeployment.objects.exists()


def test_the_command_names_a_silent_chain(settings):
    settings.CHAIN_RPC_URL = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match="CHAIN_UNREACHABLE"):
        call_command("deploy_ledger")


@pytest.mark.chain
def test_the_command_deploys_once_on_a_real_chain(settings, chain_rpc, capsys):
    settings.CHAIN_RPC_URL = chain_rpc
    call_command("deploy_ledger")
    first = capsys.readouterr().out
    call_command("deploy_ledger")
    assert capsys.readouterr().out == first
    assert ChainDeployment.objects.count() == 1


def test_a_contract_that_stands_already_is_adopted_by_its_address(settings):
    chain = MemoryBackend()
    address = deploy(chain).contract_address
    ChainDeployment.objects.all().delete()

    settings.CHAIN_CONTRACT_ADDRESS = address.lower()

    assert deploy(chain).contract_address == address


def test_foreign_code_at_the_address_is_refused(settings):
    settings.CHAIN_CONTRACT_ADDRESS = "0x" + "77" * 20
    with pytest.raises(deployments.ChainMismatch):
        deploy(MemoryBackend())


def test_code_that_changed_under_a_recorded_deployment_is_refused(monkeypatch):
    chain = MemoryBackend()
    deploy(chain)
    monkeypatch.setattr(chain, "code_hash", lambda address: "0x" + "00" * 32)
    with pytest.raises(deployments.ChainMismatch):
        deployments.check_deployment(chain)


def test_going_back_to_an_earlier_chain_goes_back_to_its_epoch():
    first, second = MemoryBackend(genesis="1"), MemoryBackend(genesis="2")
    assert [deploy(chain).epoch for chain in (first, second, first)] == [1, 2, 1]
    assert Log.objects.get().epoch == 1
    assert deployments.current_deployment().epoch == 1
