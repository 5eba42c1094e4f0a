"""A whole trade made only through the actions that people use, so that every row has its entry and every entry its row.

The other factories write rows straight into the tables; an audit finds that, as it should.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from compute.actions import computations, results
from compute.actions import reviews as compute_reviews
from compute.models import Computation
from compute.protocol import documents, shapes
from compute.protocol.keyfiles import KeyFile
from contracts.actions import deposits, lifecycle, proposals, revocations, signatures
from contracts.models import Contract
from contracts.terms import Choices
from exchange.kernel import identifiers
from exchange.members.actions import key_revocations, keys, memberships, organizations
from exchange.members.exchange_keys import exchange_keys
from exchange.members.models import Membership, Organization
from exchange.members.permissions import Role
from ledger.proofs import statements
from listings.actions import certificates, listing, products, reviews
from listings.models import Product
from tests.factories import listings, members
from tests.factories.compute import keys_of, run_to_ready, settle
from tests.fakes.nodes import FakeNode

OPERATION = "joint_statistics"
_KINDS = {"fund-a": "supplier", "fund-b": "supplier", "bank": "demander"}


@dataclass
class Trade:
    """Two providers and a bank, their products and contracts, and runs that came to different ends."""

    staff: dict[Role, Membership] = field(default_factory=dict)
    people: dict[str, Membership] = field(default_factory=dict)
    products: list[Product] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.exchange = members.exchange()
        for role in (
            Role.ADMISSION_OFFICER,
            Role.COMPLIANCE_REVIEWER,
            Role.REGISTRAR,
            Role.LISTING_OFFICER,
            Role.SETTLEMENT_CLERK,
            Role.MEDIATOR,
        ):
            self.staff[role] = memberships.grant(user=members.person(), organization=self.exchange, role=role, by=None)
        for name, kind in _KINDS.items():
            self.people[name] = self.join(name, kind)
        for name in ("fund-a", "fund-b"):
            self.products.append(self.listed(name))

    # --- people -------------------------------------------------------------------------------------------

    def join(self, name: str, kind: str) -> Membership:
        """An organisation that applied, was checked and admitted, and whose keys are registered."""
        user = members.person()
        made = organizations.apply(
            by=user,
            name_zh=name,
            name_en=name,
            uscc=members.uscc(),
            kinds=[kind],
            card=keys_of(name).card(created=members.CREATED),
        )
        officer = self.staff[Role.ADMISSION_OFFICER]
        organizations.verify(organization=made, by=officer)
        organizations.admit(organization=made, by=officer, reason="材料齐全")
        return Membership.objects.get(user=user, organization=made)

    def of(self, name: str) -> Organization:
        return self.people[name].organization

    # --- products -----------------------------------------------------------------------------------------

    def listed(self, name: str) -> Product:
        """A product that was returned once, then approved, certified and listed."""
        by, staff = self.people[name], self.staff
        made = listings.submitted(by=by, name_zh=name, name_en=name)
        made = reviews.return_(
            product=made, by=staff[Role.COMPLIANCE_REVIEWER], reason="补充说明", fields={"region": "写全称"}
        )
        made = products.submit(product=made, by=by)
        made = reviews.approve(product=made, by=staff[Role.COMPLIANCE_REVIEWER], reason="材料齐全")
        certificates.issue(product=made, by=staff[Role.REGISTRAR])
        return listing.list_(product=made, by=staff[Role.LISTING_OFFICER])

    # --- contracts ----------------------------------------------------------------------------------------

    def contract(self, *, deposit_fen: int = 1_000_000, in_effect: bool = True, **changes) -> Contract:
        """A contract that everybody signed, funded and in effect."""
        now = timezone.now().replace(microsecond=0)
        story = {
            "operation": OPERATION,
            "purpose": "credit_risk_statistics",
            "effective_from": now - timedelta(days=1),
            "effective_to": now + timedelta(days=90),
            "unit_price_fen": 50_000,
        }
        made = proposals.propose(
            products=[one.ref for one in self.products], choices=Choices(**story | changes), by=self.people["bank"]
        )
        for name, person in ((name, self.people[name]) for name in _KINDS):
            document = statements.sign(
                made.terms, key=keys_of(name).document, created=shapes.write_time(timezone.now())
            )
            made = signatures.sign(contract=made, document=document, by=person)
        clerk = self.staff[Role.SETTLEMENT_CLERK]
        deposits.confirm(contract=made, amount_fen=deposit_fen, reference=f"line {made.ref}", by=clerk)
        lifecycle.advance()
        made.refresh_from_db()
        assert (made.state == "effective") is in_effect, made.state
        return made

    def end(self, contract: Contract) -> None:
        """End a contract by its term, and let the time for objections pass."""
        later = timezone.now() + timedelta(days=91)
        lifecycle.advance(now=later)
        lifecycle.advance(now=later + timedelta(days=60))

    # --- computations -------------------------------------------------------------------------------------

    def request(self, contract: Contract) -> Computation:
        """A request of the bank, waiting for consent."""
        now = timezone.now()
        document = documents.request(
            computation=identifiers.make_urn("computation", identifiers.new_ulid()),
            terms=contract.terms,
            operation=OPERATION,
            parameters={"group_by": ["district"], "values": ["base"], "filters": [], "min_group": 10},
            created=now,
            expires=now + timedelta(hours=2),
        )
        signed = statements.sign(document, key=keys_of("bank").document, created=shapes.write_time(now))
        return computations.submit(document=signed, by=self.people["bank"])

    def reviewed(self, computation: Computation) -> Computation:
        """Staff let it pass where the policy asks for that."""
        if computation.state != "reviewing":
            return computation
        reviewer = self.staff[Role.COMPLIANCE_REVIEWER]
        return compute_reviews.approve(computation=computation, by=reviewer, reason="符合合约")

    def nodes(self) -> list[FakeNode]:
        names = ("fund-a", "fund-b")
        return [FakeNode(self.of(name).urn, keys_of(name), exchange_keys().document_key) for name in names]

    def computed(self, contract: Contract) -> Computation:
        """A run taken to its end, its result fetched."""
        computation = self.reviewed(self.request(contract))
        nodes = self.nodes()
        for node in nodes:
            assert [answer.status for answer in node.consent()] == [200]
        settle(computation)
        run_to_ready(nodes)
        for node in nodes:
            assert node.submit().body == {"accepted": True}
        settle(computation)
        results.deliver(computation, by=self.people["bank"])
        return computation

    def withdrawn(self, contract: Contract) -> Computation:
        """A request taken back."""
        return computations.withdraw(computation=self.request(contract), by=self.people["bank"])

    def revoked(self, contract: Contract, *, by: str = "fund-a") -> None:
        """A provider ends a contract."""
        document = documents.revocation(
            contract=contract.urn,
            terms_digest=contract.terms_digest,
            organization=self.of(by).urn,
            sequence=1,
            reason="test",
            issued=timezone.now(),
        )
        signed = statements.sign(document, key=keys_of(by).document, created=shapes.write_time(timezone.now()))
        revocations.revoke(contract=contract, document=signed, by=self.people[by])

    # --- keys and roles -----------------------------------------------------------------------------------

    def new_keys(self, name: str, made: KeyFile) -> None:
        """Rotate an organisation's keys."""
        keys.rotate(organization=self.of(name), document=members.rotation(self.of(name), keys_of(name), made))

    def without_key(self, name: str) -> None:
        """The exchange withdraws a key of an organisation."""
        key = self.of(name).keys.filter(purpose="sealing", valid_to=None).get()
        key_revocations.revoke(key=key, reason="the member asked")

    def colleague(self, name: str) -> Membership:
        """A colleague who was given a role, and lost it again."""
        owner = self.people[name]
        made = memberships.grant(user=members.person(), organization=owner.organization, role=Role.PROVIDER, by=owner)
        memberships.end(membership=made, by=owner)
        return made
