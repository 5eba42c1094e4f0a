"""Rules of the money tables that the database itself keeps, also against raw SQL by our own role."""

from typing import Any

import pgtrigger

from ledger.triggers import append_only, no_truncate

__all__ = [
    "adds_up_to_zero",
    "append_only",
    "balance_only_by_postings",
    "has_its_legs",
    "moves_the_balance",
    "terms_are_frozen",
]


def adds_up_to_zero() -> list[Any]:
    """At commit, a transfer has exactly its announced number of legs and they add up to zero.

    The number is in the append-only transfer, so legs cannot be added to an old one, in pairs or otherwise.
    """
    check = """
        IF (SELECT COALESCE(SUM(amount_fen), 0) FROM contracts_posting WHERE transfer_id = {row}) <> 0 THEN
            RAISE EXCEPTION 'transfer % does not add up to zero', {row} USING ERRCODE = 'check_violation';
        END IF;
        IF (SELECT COUNT(*) FROM contracts_posting WHERE transfer_id = {row})
                <> (SELECT legs FROM contracts_transfer WHERE id = {row}) THEN
            RAISE EXCEPTION 'transfer % has not its announced legs', {row} USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    """
    return [_deferred("zero_sum", check.format(row="NEW.transfer_id"))]


def has_its_legs() -> list[Any]:
    """At commit, a transfer is not without its legs."""
    check = """
        IF (SELECT COUNT(*) FROM contracts_posting WHERE transfer_id = NEW.id) <> NEW.legs THEN
            RAISE EXCEPTION 'transfer % has not its announced legs', NEW.id USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    """
    return [_deferred("has_its_legs", check)]


def moves_the_balance() -> list[Any]:
    """A posting moves its account's balance, and nothing else does."""
    return [
        pgtrigger.Trigger(
            name="moves_the_balance",
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            level=pgtrigger.Row,
            func="""
                UPDATE contracts_account SET balance_fen = balance_fen + NEW.amount_fen WHERE id = NEW.account_id;
                RETURN NULL;
            """,
        )
    ]


def balance_only_by_postings() -> list[Any]:
    """An account begins at zero, is never deleted, and its balance moves by postings alone."""
    return [
        pgtrigger.Protect(
            name="balance_by_postings",
            operation=pgtrigger.Update,
            condition=pgtrigger.Condition(
                "NEW.balance_fen IS DISTINCT FROM OLD.balance_fen AND pg_trigger_depth() = 0"
            ),
        ),
        pgtrigger.Protect(
            name="begins_at_zero", operation=pgtrigger.Insert, condition=pgtrigger.Q(new__balance_fen__gt=0)
        ),
        pgtrigger.Protect(
            name="begins_not_below", operation=pgtrigger.Insert, condition=pgtrigger.Q(new__balance_fen__lt=0)
        ),
        pgtrigger.Protect(name="no_delete", operation=pgtrigger.Delete),
        *no_truncate(),
    ]


def _deferred(name: str, func: str) -> Any:
    return pgtrigger.Trigger(
        name=name,
        when=pgtrigger.After,
        operation=pgtrigger.Insert,
        level=pgtrigger.Row,
        timing=pgtrigger.Deferred,
        func=func,
    )


def terms_are_frozen() -> list[Any]:
    """A contract's terms never change once it is there; neither does what identifies it."""
    return [
        pgtrigger.Protect(
            name="terms_are_frozen",
            operation=pgtrigger.Update,
            condition=pgtrigger.Condition(
                "NEW.terms IS DISTINCT FROM OLD.terms OR NEW.terms_digest IS DISTINCT FROM OLD.terms_digest"
                " OR NEW.number IS DISTINCT FROM OLD.number OR NEW.ref IS DISTINCT FROM OLD.ref"
                " OR NEW.buyer_id IS DISTINCT FROM OLD.buyer_id"
            ),
        ),
        pgtrigger.Protect(name="no_delete", operation=pgtrigger.Delete),
        *no_truncate(),
    ]
