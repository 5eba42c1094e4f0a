"""What the members app turns down, and why."""

from exchange.kernel.errors import DomainError, InvalidInput, NotFound, PermissionRefused


class OrganizationNotFound(NotFound):
    """No organisation by that reference that the asker may know of."""

    code = "ORGANIZATION_NOT_FOUND"


class OrganizationNotAdmitted(PermissionRefused):
    """The organisation is not admitted, or suspended."""

    code = "ORGANIZATION_NOT_ADMITTED"


class OrganizationExists(DomainError):
    """An organisation with this credit code takes part already or has applied."""

    code = "ORGANIZATION_EXISTS"


class MembershipMissing(PermissionRefused):
    """The person acts for no organisation."""

    code = "MEMBERSHIP_MISSING"


class RoleUnsuited(InvalidInput):
    """The role does not belong to an organisation of this kind."""

    code = "ROLE_UNSUITED"


class OwnAffair(PermissionRefused):
    """People do not decide about themselves."""

    code = "OWN_AFFAIR"


class ReasonMissing(InvalidInput):
    """The decision needs a reason that the organisation can read."""

    code = "REASON_MISSING"


class KeyCardInvalid(InvalidInput):
    """The key card is not a signed card of this version."""

    code = "KEY_CARD_INVALID"


class KeyTaken(DomainError):
    """A key on the card is or was registered already; keys are never used twice."""

    code = "KEY_TAKEN"


class KeyChangesTooMany(DomainError):
    """The organisation changes its keys more often than anybody needs."""

    code = "KEY_CHANGES_TOO_MANY"


class KeyRotationMissing(DomainError):
    """A key in force would be replaced without its own signature."""

    code = "KEY_ROTATION_MISSING"


class KeyRotationInvalid(InvalidInput):
    """The rotation is not signed by old and new keys, or not of the keys in force."""

    code = "KEY_ROTATION_INVALID"


class KeyRevocationInvalid(InvalidInput):
    """The revocation is not signed by a key that may withdraw the keys it names."""

    code = "KEY_REVOCATION_INVALID"


class KeyRevoked(DomainError):
    """A key that signed this was withdrawn."""

    code = "KEY_REVOKED"


class KeyMissing(DomainError):
    """The organisation has no valid key for this purpose."""

    code = "KEY_MISSING"


class ExchangeNotReady(DomainError):
    """The exchange's own organisation and keys have not been made."""

    code = "EXCHANGE_NOT_READY"
    status = 503


class TokenInvalid(DomainError):
    """The access token is unknown, expired or withdrawn."""

    code = "TOKEN_INVALID"
    status = 401


class SignInRefused(DomainError):
    """User name, password or one-time code do not match."""

    code = "SIGN_IN_REFUSED"
    status = 401


class AddressUnconfirmed(DomainError):
    """The account's mail address was never confirmed."""

    code = "ADDRESS_UNCONFIRMED"
    status = 403


class SecondFactorNeeded(DomainError):
    """This account signs in with a one-time code as well."""

    code = "SECOND_FACTOR_NEEDED"
    status = 401
