"""Business rows against the log: a sound world is silent, and whatever is single-sided or changed is named.

The world is built once through real actions; each test changes it past every guard, in a savepoint that is
rolled back. A row that is added without an entry is the same to the audit as an entry that is gone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from compute.protocol import keyfiles
from contracts.actions import grants, lifecycle
from exchange.members.actions import exchange_rotation, organizations
from ledger import actions as ledger
from ledger import audits
from ledger.actions import chain_events, shards
from ledger.audits import business, counterparts
from ledger.audits.counterparts import Counterpart, Owed, Standing
from ledger.backends.base import ContractEvent
from ledger.kinds import EntryKind
from ledger.models import ChainDeployment, Entry
from ledger.proofs import cosignatures
from ledger.proofs import grants as signed_grants
from listings.actions import listing, products
from tests.factories import ledger as ledger_factory
from tests.factories import members, objections
from tests.factories.compute import keys_of, settle
from tests.factories.trades import Trade

pytestmark = pytest.mark.django_db

# For each declaration by its name: which of its rows is changed, and how. A new one without a line fails.
CASES = {
    "ledger_log log.frozen": ("number = 1", "origin = origin || 'x'"),
    "ledger_log log.opened": ("number = 2", "origin = origin || 'x'"),
    "ledger_witness state": ("TRUE", "withdrawn_at = now()"),
    "ledger_chainevent chain.event": ("TRUE", "arguments = '{}'"),
    "ledger_chainevent chain.event by ref": ("TRUE", "entry_id = (SELECT min(id) FROM ledger_entry)"),
    "members_organization organization.applied": ("NOT is_exchange", "uscc = '91990000MA9999998' || right(uscc, 1)"),
    "members_organization state": ("NOT is_exchange AND status = 'admitted'", "status = 'suspended'"),
    "members_signingkey key.registered": ("TRUE", "value = value || 'x'"),
    "members_signingkey key.rotated": ("valid_to IS NOT NULL", "value = value || 'x'"),
    "members_signingkey key.revoked": ("revoked_at IS NOT NULL", "value = value || 'x'"),
    "members_membership role.granted": ("ended_at IS NOT NULL", "role = 'operator'"),
    "members_membership role.withdrawn": ("ended_at IS NOT NULL", "role = 'operator'"),
    "listings_product product.drafted": ("TRUE", "ref = translate(ref, '0123456789', '1234567890')"),
    "listings_productversion product.revised": ("version > 1", "version = 7"),
    "listings_review product.approved product.returned product.rejected": ("TRUE", "reason = reason || '!'"),
    "listings_registrationcertificate certificate.issued": ("TRUE", "document = '{}'"),
    "listings_registrationcertificate certificate.issued by ref": ("TRUE", "entry_ref = repeat('0', 26)"),
    "listings_product state": ("state = 'listed'", "state = 'suspended'"),
    "compute_computation computation.requested": ("TRUE", "request = '{}'"),
    "compute_computation computation.reviewed": ("reviewed_at IS NOT NULL", "reviewer_role = 'auditor'"),
    "compute_computation computation.withdrawn computation.rejected computation.expired computation.failed "
    "result.withheld": ("state = 'withdrawn'", "end_code = 'OTHER'"),
    "compute_consent consent.granted consent.refused": ("state = 'granted'", "digest = repeat('0', 64)"),
    "compute_authorization computation.authorized": ("TRUE", "job = '{}'"),
    "compute_authorization computation.authorized by ref": (
        "TRUE", "entry_id = (SELECT min(id) FROM ledger_entry)"
    ),
    "compute_nodetask computation.dispatched": ("TRUE", "computation_id = (SELECT max(id) FROM compute_computation)"),
    "compute_result result.accepted": ("TRUE", "computation_id = (SELECT max(id) FROM compute_computation)"),
    "compute_result result.released": ("TRUE", "released_entry_id = NULL, released_at = NULL"),
    "compute_datanode node.registered": ("TRUE", "organization_id = 1000000"),
    "compute_computation state": ("state = 'released'", "state = 'sealed'"),
    "subjects_objection objection.filed": ("TRUE", "digest = repeat('0', 64)"),
    "subjects_objection objection.marked": (
        "state = 'marked'", "computation_id = (SELECT max(id) FROM compute_computation)"
    ),
    "subjects_objection objection.answered": ("state = 'answered'", "outcome = 'upheld'"),
    "subjects_objection objection.overdue": ("overdue_at IS NOT NULL", "due_at = due_at + interval '1 day'"),
    "subjects_objection state": ("state = 'marked'", "state = 'filed', marked_at = NULL"),
    "contracts_contract contract.proposed": ("TRUE", "terms_digest = repeat('0', 64)"),
    "contracts_signature contract.signed": ("TRUE", "document_key = document_key || 'x'"),
    "contracts_contract contract.agreed": ("state = 'effective'", "terms_digest = repeat('0', 64)"),
    "contracts_grant contract.granted": ("TRUE", "document = jsonb_set(document, '{cap}', '99')"),
    "contracts_revocation contract.revoked": ("TRUE", "sequence = sequence + 1"),
    "contracts_reservation quota.reserved": ("TRUE", "units = units + 1"),
    "contracts_reservation quota.released": ("state = 'released'", "reason = 'OTHER'"),
    "contracts_usagerecord quota.committed": ("TRUE", "units = units * 2, amount_fen = amount_fen * 2"),
    "contracts_usagerecord settlement.charged": (
        "TRUE", "unit_price_fen = unit_price_fen - 1, amount_fen = amount_fen - units"
    ),
    "contracts_transfer escrow.deposited": ("kind = 'deposit'", "key = key || 'x'"),
    "contracts_transfer escrow.returned": ("kind = 'return'", "contract_id = (SELECT max(id) FROM contracts_contract)"),
    "contracts_settlement settlement.issued": ("TRUE", "period = '2020-01'"),
    "contracts_contract state": ("state = 'effective'", "state = 'suspended'"),
}  # fmt: skip


def name_of(item) -> str:
    return item.name + (" by ref" if getattr(item, "by", "") == "ref" else "")


@pytest.fixture(autouse=True)
def _own_key_files() -> None:
    """The key files are the world's, and so is what its log has signed."""


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker, tmp_path_factory):
    from django.conf import settings

    with django_db_blocker.unblock(), transaction.atomic(), pytest.MonkeyPatch.context() as patch:
        for setting in ("EXCHANGE_KEY_FILE", "LOG_KEY_FILE"):
            patch.setattr(settings, setting, getattr(settings, setting))
        ledger_factory.exchange_key_files(settings, tmp_path_factory.mktemp("keys"))
        yield built()
        transaction.set_rollback(True)


