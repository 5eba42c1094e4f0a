"""Steps that need the exchange's own code and database, run once in a process of their own before it serves.

    python -m exchange.runner.prepare --accounts FILE
    python -m exchange.runner.prepare --witnesses FILE

The first creates the tables, the exchange's key files and the on-chain contract; every step may be repeated.
It names a JSON list of demo people to create; passwords come with it and stay in the process. The second
admits witnesses: a JSON list of name, vkey and url.
"""

import json
import os
import sys
from pathlib import Path

import django
from django.core.management import call_command


def main(arguments: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
    django.setup()
    if arguments[:1] == ["--witnesses"]:
        for one in json.loads(Path(arguments[1]).read_text()):
            call_command("witness", "admit", one["name"], one["vkey"], one["url"], verbosity=0)
        return
    call_command("migrate", interactive=False, verbosity=0)
    call_command("init_exchange", verbosity=0)
    call_command("deploy_ledger", verbosity=0)
    if arguments[:1] == ["--accounts"]:
        _create_accounts(json.loads(Path(arguments[1]).read_text()))


def _create_accounts(accounts: list[dict[str, str]]) -> None:
    # Imported here: these modules need django.setup() first.
    from allauth.account.models import EmailAddress

    from exchange.members.actions import memberships
    from exchange.members.exchange_keys import exchange_organization
    from exchange.members.models import User
    from exchange.members.permissions import Role

    for account in accounts:
        user, is_new = User.objects.get_or_create(
            username=account["username"],
            defaults={"display_name": account["name"], "email": f"{account['username']}@demo.invalid"},
        )
        if not is_new:
            continue
        user.set_password(account["password"])
        user.save()
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
        if account.get("staff_role"):
            memberships.grant(
                user=user, organization=exchange_organization(), role=Role(account["staff_role"]), by=None
            )


if __name__ == "__main__":
    main(sys.argv[1:])
