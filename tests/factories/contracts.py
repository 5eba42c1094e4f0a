"""Contracts for tests: real terms, real keys and signatures, real postings; only the products are made up.

`agreement()` builds the people and their keys, `contract(…)` a contract between them as far as asked.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from compute.protocol import keyfiles
from compute.protocol import terms as documents
from contracts import postings
from contracts.actions import transfers
from contracts.models import Contract, ContractParty, Meter, Signature
from contracts.postings import TransferKind
from contracts.states import ContractState
from contracts.terms import Choices, Offering, Party, build
from exchange.kernel import identifiers
from exchange.members.models import Membership, Organization, SigningKey, User
from exchange.members.permissions import Role
from exchange.members.states import KeyPurpose, OrganizationStatus
from ledger import keys as own_keys
from ledger.proofs import statements

EARLIER = datetime(2026, 11, 1, tzinfo=UTC)
LATER = datetime(2036, 11, 1, tzinfo=UTC)
_COLUMNS = ("district", "age_band", "base")
_KEYS: dict[str, keyfiles.KeyFile] = {}


def subject(number: int = 1) -> str:
    """The URN of a computation."""
    return identifiers.make_urn("computation", f"01JD{number:022d}")


def keys(name: str) -> keyfiles.KeyFile:
    """One key file for each name, made once for each test run."""
    return _KEYS.setdefault(name, keyfiles.generate(name))


def organization(name: str, *, kinds: tuple[str, ...] = ("buyer",), is_exchange: bool = False) -> Organization:
    """An admitted organisation with its three keys registered."""
    found = Organization.objects.filter(name_en=name).first()
    if found is not None:
        return found
    digits = f"91{sum(map(ord, name)) % 10**6:06d}{len(name):09d}"
    made = Organization.objects.create(
        name_zh=name,
        name_en=name,
        uscc=digits + identifiers.uscc_check_character(digits),
        kinds=list(kinds),
        status=OrganizationStatus.ADMITTED.value,
        is_exchange=is_exchange,
    )
    own = keys(name)
    card = own.card(created="2026-10-01T00:00:00Z")
    for purpose, value in (
        (KeyPurpose.DOCUMENT, own.document_key),
        (KeyPurpose.CHAIN, own.chain_address),
        (KeyPurpose.SEALING, own.sealing_key),
    ):
        SigningKey.objects.create(organization=made, purpose=purpose.value, value=value, valid_from=EARLIER, card=card)
    return made


def exchange() -> Organization:
    """The exchange's own organisation."""
    found = Organization.objects.filter(is_exchange=True).first()
    return found or organization("Hengshu Exchange", kinds=(), is_exchange=True)


def membership(of: Organization, role: Role) -> Membership:
    """A person of an organisation in a role."""
    user, _ = User.objects.get_or_create(username=f"{role.value}-{of.pk}")
    found = Membership.objects.filter(user=user, organization=of, role=role.value).first()
    return found or Membership.objects.create(user=user, organization=of, role=role.value)


@dataclass
class Agreement:
    """A contract with everybody around it."""

    contract: Contract
    buyer: Organization
    providers: list[Organization]
    compute_party: Organization | None = None
    signed: dict[str, dict] = field(default_factory=dict)

    @property
    def meter(self) -> Meter:
        return Meter.objects.get(contract=self.contract)

    def keys_of(self, of: Organization) -> keyfiles.KeyFile:
        return keys(of.name_en)

    def sign(self, *organizations: Organization) -> dict:
        """The terms as these organisations sign them on their own machines."""
        document = self.contract.terms
        for one in organizations:
            document = statements.sign(document, key=keys(one.name_en).document, created=_now())
        return document


