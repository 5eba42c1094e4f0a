"""What the listings app turns down, and why."""

from exchange.kernel.errors import DomainError, InvalidInput, NotFound, PermissionRefused


class ProductNotFound(NotFound):
    """No product by that reference that the asker may know of."""

    code = "PRODUCT_NOT_FOUND"


class CertificateNotFound(NotFound):
    """No certificate by that number."""

    code = "CERTIFICATE_NOT_FOUND"


class ProductNotEditable(DomainError):
    """The version has been submitted; what was submitted does not change any more."""

    code = "PRODUCT_NOT_EDITABLE"


class SpecificationInvalid(InvalidInput):
    """A field holds what it cannot hold."""

    code = "SPECIFICATION_INVALID"


class SpecificationIncomplete(InvalidInput):
    """Required fields are missing or do not fit together."""

    code = "SPECIFICATION_INCOMPLETE"


class ScenarioMissing(DomainError):
    """No scenario, no trade: a red line."""

    code = "SCENARIO_MISSING"


class CoreDataRefused(DomainError):
    """Core data, state secrets and the highest sector level are not registered here: a red line."""

    code = "CORE_DATA_REFUSED"


class OwnSubmission(PermissionRefused):
    """Nobody decides about their own submission, or their own organisation's."""

    code = "OWN_SUBMISSION"


class FourEyes(PermissionRefused):
    """The person who reviewed a version does not certify it as well."""

    code = "FOUR_EYES"


class ReviewReasonMissing(InvalidInput):
    """The decision needs a reason."""

    code = "REVIEW_REASON_MISSING"


class ProviderNotReady(DomainError):
    """The provider has registered no keys yet, so nobody could sign a contract on the product."""

    code = "PROVIDER_NOT_READY"


class CommitmentMissing(InvalidInput):
    """The version does not name its dataset's commitment."""

    code = "COMMITMENT_MISSING"