def built() -> Trade:
    """At least one entry of every kind that has a table, and things in many states."""
    trade = Trade()
    going = trade.contract()
    objected = trade.computed(going)
    objections.in_every_state(objected.tasks.get(rank=0), objected.tasks.get(rank=0).organization)
    trade.withdrawn(going)
    refused = trade.reviewed(trade.request(going))
    assert [answer.status for answer in trade.nodes()[0].consent(decision="refused")] == [200]
    settle(refused)
    over = trade.contract()
    trade.computed(over)
    trade.end(over)
    held = trade.contract()
    lifecycle.suspend(contract=held, by=trade.staff[members.Role.MEDIATOR], reason="查证")
    lifecycle.resume(contract=held, by=trade.staff[members.Role.MEDIATOR], reason="无误")
    trade.revoked(trade.contract())
    trade.reviewed(trade.request(trade.contract(review="manual")))
    place = on_chain()
    granted(trade, place)
    witness(trade)
    third = products.start_next_version(product=trade.listed("fund-b"), by=trade.people["fund-b"])
    assert third.version.version == 2
    listing.delist(product=trade.listed("fund-a"), by=trade.staff[members.Role.LISTING_OFFICER], reason="到期")
    organizations.suspend(
        organization=trade.join("gone", "demander").organization, by=trade.staff[members.Role.ADMISSION_OFFICER],
        reason="未年检",
    )  # fmt: skip
    trade.join("rotating", "supplier")
    trade.people["rotating"] = trade.people["fund-a"].__class__.objects.get(organization__name_en="rotating")
    trade.new_keys("rotating", keyfiles.generate("rotated"))
    trade.without_key("rotating")
    trade.colleague("fund-a")
    exchange_rotation.rotate_exchange_key(new=exchange_rotation.make_next_key())
    shards.open_shard(origin="hengshu.example/ledger/next", new=shards.make_next_key(), issuer=trade.exchange.urn)
    trade.colleague("fund-a")
    ledger.seal()
    return trade