def contract(
    *,
    state: ContractState = ContractState.EFFECTIVE,
    limit: int = 20,
    per_day: int | None = None,
    rate_per_minute: int = 1_000_000,
    unit_price_fen: int = 50_000,
    escrow_fen: int = 1_000_000,
    operation: str = "joint_statistics",
    approval: str = "standing",
    chain: bool = False,
    effective_from: datetime = EARLIER,
    effective_to: datetime | None = None,
    offerings: list[Offering] | None = None,
) -> Agreement:
    """A contract bank ← two providers (and a compute party where the operation needs one)."""
    exchange()
    aligned = operation == "aligned_statistics"
    providers = [
        organization("Chengjiang Housing Fund", kinds=("provider",)),
        organization("Chengjiang Social Security Office" if aligned else "Yunling Housing Fund", kinds=("provider",)),
    ]
    buyer = organization("Yuanshan Bank")
    helper = organization("Neutral Compute Centre", kinds=("provider",)) if aligned else None
    ref = identifiers.new_ulid()
    terms = build(
        contract=identifiers.make_urn("contract", ref),
        number=identifiers.number("DTC", exchange="HS", year_month="202611", serial=Contract.objects.count() + 1),
        exchange=exchange_clause(),
        offerings=offerings or [offering(one, number) for number, one in enumerate(providers, start=1)],
        buyer=party(buyer),
        compute_party=None if helper is None else party(helper),
        choices=Choices(
            operation=operation,
            purpose="credit_risk_statistics",
            effective_from=effective_from,
            effective_to=effective_to or effective_from + timedelta(days=365),
            unit_price_fen=unit_price_fen,
            quota_total=limit,
            quota_per_day=per_day or limit,
            rate_per_minute=rate_per_minute,
            approval=approval,
        ),
        fee_basis_points=300,
        chain=chain,
    )
    made = Contract.objects.create(
        ref=ref,
        number=terms["number"],
        buyer=buyer,
        terms=terms,
        terms_digest=statements.digest(terms),
        state=state.value,
        proposed_by=membership(buyer, Role.BUYER).user,
    )
    members = {one.urn: one for one in (*providers, buyer, *([helper] if helper else []))}
    for position, clause in enumerate(terms["parties"]):
        ContractParty.objects.create(
            contract=made, organization=members[clause["organization"]], role=clause["role"], position=position
        )
    Meter.objects.create(
        contract=made, unit="per_call", limit=limit, per_day=per_day or limit, rate_per_minute=rate_per_minute
    )
    agreement = Agreement(made, buyer, providers, helper)
    if state not in (ContractState.PROPOSED, ContractState.SIGNING):
        for one in members.values():
            proof = agreement.sign(one)["proof"][0]
            Signature.objects.create(
                contract=made, organization=one, document_key=keys(one.name_en).document_key, proof=proof
            )
        if escrow_fen:
            deposit(made, escrow_fen)
    return agreement


def deposit(made: Contract, amount_fen: int) -> None:
    """Money of the buyer has arrived."""
    transfers.post(
        key=f"deposit:factory:{identifiers.new_ulid()}",
        kind=TransferKind.DEPOSIT,
        contract=made,
        subject=made.urn,
        legs=postings.deposit(amount_fen),
    )


def party(of: Organization) -> Party:
    own = keys(of.name_en)
    return Party(
        organization=of.urn,
        name_zh=of.name_zh,
        name_en=of.name_en,
        uscc=of.uscc,
        document_key=own.document_key,
        chain_address=own.chain_address,
        sealing_key=own.sealing_key,
    )


def offering(provider: Organization, number: int = 1) -> Offering:
    """A product that is not in the catalogue, in the form in which one enters a contract."""
    return Offering(
        provider=party(provider),
        product=identifiers.make_urn("product", f"01JD0000000000000000000P{number:02d}"),
        number=identifiers.number("DP", exchange="HS", year_month="202611", serial=number),
        version=1,
        specification_digest=f"{number:064x}",
        certificate=identifiers.number("DPC", exchange="HS", year_month="202611", serial=number),
        grade=2,
        dataset="housing_fund",
        dataset_commitment=f"{number + 16:064x}",
        columns=_COLUMNS,
    )


def exchange_clause() -> dict[str, str]:
    own = own_keys.exchange_keys()
    return {
        "name_zh": "衡数数据交易所",
        "name_en": "Hengshu Data Exchange",
        "document_key": own.document_key,
        "log_origin": "hengshu.example/ledger/2026",
        "log_key": own_keys.log_vkey(),
    }


def parameters() -> dict:
    """Parameters that the contracts of this factory allow."""
    return documents.operations.joint_statistics(group_by=["district"], values=["base"])


def _now() -> str:
    return timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")
