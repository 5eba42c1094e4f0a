"""List pages ask the database the same number of questions however many rows they show."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compute.actions import computations
from exchange.members.permissions import Role
from exchange.members.states import OrganizationStatus
from tests.factories import contracts, listings, members, objections, pages

pytestmark = pytest.mark.django_db
CEILING = 30  # questions of one page; each is a round trip

LISTS = {
    None: ("/", "/catalogue/", "/catalogue/?q=统计", "/ledger/", "/api/v1/products/", "/api/v1/ledger/entries/"),
    Role.BUYER: ("/contracts/", "/computations/", "/workplace/", "/api/v1/contracts/", "/api/v1/computations/"),
    Role.PROVIDER: ("/products/", "/workplace/", "/objections/"),
    Role.AUDITOR: (
        "/desk/",
        "/desk/objections/",
        "/desk/products/",
        "/desk/organizations/",
        "/contracts/",
        "/computations/",
    ),
    Role.COMPLIANCE_REVIEWER: ("/desk/products/", "/desk/computations/"),
    Role.SETTLEMENT_CLERK: ("/desk/deposits/",),
}


def questions(scene: pages.Scene) -> dict[tuple[str, str], int]:
    found = {}
    for role, addresses in LISTS.items():
        http = Client(headers={"Accept-Language": "en"})
        if role is not None:
            assert http.login(username=scene.people[role], password=pages.PASSWORD)
        for address in addresses:
            http.get(address)  # whatever is kept between requests is kept now
            with CaptureQueriesContext(connection) as asked:
                assert http.get(address).status_code == 200, address
            found[str(role or "visitor"), address] = len(asked)
    return found


def more_of_everything(scene: pages.Scene) -> None:
    """Three more rows on every list."""
    computations.withdraw(computation=scene.waiting, by=scene.world.buyer)
    objections.in_every_state(scene.released.tasks.get(rank=1), scene.world.organizations["fund-a"])
    for number in range(3):
        name = f"第{number}产品统计"
        listings.listed(by=scene.world.provider, name_zh=name, name_en=f"Product {number}")
        listings.submitted(by=scene.world.provider, name_zh=f"待审{name}", name_en=f"Waiting {number}")
        computations.withdraw(
            computation=computations.submit(document=scene.world.request(), by=scene.world.buyer), by=scene.world.buyer
        )
        members.organization(status=OrganizationStatus.APPLIED)
        members.organization()
        contracts.contract(state=contracts.ContractState.SIGNED, escrow_fen=0)  # the same bank, by its name


def test_more_rows_ask_no_more_questions():
    scene = pages.scene()
    few = questions(scene)

    more_of_everything(scene)
    many = questions(scene)

    assert {page: (few[page], many[page]) for page in few if many[page] > few[page]} == {}
    assert {page: count for page, count in many.items() if count > CEILING} == {}
