"""The small world of `tests.factories.compute`, with every step taken through the actions that people use.

Products are drafted, reviewed, certified and listed; the contract is proposed and signed: so every fact has its entry.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from compute.actions import computations
from compute.models import Computation
from compute.protocol import shapes
from contracts import postings
from contracts import terms as drafts
from contracts.actions import lifecycle, proposals, signatures, transfers
from contracts.models import Contract
from contracts.postings import TransferKind
from exchange.members.permissions import Role
from ledger import actions as ledger
from ledger.proofs import statements
from listings.actions import certificates, listing, products, reviews
from listings.models import Product
from tests.factories import listings
from tests.factories.compute import World, keys_of, member, run_to_ready, settle

_MEMBER = {"provider": Role.PROVIDER, "buyer": Role.BUYER, "compute_party": Role.DELIVERY_PARTY}


@dataclass
class TracedWorld(World):
    """An effective contract whose products and signatures all stand in the log."""

    def product(self, name: str) -> Product:
        """A product taken from its draft into the catalogue."""
        author = member(self.organizations[name], Role.PROVIDER)
        made = listings.draft(by=author, name_en=name, dataset=name.replace("-", "_"))
        made = products.submit(product=made, by=author)
        made = reviews.approve(product=made, by=self.reviewer, reason="complete")
        issued = certificates.issue(product=made, by=member(self.exchange, Role.REGISTRAR))
        return listing.list_(product=issued.version.product, by=member(self.exchange, Role.LISTING_OFFICER))

    def _contract(self) -> Contract:
        now = timezone.now()
        helper = self.organizations.get("helper")
        contract = proposals.propose(
            products=[self.product(name).ref for name in ("fund-a", "fund-b")],
            compute_party=helper.urn if helper else None,
            choices=drafts.Choices(
                operation=self.operation,
                purpose="credit_risk_statistics",
                effective_from=now - timedelta(days=1),
                effective_to=now + timedelta(days=90),
                unit_price_fen=50_000,
                **self.choices,
            ),
            by=self.buyer,
        )
        for party in contract.terms["parties"]:
            name = self.name_of(party["organization"])
            signed = statements.sign(contract.terms, key=keys_of(name).document, created=shapes.write_time(now))
            by = member(self.organizations[name], _MEMBER[party["role"]])
            signatures.sign(contract=contract, document=signed, by=by)
        with transaction.atomic():
            transfers.post(
                key=f"deposit:{contract.ref}",
                kind=TransferKind.DEPOSIT,
                contract=contract,
                subject=contract.urn,
                legs=postings.deposit(1_000_000),
            )
        lifecycle.advance()
        contract.refresh_from_db()
        return contract


def released(world: World) -> Computation:
    """A computation of this world taken to its receipt; its result is not fetched yet."""
    computation = computations.submit(document=world.request(), by=world.buyer)
    nodes = world.nodes()
    for node in nodes:
        node.consent()
    settle(computation)
    run_to_ready(nodes)
    for node in nodes:
        assert node.submit().status == 200
    settle(computation)
    ledger.seal()
    assert computation.state == "released"
    return computation
