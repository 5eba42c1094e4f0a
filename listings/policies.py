"""What may be done with a product, by whom: red lines, and that nobody decides about their own."""

from collections.abc import Mapping, Sequence
from typing import Any

from exchange.members.models import Membership
from listings import grading
from listings.errors import (
    CommitmentMissing,
    CoreDataRefused,
    FourEyes,
    OwnSubmission,
    ProviderNotReady,
    ScenarioMissing,
)
from listings.models import Product, ProductVersion
from listings.states import ReviewDecision
from listings.words import NationalGrade, Sector


def check_red_lines(fields: Mapping[str, Any]) -> None:
    """Refuse what no reviewer may let pass.

    Raises:
        ScenarioMissing: no scenario with a purpose: 无场景不交易.
        CoreDataRefused: core data, or a sector level that stays with its owner.
    """
    scenarios: Sequence[Any] = fields.get("scenarios", [])
    if not any(isinstance(one, Mapping) and one.get("code") and one.get("zh") for one in scenarios):
        raise ScenarioMissing("No scenario, no trade: describe at least one real use with its purpose code.")
    if grading.is_refused(
        national=NationalGrade(fields.get("grade_national", NationalGrade.GENERAL)),
        sector=Sector(fields.get("sector", "")),
        sector_level=fields.get("grade_sector"),
    ):
        raise CoreDataRefused("Data of this class or level is not registered on the exchange; it stays with its owner.")


def check_can_submit(product: Product, version: ProductVersion) -> None:
    """A version names its data by a commitment, and its provider can sign.

    Raises:
        CommitmentMissing: run `hengshu-node dataset add` first and send what it prints.
        ProviderNotReady: the provider registered no key card.
    """
    if not version.dataset_commitment:
        raise CommitmentMissing(
            "Add the dataset on your own node (`hengshu-node dataset add`) and enter the commitment it prints.",
            fields={"dataset_commitment": "is missing"},
        )
    if not product.provider.keys.current().exists():
        raise ProviderNotReady("Register your organisation's key card first: hengshu keys show --json.")


def check_not_own(version: ProductVersion, *, by: Membership) -> None:
    """Nobody decides about what they submitted, or what an organisation of theirs did.

    Raises:
        OwnSubmission.
    """
    is_author = by.user_id in {version.submitted_by_id, version.created_by_id}
    if is_author or Membership.objects.of(by.user).filter(organization=version.product.provider).exists():
        raise OwnSubmission("This is your own or your organisation's submission; a colleague must decide.")


def check_not_reviewer(version: ProductVersion, *, by: Membership) -> None:
    """The registrar is another person than the compliance reviewer of the same version.

    Raises:
        FourEyes.
    """
    if version.reviews.filter(decision=ReviewDecision.APPROVED.value, reviewer=by.user).exists():
        raise FourEyes("You approved this version yourself; another registrar issues the certificate.")
