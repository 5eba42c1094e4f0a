"""What pages say while the chain is silent, in both languages."""

from datetime import timedelta

import pytest
from django.template import Context, Template
from django.utils import timezone, translation

from ledger import keys
from ledger.actions import deployments
from ledger.backends.memory import MemoryBackend
from ledger.models import ChainDeployment

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _deployed(settings):
    settings.CHAIN_CONTRACT_ADDRESS = ""
    deployments.deploy(backend=MemoryBackend(), anchor=keys.log_keys(), record=keys.exchange_keys())
    settings.CHAIN_RPC_URL = "http://127.0.0.1:1"


def page(language: str, *, silent: timedelta) -> str:
    ChainDeployment.objects.update(seen_at=timezone.now() - silent)
    with translation.override(language):
        return Template("{% load chain %}{% chain_outage %}").render(Context()).strip()


@pytest.mark.parametrize(
    ("language", "waiting", "over"),
    [("en", "sales go on", "No new computation is authorized"), ("zh-hans", "交易照常", "不批准新的计算")],
)
def test_the_sentence_follows_the_silence(language, waiting, over, settings):
    assert page(language, silent=timedelta(seconds=30)) == ""
    assert waiting in page(language, silent=timedelta(hours=3))
    assert over in page(language, silent=timedelta(hours=5))
    settings.CHAIN_RPC_URL = ""
    assert page(language, silent=timedelta(days=5)) == ""