def on_chain() -> ChainDeployment:
    place = ChainDeployment.objects.create(
        chain_id=31337, genesis_hash="0x" + "1" * 64, contract_address="0x" + "22" * 20,
        code_hash="0x" + "3" * 64, epoch=1, events_through=9,
    )  # fmt: skip
    event = ContractEvent("Voided", {"digest": "0x" + "5" * 64}, 7, "0x" + "6" * 64, "0x" + "7" * 64, 0)
    assert chain_events._write_one(place, event, key="chain.event:1:0x" + "7" * 64 + ":0")
    return place


def granted(trade: Trade, place: ChainDeployment) -> None:
    from contracts.actions import proposals  # the deployment makes the terms ask for grants

    assert proposals.deployments.current_deployment() == place
    made = trade.contract(in_effect=False)
    person = trade.people["fund-a"]
    wanted = grants.expected(made, organization=person.organization.urn)
    fields = {name: value for name, value in wanted.items() if name != "grantor"}
    grants.grant(contract=made, document=signed_grants.sign_grant(key=keys_of("fund-a").chain, **fields), by=person)


def witness(trade: Trade) -> None:
    vkey = cosignatures.vkey("w.example", keyfiles.generate("w").document.public_key())
    for url in ("https://w.example/a", "https://w.example/b"):
        found = ledger.admit_witness(name="w", vkey=vkey, url=url, issuer=trade.exchange.urn)
    ledger.withdraw_witness(witness=found, issuer=trade.exchange.urn)
    ledger.admit_witness(name="w", vkey=vkey, url=url, issuer=trade.exchange.urn)


@contextmanager
def changed(*statements: str) -> Iterator[None]:
    """Run statements as a superuser who has switched every guard off, and take them back."""
    place = transaction.savepoint()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                cursor.execute(statement)
                assert cursor.rowcount > 0, statement
        yield
    finally:
        transaction.savepoint_rollback(place)


def found(item) -> list[audits.Finding]:
    look = business.check_counterpart if isinstance(item, Counterpart) else business.check_standing
    return list(look(item))


def checked() -> list:
    return [item for item in counterparts.declared() if isinstance(item, Counterpart | Standing)]


def pytest_generate_tests(metafunc):
    if "item" in metafunc.fixturenames:
        items = checked()
        metafunc.parametrize("item", items, ids=[name_of(item) for item in items])


def test_a_sound_world_is_silent_and_holds_something_of_every_kind(world):
    assert [finding.where + " " + finding.code for finding in audits.audit_business()] == []
    assert audits.audit() == []
    for item in checked():
        assert list(item.rows()), item.name
        assert Entry.objects.filter(kind__in=item.kinds).exists(), item.name


def test_every_kind_of_entry_is_declared_and_every_declaration_has_its_case():
    assert counterparts.undeclared() == set()
    assert sorted(name_of(item) for item in checked()) == sorted(CASES)


def test_a_row_that_is_gone_is_named(world, item):
    where, _ = CASES[name_of(item)]
    with changed(f"DELETE FROM {item.table} WHERE ctid = (SELECT min(ctid) FROM {item.table} WHERE {where})"):
        findings = found(item)
    assert findings
    assert {finding.code for finding in findings} <= {"ENTRY_WITHOUT_ROW", "ROW_DIFFERS_FROM_ENTRY"}


