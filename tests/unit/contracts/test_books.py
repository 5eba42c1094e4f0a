"""The books keep themselves: sums of zero, append-only, balances by postings alone, also against raw SQL."""

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from contracts import postings
from contracts.actions import meters, transfers
from contracts.errors import AccountWouldGoNegative, MoneyWrong
from contracts.models import Account, Meter, Posting, Transfer, UsageRecord
from contracts.postings import TransferKind
from tests.factories import contracts as factory
from tests.factories.contracts import LATER, subject

pytestmark = pytest.mark.django_db


@pytest.fixture
def charged():
    """A contract with one deposit and one charged run."""
    agreement = factory.contract(escrow_fen=120_000)
    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)
    meters.commit(subject=subject(), units=1, report_digests=["a" * 64])
    return agreement


def run_sql(sql, *values):
    """Raw SQL as our own role, with the deferred checks of a commit."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def commit_now():
    """The deferred checks of a commit; what fails them is rolled back."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def force(table, sql):
    """What a superuser could do: lift the guard, change a row, put the guard back."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(sql)
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def new_transfer(contract, *, legs=2):
    return Transfer.objects.create(
        key=f"raw:{Transfer.objects.count()}", kind="deposit", contract=contract, subject=contract.urn, legs=legs
    )


def test_a_transfer_that_does_not_add_up_is_refused_at_commit(charged):
    accounts = list(Account.objects.order_by("pk").values_list("pk", flat=True)[:2])

    transfer = new_transfer(charged.contract)
    for account in accounts:
        Posting.objects.create(transfer=transfer, account_id=account, amount_fen=7)

    with pytest.raises(DatabaseError, match="does not add up to zero"):
        commit_now()


def test_a_transfer_without_legs_or_with_one_too_few_is_refused(charged):
    new_transfer(charged.contract)

    with pytest.raises(DatabaseError, match="announced legs"):
        commit_now()


def test_nobody_adds_a_balanced_pair_to_an_old_transfer(charged):
    old = Transfer.objects.get(kind="deposit")
    unused = Account.objects.exclude(postings__transfer=old).order_by("pk").values_list("pk", flat=True)[:2]

    with pytest.raises(DatabaseError, match="announced legs"):
        run_sql(
            "INSERT INTO contracts_posting (transfer_id, account_id, amount_fen) VALUES (%s, %s, 5), (%s, %s, -5)",
            old.pk,
            unused[0],
            old.pk,
            unused[1],
        )


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE contracts_posting SET amount_fen = amount_fen + 1",
        "DELETE FROM contracts_posting",
        "UPDATE contracts_transfer SET subject = 'x'",
        "DELETE FROM contracts_transfer",
        "UPDATE contracts_usagerecord SET report_digests = '[]'",
        "DELETE FROM contracts_usagerecord",
        "DELETE FROM contracts_account",
        "UPDATE contracts_signature SET document_key = 'x'",
        "UPDATE contracts_contract SET terms_digest = repeat('0', 64)",
    ],
)
def test_what_is_posted_counted_or_signed_stays_as_it_is(charged, sql):
    with pytest.raises(DatabaseError, match=r"Cannot (update|delete)"):
        run_sql(sql)


def test_a_balance_is_moved_by_postings_alone(charged):
    with pytest.raises(DatabaseError, match="balance_by_postings"):
        run_sql("UPDATE contracts_account SET balance_fen = balance_fen + 1 WHERE kind = 'fees'")
    with pytest.raises(DatabaseError, match="begins_at_zero"):
        run_sql(
            "INSERT INTO contracts_account (kind, organization_id, currency, balance_fen)"
            " SELECT 'payable', id, 'CNY', 100 FROM members_organization WHERE is_exchange"
        )


def test_raw_postings_move_balances_too_but_never_below_zero(charged):
    fees = Account.objects.get(kind="fees")
    bank = Account.objects.get(kind="bank")

    def take_more_than_there_is():
        with transaction.atomic():
            transfer = new_transfer(charged.contract)
            run_sql(
                "INSERT INTO contracts_posting (transfer_id, account_id, amount_fen) VALUES (%s, %s, %s), (%s, %s, %s)",
                transfer.pk,
                fees.pk,
                -fees.balance_fen - 1,
                transfer.pk,
                bank.pk,
                fees.balance_fen + 1,
            )

    with pytest.raises(DatabaseError, match="account_never_negative"):
        take_more_than_there_is()


def test_a_key_moves_money_once_and_never_other_money():
    agreement = factory.contract(escrow_fen=0)
    legs = postings.deposit(500)
    story = {"key": "deposit:1", "kind": TransferKind.DEPOSIT, "subject": agreement.contract.urn, "legs": legs}

    first = transfers.post(contract=agreement.contract, **story)

    assert transfers.post(contract=agreement.contract, **story) == first
    assert Account.objects.balance_of(agreement.contract, "escrow") == 500
    with pytest.raises(MoneyWrong):
        transfers.post(contract=factory.contract(escrow_fen=0).contract, **story)


def test_a_transfer_beyond_the_balance_moves_nothing():
    agreement = factory.contract(escrow_fen=499)

    with pytest.raises(AccountWouldGoNegative), transaction.atomic():
        transfers.post(
            key="hold:1",
            kind=TransferKind.HOLD,
            contract=agreement.contract,
            subject=subject(),
            legs=postings.hold(500),
        )

    assert Account.objects.balance_of(agreement.contract, "escrow") == 499
    assert not Transfer.objects.filter(key="hold:1").exists()


def test_the_audit_finds_the_books_in_order(charged, capsys):
    call_command("verify_money")

    assert "in order" in capsys.readouterr().out


def test_the_audit_finds_a_charge_without_a_run(charged):
    force("contracts_usagerecord", "UPDATE contracts_usagerecord SET unit_price_fen = 1, amount_fen = 1")
    assert UsageRecord.objects.get().amount_fen == 1

    with pytest.raises(MoneyWrong, match="charge"):
        call_command("verify_money")


def test_the_audit_finds_a_balance_that_was_forced(charged):
    force("contracts_account", "UPDATE contracts_account SET balance_fen = balance_fen + 1 WHERE kind = 'fees'")

    with pytest.raises(MoneyWrong, match="balance"):
        call_command("verify_money")


def test_the_audit_finds_a_meter_that_was_turned_back(charged):
    Meter.objects.filter(contract=charged.contract).update(committed=0)

    with pytest.raises(MoneyWrong, match="meter"):
        call_command("verify_money")
