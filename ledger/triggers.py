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
