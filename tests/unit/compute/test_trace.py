"""No step without a signer: a whole chain has none missing, and each signature that is taken away is seen."""

import hashlib

import pytest
from django.db import connection, transaction

from compute.actions import results
from compute.errors import TraceNotFound, TraceReferenceInvalid
from compute.models import SealedPart
from compute.protocol import operations
from compute.trace import chain
from compute.trace.steps import Kind, Standing
from contracts.models import Signature
from exchange.members.permissions import Role
from ledger import actions as ledger
from ledger.models import Entry
from tests.factories.compute import member
from tests.factories.traced import TracedWorld, released

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return TracedWorld()


@pytest.fixture
def computation(world):
    done = released(world)
    results.deliver(done, by=world.buyer)
    ledger.seal()
    return done


def as_superuser(statement, *values):
    """Change a row behind the append-only guards, as somebody with the database's password can."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = DEFAULT")


def kinds(found):
    return [step.kind for step in found.steps]


def broken(found):
    """The defects as (kind, standings of the signatures that do not hold)."""
    return {
        step.kind: sorted({one.standing.value for one in step.signers if one.standing is not Standing.SIGNED})
        for step in found.defects
    }


@pytest.mark.parametrize("operation", [operations.JOINT_STATISTICS, operations.ALIGNED_STATISTICS])
def test_a_released_computation_has_every_step_and_no_step_without_a_signer(operation):
    world = TracedWorld(operation=operation)
    done = released(world)
    results.deliver(done, by=world.buyer)
    ledger.seal()

    found = chain.trace(done.ref, by=world.buyer)

    parties = len(world.nodes())
    assert kinds(found) == (
        [Kind.SOURCE, Kind.CERTIFICATE, Kind.PRODUCT] * 2
        + [Kind.CONTRACT, Kind.REQUEST]
        + [Kind.CONSENT] * parties
        + [Kind.AUTHORIZATION]
        + [Kind.RUN] * parties
        + [Kind.RESULT, Kind.CHARGE, Kind.RELEASE]
        + [Kind.DELIVERY] * parties
        + [Kind.RECEIPT]
    )
    assert found.defects == []
    assert {step.standing for step in found.steps} == {Standing.SIGNED}
    assert all(step.signers and step.actor and step.digest and step.links for step in found.steps)


def test_every_digest_and_reference_leads_to_the_same_computation(world, computation):
    task = computation.tasks.first()
    receipt = results.receipt_of(computation)
    for reference in (
        task.part.digest,
        "sha256:" + task.part.digest.upper(),
        computation.authorization.job_digest,
        computation.request_digest,
        task.report_digest,
        computation.consents.first().digest,
        hashlib.sha256(receipt).hexdigest(),
        results.receipt_number(computation),
        computation.ref,
        computation.ref.lower(),
        computation.urn,
        Entry.objects.get(kind="result.released").ref,
        Entry.objects.get(kind="result.accepted").urn,
    ):
        assert (reference, chain.trace(reference, by=world.buyer).subject) == (reference, computation.urn)


def test_contracts_products_and_certificates_lead_onward(world, computation):
    terms = world.contract.terms["objects"][0]
    for reference in (world.contract.ref, world.contract.number, world.contract.terms_digest):
        found = chain.trace(reference, by=world.provider)
        assert (found.kind, [link.name for link in found.onward]) == ("contract", [computation.ref])
    for reference in (terms["product"], terms["number"], terms["certificate"], terms["specification_digest"]):
        found = chain.trace(reference, by=world.provider)
        assert (found.kind, kinds(found)) == ("product", [Kind.SOURCE, Kind.CERTIFICATE, Kind.PRODUCT])
        assert [link.name for link in found.onward] == [world.contract.number]


def test_the_retrieval_of_each_part_is_logged_once(world, computation):
    results.deliver(computation, by=world.buyer)

    entries = Entry.objects.filter(kind="result.delivered")
    assert entries.count() == SealedPart.objects.count() == 2
    found = chain.trace(computation.ref, by=world.buyer)
    deliveries = [step for step in found.steps if step.kind is Kind.DELIVERY]
    assert sorted(step.digest for step in deliveries) == sorted(SealedPart.objects.values_list("digest", flat=True))
    assert {step.actor.organization for step in deliveries} == {world.buyer.organization.urn}


def test_a_result_that_nobody_fetched_has_no_delivery(world):
    done = released(world)

    found = chain.trace(done.ref, by=world.buyer)

    assert (Kind.DELIVERY in kinds(found), found.defects) == (False, [])


def test_a_removed_contract_signature_is_seen(world, computation):
    victim = Signature.objects.filter(contract=world.contract).last()
    as_superuser("DELETE FROM contracts_signature WHERE id = %s", victim.pk)

    assert broken(chain.trace(computation.ref, by=world.buyer)) == {Kind.CONTRACT: ["missing"]}


def test_the_provider_s_lost_signature_is_missed_at_the_source_too(world, computation):
    provider = world.organizations["fund-a"]
    as_superuser("DELETE FROM contracts_signature WHERE organization_id = %s", provider.pk)

    assert broken(chain.trace(computation.ref, by=world.buyer)) == {
        Kind.SOURCE: ["missing"],
        Kind.CONTRACT: ["missing"],
    }


TAKEN_AWAY = [
    ("UPDATE compute_nodetask SET report = report - 'proof' WHERE rank = 0", {Kind.RUN, Kind.RESULT}),
    ("UPDATE compute_nodetask SET report = jsonb_set(report, '{units}', '0') WHERE rank = 0",
     {Kind.RUN, Kind.RESULT}),
    ("UPDATE compute_consent SET document = document - 'proof'", {Kind.CONSENT}),
    ("UPDATE compute_authorization SET job = job - 'proof'", {Kind.AUTHORIZATION}),
    ("UPDATE compute_computation SET request = request - 'proof'", {Kind.REQUEST}),
    ("UPDATE compute_sealedpart SET digest = repeat('0', 64) WHERE id = (SELECT min(id) FROM compute_sealedpart)",
     {Kind.RESULT, Kind.DELIVERY}),
    ("UPDATE compute_result SET receipt = replace(encode(receipt, 'escape'), 'DTC-', 'DTX-')::bytea",
     {Kind.RECEIPT}),
    ("UPDATE listings_registrationcertificate SET document = document - 'proof'", {Kind.CERTIFICATE}),
    ("UPDATE listings_registrationcertificate SET record_digest = repeat('0', 64)", {Kind.CERTIFICATE}),
    ("UPDATE ledger_entry SET key = NULL WHERE kind = 'settlement.charged'", {Kind.CHARGE}),
    ("UPDATE ledger_entry SET kind = 'product.drafted' WHERE kind = 'product.approved'", {Kind.CERTIFICATE}),
    ("UPDATE ledger_entry SET kind = 'product.drafted' WHERE kind = 'product.listed'", {Kind.PRODUCT}),
    ("UPDATE ledger_entry SET kind = 'product.drafted' WHERE kind = 'product.submitted'", {Kind.SOURCE}),
]  # fmt: skip


def test_each_signature_that_is_taken_away_is_seen(world, computation):
    """One world for all: each change is taken back before the next."""
    for statement, expected in TAKEN_AWAY:
        before = transaction.savepoint()
        as_superuser(statement)

        found = chain.trace(computation.ref, by=world.buyer)

        assert set(broken(found)) == expected, statement
        assert {step.defect for step in found.defects} == {"TRACE_STEP_UNSIGNED"}
        transaction.savepoint_rollback(before)


def test_an_entry_that_is_not_sealed_yet_waits_and_is_no_defect(world):
    done = released(world)
    results.deliver(done, by=world.buyer)

    found = chain.trace(done.ref, by=world.buyer)

    waiting = {step.kind for step in found.steps if step.standing is Standing.WAITING}
    assert (waiting, found.defects) == ({Kind.DELIVERY}, [])


def test_an_ended_computation_is_traced_to_its_end(world):
    from compute.actions import computations

    asked = computations.submit(document=world.request(), by=world.buyer)
    computations.withdraw(computation=asked, by=world.buyer)
    ledger.seal()

    found = chain.trace(asked.ref, by=world.buyer)

    assert kinds(found)[-1] is Kind.END
    assert found.steps[-1].standing is Standing.SIGNED


@pytest.mark.parametrize("reference", ["", "x", "0" * 63, "g" * 64, "DROP TABLE", "urn:hengshu:org:1", "ü" * 26])
def test_what_is_no_reference_is_refused(world, reference):
    with pytest.raises(TraceReferenceInvalid):
        chain.trace(reference, by=world.buyer)


@pytest.mark.parametrize("reference", ["0" * 64, "0" * 26, "UMR-HS-202611-000001X", "urn:hengshu:contract:" + "0" * 26])
def test_what_does_not_exist_is_not_found(world, reference):
    with pytest.raises(TraceNotFound):
        chain.trace(reference, by=world.buyer)


def test_auditors_see_every_step(world, computation):
    found = chain.trace(computation.ref, by=member(world.exchange, Role.AUDITOR))

    assert (found.defects, all(step.is_open for step in found.steps)) == ([], True)
