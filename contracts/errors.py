"""What the contracts app turns down, and why. Codes never change."""

from exchange.kernel.errors import DomainError, InvalidInput, NotFound, PermissionRefused


class ContractNotFound(NotFound):
    """No contract by that reference that the asker may know of."""

    code = "CONTRACT_NOT_FOUND"


class PartyKeysMissing(DomainError):
    """A party has no valid document, chain and sealing key registered."""

    code = "PARTY_KEYS_MISSING"


class ProductNotOffered(DomainError):
    """A product is not listed with a valid certificate and a committed data set."""

    code = "PRODUCT_NOT_OFFERED"


class TermsChanged(InvalidInput):
    """The signed document is not the one that was proposed."""

    code = "TERMS_CHANGED"


class SignerNotParty(PermissionRefused):
    """The document is not signed by a valid registered key of a party."""

    code = "SIGNER_NOT_PARTY"


class SignatureRefused(InvalidInput):
    """A signature does not hold, or is missing."""

    code = "SIGNATURE_REFUSED"


class NotSignable(DomainError):
    """The contract is not open for signatures."""

    code = "CONTRACT_NOT_SIGNABLE"


class GrantInvalid(InvalidInput):
    """The grant does not say what the terms say, or was made for another chain."""

    code = "GRANT_INVALID"


class ChainUnavailable(DomainError):
    """No ledger contract is deployed that a grant could stand on."""

    code = "CHAIN_UNAVAILABLE"
    status = 503


class RevocationInvalid(InvalidInput):
    """The revocation does not belong to this contract, or is older than the last one."""

    code = "REVOCATION_INVALID"


class NotFundable(DomainError):
    """The contract takes no deposit in its present state."""

    code = "CONTRACT_NOT_FUNDABLE"


class BankLineUsed(DomainError):
    """The reference of the bank line was confirmed before, for another contract or amount."""

    code = "BANK_LINE_USED"


class UsageRefused(DomainError):
    """The contract does not allow this use now."""

    code = "USAGE_REFUSED"


class ContractNotEffective(UsageRefused):
    """The contract is not in force."""

    code = "CONTRACT_NOT_EFFECTIVE"


class ContractRevoked(UsageRefused):
    """A provider has revoked the contract."""

    code = "CONTRACT_REVOKED"


class PurposeNotAllowed(UsageRefused):
    """The purpose is not the contract's."""

    code = "PURPOSE_NOT_ALLOWED"


class OperationNotAllowed(UsageRefused):
    """The operation is not the contract's."""

    code = "OPERATION_NOT_ALLOWED"


class ColumnNotGranted(UsageRefused):
    """A column is not among the contract's."""

    code = "COLUMN_NOT_GRANTED"


class MeterExhausted(UsageRefused):
    """The contract has less quota left than asked for."""

    code = "QUOTA_EXHAUSTED"


class DailyQuotaExhausted(UsageRefused):
    """Today's quota is used up."""

    code = "DAILY_QUOTA_EXHAUSTED"


class RateExceeded(UsageRefused):
    """More runs within a minute than the contract allows."""

    code = "RATE_EXCEEDED"
    status = 429


class EscrowTooLow(UsageRefused):
    """The escrow does not cover the price."""

    code = "ESCROW_TOO_LOW"


class SubjectReused(DomainError):
    """The subject already names another reservation."""

    code = "RESERVATION_SUBJECT_REUSED"


class ReservationUnknown(NotFound):
    """Nothing is reserved under that subject."""

    code = "RESERVATION_UNKNOWN"


class ReservationResolved(DomainError):
    """The reservation was committed, released or expired before; it is resolved once."""

    code = "RESERVATION_RESOLVED"


class ReportsMissing(InvalidInput):
    """A charge rests on the digests of signed reports; none were given."""

    code = "REPORTS_MISSING"


class AccountWouldGoNegative(DomainError):
    """A transfer would take more from a rule-bound account than it holds."""

    code = "BALANCE_TOO_LOW"


class PeriodInvalid(InvalidInput):
    """Not a period of a statement."""

    code = "PERIOD_INVALID"


class MoneyWrong(DomainError):
    """The books do not add up; nothing may be settled until people have looked."""

    code = "MONEY_WRONG"
    status = 500


class LeasePending(UsageRefused):
    """The units asked for do not stand in the chain's total yet."""

    code = "LEASE_PENDING"
    status = 503


class LeaseRefused(UsageRefused):
    """The ledger contract does not take the total that would include these units."""

    code = "LEASE_REFUSED"