def test_a_row_that_is_changed_is_named(world, item):
    where, change = CASES[name_of(item)]
    with changed(f"UPDATE {item.table} SET {change} WHERE ctid = (SELECT min(ctid) FROM {item.table} WHERE {where})"):
        assert found(item)


def newest_entry(item) -> str:
    kinds = ", ".join(f"'{kind}'" for kind in item.kinds)
    return f"(SELECT max(id) FROM ledger_entry WHERE kind IN ({kinds}))"


def test_an_entry_that_is_gone_is_named(world, item):
    with changed(f"DELETE FROM ledger_entry WHERE id = {newest_entry(item)}"):
        findings = found(item)
    assert {finding.code for finding in findings} & {
        "ROW_WITHOUT_ENTRY", "STATE_DIFFERS_FROM_LOG", "ROW_DIFFERS_FROM_ENTRY",
    }  # fmt: skip


def test_an_entry_that_is_added_is_named(world, item):
    copy = (
        "INSERT INTO ledger_entry (id, ref, kind, subject, issuer, at, commit, key)"
        " SELECT 9000000, reverse(ref), kind, subject, issuer, at, commit, key || 'x'"
        f" FROM ledger_entry WHERE id = {newest_entry(item)}"
    )
    with changed(copy):
        findings = found(item)
    if name_of(item) == "ledger_witness state":
        return  # being admitted again, at another address, is nothing out of turn; the log's own check names it
    codes = {finding.code for finding in findings}
    assert codes
    assert codes <= {"ENTRY_WITHOUT_ROW", "ENTRY_OUT_OF_TURN"}


def test_an_entry_about_something_else_is_named(world, item):
    with changed(
        f"UPDATE ledger_entry SET subject = reverse(subject), key = reverse(key), ref = reverse(ref)"
        f" WHERE id = {newest_entry(item)}"
    ):
        codes = {finding.code for finding in found(item)}
    # A row that points to its entry by the database's own key follows it, and sees that it is another.
    assert codes & {"ENTRY_WITHOUT_ROW", "ROW_DIFFERS_FROM_ENTRY"}


def test_a_payload_that_says_something_else_is_named_and_an_erased_one_is_not(world):
    item = next(one for one in checked() if EntryKind.SETTLEMENT_CHARGED in one.kinds)
    disclosure = f"WHERE entry_id = {newest_entry(item)}"
    price = "convert_to(replace(convert_from(payload, 'UTF8'), '50000', '50001'), 'UTF8')"

    with changed(f"UPDATE ledger_disclosure SET payload = {price} {disclosure}"):
        assert [finding.code for finding in found(item)] == ["ROW_DIFFERS_FROM_ENTRY"]
    with changed(f"UPDATE ledger_disclosure SET payload = NULL, salt = NULL, erased_at = now() {disclosure}"):
        assert found(item) == []


def test_the_command_names_table_and_reference_and_ends_with_an_error(world):
    call_command("verify_ledger", "--no-chain", stdout=(output := StringIO()))
    assert "every row that owes it" in output.getvalue()

    delete = "DELETE FROM contracts_usagerecord WHERE id = (SELECT min(id) FROM contracts_usagerecord)"
    with changed(delete), pytest.raises(CommandError):
        call_command("verify_ledger", "--no-chain", stdout=(output := StringIO()))
    assert output.getvalue().count("ENTRY_WITHOUT_ROW  ledger_entry ") == 2


def test_rows_out_of_order_are_a_mistake_of_the_declaration_not_a_finding(world):
    rows = [Owed("b", "urn:b", "2"), Owed("a", "urn:a", "1")]
    item = Counterpart("x", (EntryKind.DISPUTE_OPENED,), lambda: iter(rows))
    with pytest.raises(ValueError, match="in_order"):
        found(item)
