"""Where an organisation stands on its way in and out of the exchange."""

from enum import StrEnum

from exchange.kernel.states import Owner, Transitions


class OrganizationStatus(StrEnum):
    """An organisation's admission."""

    APPLIED = "applied"
    IN_VERIFICATION = "in_verification"
    MORE_INFO = "more_info"
    ADMITTED = "admitted"
    SUSPENDED = "suspended"
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"


ORGANIZATION = Transitions(
    {
        OrganizationStatus.APPLIED: frozenset(
            {
                OrganizationStatus.IN_VERIFICATION,
                OrganizationStatus.ADMITTED,
                OrganizationStatus.REJECTED,
                OrganizationStatus.WITHDRAWN,
            }
        ),
        OrganizationStatus.IN_VERIFICATION: frozenset(
            {
                OrganizationStatus.MORE_INFO,
                OrganizationStatus.ADMITTED,
                OrganizationStatus.REJECTED,
                OrganizationStatus.WITHDRAWN,
            }
        ),
        OrganizationStatus.MORE_INFO: frozenset(
            {OrganizationStatus.IN_VERIFICATION, OrganizationStatus.REJECTED, OrganizationStatus.WITHDRAWN}
        ),
        OrganizationStatus.ADMITTED: frozenset({OrganizationStatus.SUSPENDED, OrganizationStatus.WITHDRAWN}),
        OrganizationStatus.SUSPENDED: frozenset({OrganizationStatus.ADMITTED, OrganizationStatus.WITHDRAWN}),
        OrganizationStatus.WITHDRAWN: frozenset(),
        OrganizationStatus.REJECTED: frozenset(),
    },
    owners={
        OrganizationStatus.APPLIED: Owner.STAFF,
        OrganizationStatus.IN_VERIFICATION: Owner.STAFF,
        OrganizationStatus.MORE_INFO: Owner.PARTIES,
        OrganizationStatus.ADMITTED: Owner.STAFF,
        OrganizationStatus.SUSPENDED: Owner.STAFF,
        OrganizationStatus.WITHDRAWN: Owner.NOBODY,
        OrganizationStatus.REJECTED: Owner.NOBODY,
    },
)


class MerchantKind(StrEnum):
    """What an organisation does on the exchange: the six classes of data merchants, the first one in two."""

    SUPPLIER = "supplier"
    DEMANDER = "demander"
    DELIVERY = "delivery"
    ASSESSMENT = "assessment"
    INTERMEDIARY = "intermediary"
    CONSULTING = "consulting"
    OTHER = "other"


class KeyPurpose(StrEnum):
    """What a registered public key is for."""

    DOCUMENT = "document"
    CHAIN = "chain"
    SEALING = "sealing"
