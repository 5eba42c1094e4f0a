"""The operator's command for witnesses."""

import pytest
from django.core.management import CommandError, call_command

from ledger.models import Entry, Witness
from ledger.witness import keys

pytestmark = pytest.mark.django_db


def said(capsys, *arguments: str) -> str:
    call_command("witness", *arguments)
    return str(capsys.readouterr().out)


def test_admit_list_and_withdraw(capsys):
    call_command("init_exchange")
    vkey = keys.generate("node.example/fund").vkeys[0]

    assert "admitted fund" in said(capsys, "admit", "fund", vkey, "http://127.0.0.1:9999")
    assert f"fund  answers  cosigned up to 0  http://127.0.0.1:9999  {vkey}" in said(capsys, "list")
    assert "withdrawn fund" in said(capsys, "withdraw", "fund")
    assert "fund  withdrawn" in said(capsys, "list")
    assert Witness.objects.get().withdrawn_at is not None
    assert list(Entry.objects.filter(subject__contains=":witness:").order_by("pk").values_list("kind", flat=True)) == [
        "witness.admitted",
        "witness.withdrawn",
    ]


def test_what_cannot_be_done_is_said(capsys):
    call_command("init_exchange")

    with pytest.raises(CommandError, match="not a witness"):
        call_command("witness", "admit", "fund", "no key", "http://127.0.0.1:9999")
    with pytest.raises(CommandError, match="No present witness is called fund"):
        call_command("witness", "withdraw", "fund")
