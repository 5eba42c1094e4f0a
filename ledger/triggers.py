"""Rules that every table of evidence has, kept by the database itself."""

from typing import Any

import pgtrigger


def append_only() -> list[Any]:
    """Rows are never changed or deleted, one by one or all at once; corrections are new rows."""
    return [pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete), *no_truncate()]


def no_truncate() -> list[Any]:
    """The table cannot be emptied at one stroke, which row triggers do not see."""
    return [
        pgtrigger.Trigger(
            name="no_truncate",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Truncate,
            func="RAISE EXCEPTION 'Cannot truncate table %', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';",
        )
    ]


def only_while_open() -> list[Any]:
    """No row is added to a log that has been frozen, whoever asks."""
    return [
        pgtrigger.Trigger(
            name="only_while_open",
            level=pgtrigger.Row,
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            func=(
                "IF EXISTS (SELECT 1 FROM ledger_log WHERE number = NEW.log_id AND frozen_at IS NOT NULL) THEN"
                " RAISE EXCEPTION 'Log % is frozen', NEW.log_id USING ERRCODE = 'insufficient_privilege';"
                " END IF; RETURN NEW;"
            ),
        )
    ]
