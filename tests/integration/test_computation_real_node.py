"""The twin of the fake node: a real node consents to, and admits, what this exchange hands out."""

import pytest
from django.conf import settings
from django.utils import timezone

from compute.actions import computations
from compute.agreements import signed_terms
from compute.node import admission, consents
from compute.node import config as configuration
from compute.node.store import Store
from compute.protocol import keyfiles, operations
from ledger import keys as ledger_keys
from tests.factories.compute import World, keys_of, settle

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_real_compute_party_consents_and_admits_the_job(tmp_path):
    world = World(operation=operations.ALIGNED_STATISTICS)
    fund_a, fund_b, helper = world.nodes()
    keyfiles.save(keys_of("helper"), tmp_path / "key.json")
    config = configuration.write(
        tmp_path,
        {
            "name": "helper",
            "organization": helper.organization,
            "key_file": "key.json",
            "min_group": 10,
            "poll_milliseconds": 50,
            "exchange": {
                "url": "http://127.0.0.1:9",
                "document_key": ledger_keys.exchange_keys().document_key,
                "log_origin": settings.LOG_ORIGIN,
                "log_key": ledger_keys.log_vkey(),
            },
            "engine": {"host": "127.0.0.1", "base_port": 21000},
        },
    )
    store = Store(config.database, clock=timezone.now)
    consents.accept_contract(signed_terms(world.contract), config=config, keys=keys_of("helper"), store=store)
    consents.set_standing(store=store, contract=world.contract.urn, expires=None, per_day=None, chosen=None)

    computation = computations.submit(document=world.request(), by=world.buyer)
    fund_a.consent()
    fund_b.consent()
    pair = helper.call("poll").body["consent_requests"][0]
    outcome = consents.consider(pair, config=config, keys=keys_of("helper"), store=store, now=timezone.now())
    assert outcome == "granted"
    assert helper.call("consent", consent=store.consent(computation.urn)).body == {"recorded": True}
    assert settle(computation).state == "dispatched"

    assert helper.claim().status == 200
    case = admission.Case(
        bundle=helper.bundle,
        task=helper.task,
        fencing_token=helper.fencing_token,
        lease_until=30.0,
        config=config,
        store=store,
        grants=None,
        now=timezone.now(),
        monotonic=lambda: 0.0,
    )
    admission.admit(case)

    assert case.rank == 2
    assert store.job_state(computation.urn) is not None
    store.close()
