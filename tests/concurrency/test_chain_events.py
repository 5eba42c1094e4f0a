"""Three workers read the same events without their lock: each event is one leaf."""

from collections import Counter

import pytest

from compute.protocol import keyfiles
from ledger import keys
from ledger.actions import chain_events, deployments
from ledger.backends.memory import MemoryBackend
from ledger.kinds import EntryKind
from ledger.models import ChainEvent, Entry
from tests.concurrency.test_contracts_reservations import in_parallel
from tests.unit.ledger.test_chain_events import grant_directly

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
GRANTS = 12


def test_three_workers_without_the_lock_write_each_event_once(settings):
    settings.CHAIN_CONTRACT_ADDRESS = ""
    chain = MemoryBackend()
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    provider = keyfiles.generate("fund-a")
    for number in range(GRANTS):
        grant_directly(chain, deployment, provider, terms=f"{number:064x}")

    answers = in_parallel(6, lambda _: chain_events._read(chain, confirmations=0), workers=3)

    assert answers == {"granted": 6}  # none of them failed
    names = Counter(ChainEvent.objects.values_list("name", flat=True))
    assert names["Granted"] == GRANTS
    assert Entry.objects.filter(kind=EntryKind.CHAIN_EVENT).count() == ChainEvent.objects.count()
