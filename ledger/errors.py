"""What the ledger turns down, and why."""

from exchange.kernel.errors import DomainError, InvalidInput, NotFound


class NotInTransaction(DomainError):
    """A fact was to be recorded outside the transaction of its change: a mistake in our own code."""

    code = "LEDGER_NOT_IN_TRANSACTION"
    status = 500


class KeyReused(DomainError):
    """The business key already names another fact."""

    code = "LEDGER_KEY_REUSED"


class PayloadInvalid(InvalidInput):
    """The payload has no canonical form, or is too large."""

    code = "LEDGER_PAYLOAD_INVALID"


class EntryNotFound(NotFound):
    """No entry by that reference."""

    code = "LEDGER_ENTRY_NOT_FOUND"


class NotYetSealed(DomainError):
    """The entry waits for the next checkpoint; a second later it is there."""

    code = "NOT_YET_SEALED"


class DisclosureErased(DomainError):
    """The payload was erased; the entry's place in the log stays provable without it."""

    code = "LEDGER_DISCLOSURE_ERASED"
    status = 410


class DisclosureNeeded(DomainError):
    """The payload says which key counted when, and is kept for as long as the log is."""

    code = "LEDGER_DISCLOSURE_NEEDED"


class LogBehindSignedCheckpoint(DomainError):
    """The database holds less than, or something else than, what was signed: restored from a backup, or edited.

    Signing on would show the world two histories, so nothing is signed until people have looked.
    """

    code = "LOG_BEHIND_SIGNED_CHECKPOINT"
    status = 503


class SignedCheckpointMissing(DomainError):
    """The file that remembers the last signed checkpoint is gone, though checkpoints were signed."""

    code = "LOG_SIGNED_CHECKPOINT_MISSING"
    status = 503


class LogKeyDiffers(DomainError):
    """The log's key file holds another key than the one the open log was opened with or last rotated to."""

    code = "LOG_KEY_DIFFERS"
    status = 503


class LogNotRotatable(DomainError):
    """The key or the name offered for the log cannot take its place."""

    code = "LOG_NOT_ROTATABLE"


class ChainLagsBehind(DomainError):
    """The contract does not hold the old log's last root yet, or did not take the call in time."""

    code = "CHAIN_LAGS_BEHIND"
    status = 503


class ChainDownTooLong(DomainError):
    """The chain was last seen longer ago than CHAIN_DOWN_LIMIT_SECONDS; nothing new is authorized until it is back."""

    code = "CHAIN_DOWN_TOO_LONG"
    status = 503
