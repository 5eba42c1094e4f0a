"""A small world that is ready to compute: organisations with keys, an effective contract, fake nodes."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from compute.actions import advance
from compute.models import Computation
from compute.protocol import documents, keyfiles, operations, shapes
from compute.protocol.keyfiles import KeyFile
from contracts import postings
from contracts import terms as drafts
from contracts.actions import transfers
from contracts.models import Account, Contract, ContractParty, Meter, Signature
from contracts.postings import TransferKind
from contracts.states import ContractState
from exchange.kernel import identifiers
from exchange.members.models import Membership, Organization, SigningKey, User
from exchange.members.permissions import Role
from ledger import actions as ledger
from ledger import keys as ledger_keys
from ledger.proofs import statements
from listings.models import Column, Product, ProductVersion, RegistrationCertificate, Specification
from tests.fakes.nodes import FakeNode

COLUMNS = {"district": "none", "age_band": "none", "base": "pi"}  # name and personal-information flag
BLOCK_DIMENSIONS = ("district", "age_band")
_KEYS: dict[str, KeyFile] = {}


def keys_of(name: str) -> KeyFile:
    """One key file for each name in a test run: making keys is slow, and names are invented."""
    return _KEYS.setdefault(name, keyfiles.generate(name))


def organization(name: str, *, kinds: tuple[str, ...] = ("supplier",), is_exchange: bool = False) -> Organization:
    """An admitted organisation with its three registered keys."""
    first_17 = "91990000MA" + "".join(secrets.choice("0123456789") for _ in range(7))
    found = Organization.objects.create(
        name_zh=f"{name}（测试）",
        name_en=name,
        uscc=first_17 + identifiers.uscc_check_character(first_17),
        kinds=list(kinds),
        status="admitted",
        is_exchange=is_exchange,
    )
    keys = ledger_keys.exchange_keys() if is_exchange else keys_of(name)
    for purpose, value in (
        ("document", keys.document_key),
        ("chain", keys.chain_address),
        ("sealing", keys.sealing_key),
    ):
        SigningKey.objects.create(organization=found, purpose=purpose, value=value, card={})
    return found


def member(of: Organization, role: Role, *, username: str = "") -> Membership:
    """A person acting for an organisation."""
    user = User.objects.create_user(username or f"{role.value}-{secrets.token_hex(4)}")
    return Membership.objects.create(user=user, organization=of, role=role.value)


@dataclass
class World:
    """One effective contract among some providers and a bank, with a compute party where the operation needs one."""

    providers: ClassVar[tuple[str, ...]] = ("fund-a", "fund-b")
    columns: ClassVar[Mapping[str, str]] = COLUMNS
    operation: str = operations.JOINT_STATISTICS
    choices: dict[str, Any] = field(default_factory=dict)
    grade: int = 2
    chain: bool = False
    specification: dict[str, Any] = field(default_factory=dict)
    organizations: dict[str, Organization] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.exchange = organization("exchange", kinds=("other",), is_exchange=True)
        names = [*self.providers, "bank"]
        if operations.get(self.operation).has_compute_party:
            names.append("helper")
        for name in names:
            self.organizations[name] = organization(name)
        self.buyer = member(self.organizations["bank"], Role.BUYER)
        self.provider = member(self.organizations["fund-a"], Role.PROVIDER)
        self.reviewer = member(self.exchange, Role.COMPLIANCE_REVIEWER)
        self.contract = self._contract()

    # --- contract --------------------------------------------------------------------------------------

    def _contract(self) -> Contract:
        now = timezone.now()
        ref = identifiers.new_ulid()
        helper = self.organizations.get("helper")
        terms = drafts.build(
            contract=identifiers.make_urn("contract", ref),
            number=f"DTC-HS-{now:%Y%m}-{secrets.randbelow(999999):06d}A",
            exchange={
                "name_zh": settings.EXCHANGE_NAME_ZH,
                "name_en": settings.EXCHANGE_NAME_EN,
                "document_key": ledger_keys.exchange_keys().document_key,
                "log_origin": settings.LOG_ORIGIN,
                "log_key": ledger_keys.log_vkey(),
            },
            offerings=[self._offering(name) for name in self.providers],
            buyer=self._party("bank"),
            compute_party=self._party("helper") if helper else None,
            choices=drafts.Choices(
                operation=self.operation,
                purpose="credit_risk_statistics",
                effective_from=now - timedelta(days=1),
                effective_to=now + timedelta(days=90),
                unit_price_fen=50_000,
                **self.choices,
            ),
            fee_basis_points=300,
            chain=self.chain,
        )
        contract = Contract.objects.create(
            ref=ref,
            number=terms["number"],
            buyer=self.organizations["bank"],
            terms=terms,
            terms_digest=statements.digest(terms),
            state=ContractState.EFFECTIVE.value,
            proposed_by=self.buyer.user,
        )
        for position, party in enumerate(terms["parties"]):
            name = self.name_of(party["organization"])
            ContractParty.objects.create(
                contract=contract, organization=self.organizations[name], role=party["role"], position=position
            )
            signed = statements.sign(terms, key=keys_of(name).document, created=shapes.write_time(now))
            Signature.objects.create(
                contract=contract,
                organization=self.organizations[name],
                document_key=keys_of(name).document_key,
                proof=signed["proof"][0],
            )
        Meter.objects.create(
            contract=contract,
            unit="per_call",
            limit=terms["quota"]["total"],
            per_day=terms["quota"]["per_day"],
            rate_per_minute=terms["quota"]["rate_per_minute"],
        )
        with transaction.atomic():
            transfers.post(
                key=f"deposit:{ref}",
                kind=TransferKind.DEPOSIT,
                contract=contract,
                subject=contract.urn,
                legs=postings.deposit(1_000_000),
            )
        return contract

    def _party(self, name: str) -> drafts.Party:
        of, keys = self.organizations[name], keys_of(name)
        return drafts.Party(
            organization=of.urn,
            name_zh=of.name_zh,
            name_en=of.name_en,
            uscc=of.uscc,
            document_key=keys.document_key,
            chain_address=keys.chain_address,
            sealing_key=keys.sealing_key,
        )

    def _offering(self, name: str) -> drafts.Offering:
        product = self.product(name)
        version = product.version
        return drafts.Offering(
            provider=self._party(name),
            product=product.urn,
            number=str(product.number),
            version=version.version,
            specification_digest=version.specification_digest,
            certificate=version.certificate.number,
            grade=version.grade,
            dataset=version.dataset,
            dataset_commitment=version.dataset_commitment,
            columns=tuple(self.columns),
        )

    def product(self, name: str) -> Product:
        """A listed product of a provider, with a certificate in force."""
        now = timezone.now()
        made = Product.objects.create(
            number=f"DP-HS-202611-{secrets.randbelow(999999):06d}B",
            provider=self.organizations[name],
            name_zh=name,
            name_en=name,
            state="listed",
        )
        version = ProductVersion.objects.create(
            product=made,
            version=1,
            dataset=name.replace("-", "_"),
            dataset_commitment=secrets.token_hex(32),
            grade=self.grade,
            specification_digest=secrets.token_hex(32),
            created_by=self.provider.user,
        )
        made.current = version
        made.save(update_fields=["current"])
        Specification.objects.create(
            version=version, **{"grade_general": self.grade, "persons_approx": 1000, **self.specification}
        )
        for position, (column, pi) in enumerate(self.columns.items()):
            is_block = column in BLOCK_DIMENSIONS
            Column.objects.create(
                version=version,
                position=position,
                name=column,
                title_zh=column,
                type="category" if is_block else "decimal",
                is_block_dimension=is_block,
                pi=pi,
                grade=1,
            )
        RegistrationCertificate.objects.create(
            version=version,
            number=f"DPC-HS-202611-{secrets.randbelow(999999):06d}C",
            document={},
            record_digest=secrets.token_hex(32),
            entry_ref=identifiers.new_ulid(),
            issued_by=self.reviewer.user,
            issued_at=now,
            valid_until=now + timedelta(days=365),
        )
        return made

    def name_of(self, urn: str) -> str:
        return next(name for name, of in self.organizations.items() if of.urn == urn)

    # --- a run --------------------------------------------------------------------------------------------

    def request(self, *, key: str = "bank", **changes: Any) -> dict[str, Any]:
        """A signed request of the bank; `changes` are made before signing."""
        now: datetime = changes.pop("now", timezone.now())
        document = documents.request(
            computation=identifiers.make_urn("computation", identifiers.new_ulid()),
            terms=self.contract.terms,
            operation=self.operation,
            parameters=self.parameters(),
            created=now,
            expires=now + timedelta(hours=2),
        )
        return statements.sign(
            {**document, **changes}, key=keys_of(key).document, created=shapes.write_time(timezone.now())
        )

    def parameters(self) -> dict[str, Any]:
        """What every request of this world asks for."""
        found = {"group_by": ["district"], "values": ["base"], "filters": [], "min_group": 10}
        if self.operation == operations.ALIGNED_STATISTICS:
            found |= {
                "group_provider": self.organizations["fund-a"].urn,
                "value_provider": self.organizations["fund-b"].urn,
            }
        return found

    def nodes(self) -> list[FakeNode]:
        """The nodes of the parties that compute, in rank order."""
        requester = ["bank"] if operations.get(self.operation).has_requester else []
        names = [name for name in (*requester, *self.providers, "helper") if name in self.organizations]
        exchange_key = ledger_keys.exchange_keys().document_key
        return [FakeNode(self.organizations[name].urn, keys_of(name), exchange_key) for name in names]

    def escrow_fen(self) -> int:
        return Account.objects.balance_of(self.contract, "escrow")


def settle(computation: Computation) -> Computation:
    """Seal the log and advance until nothing moves: what the beat does in a few seconds."""
    for _ in range(6):
        ledger.seal()
        advance.advance_all(now=timezone.now())
    computation.refresh_from_db()
    return computation


def run_to_ready(nodes: list[FakeNode]) -> None:
    """Every node claims, offers and hears that all may go."""
    for node in nodes:
        assert node.claim().status == 200
        assert node.offer().status == 200
    for node in nodes:
        assert node.progress().body["go"] is True
