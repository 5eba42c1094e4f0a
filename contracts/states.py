"""The states of a contract, a reservation and a grant, as tables; docs/states is drawn from them."""

from enum import StrEnum

from exchange.kernel.states import Owner, Transitions


class ContractState(StrEnum):
    """Where a contract stands; the value is what the API shows."""

    DRAFT = "draft"
    PROPOSED = "proposed"
    SIGNING = "signing"
    SIGNED = "signed"
    FUNDED = "funded"
    EFFECTIVE = "effective"
    SUSPENDED = "suspended"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    TERMINATED = "terminated"
    REVOKED = "revoked"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


class ReservationState(StrEnum):
    """A reservation is resolved at most once."""

    PENDING = "pending"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


class GrantState(StrEnum):
    """A provider's grant on its way to the chain and back."""

    PENDING = "pending"
    ACTIVE = "active"
    REVOKED = "revoked"


_C = ContractState
# A signed contract may always be ended by its term or by a provider's revocation.
_ENDINGS = frozenset({_C.EXPIRED, _C.TERMINATED, _C.REVOKED})

CONTRACT: Transitions[ContractState] = Transitions(
    {
        _C.DRAFT: frozenset({_C.PROPOSED, _C.WITHDRAWN}),
        _C.PROPOSED: frozenset({_C.SIGNING, _C.WITHDRAWN}),
        _C.SIGNING: frozenset({_C.SIGNED, _C.WITHDRAWN, _C.EXPIRED, _C.REVOKED}),
        _C.SIGNED: _ENDINGS | {_C.FUNDED},
        _C.FUNDED: _ENDINGS | {_C.EFFECTIVE},
        _C.EFFECTIVE: _ENDINGS | {_C.SUSPENDED, _C.EXHAUSTED},
        _C.SUSPENDED: _ENDINGS | {_C.EFFECTIVE},
        _C.EXHAUSTED: frozenset({_C.CLOSED}),
        _C.EXPIRED: frozenset({_C.CLOSED}),
        _C.TERMINATED: frozenset({_C.CLOSED}),
        _C.REVOKED: frozenset({_C.CLOSED}),
        _C.CLOSED: frozenset(),
        _C.WITHDRAWN: frozenset(),
    },
    owners={
        _C.DRAFT: Owner.BUYER,
        _C.PROPOSED: Owner.PARTIES,
        _C.SIGNING: Owner.PARTIES,
        _C.SIGNED: Owner.BUYER,
        _C.FUNDED: Owner.PROVIDER,
        _C.EFFECTIVE: Owner.SYSTEM,
        _C.SUSPENDED: Owner.STAFF,
        _C.EXHAUSTED: Owner.SYSTEM,
        _C.EXPIRED: Owner.SYSTEM,
        _C.TERMINATED: Owner.SYSTEM,
        _C.REVOKED: Owner.SYSTEM,
        _C.CLOSED: Owner.NOBODY,
        _C.WITHDRAWN: Owner.NOBODY,
    },
)

_R = ReservationState
RESERVATION: Transitions[ReservationState] = Transitions(
    {
        _R.PENDING: frozenset({_R.COMMITTED, _R.RELEASED, _R.EXPIRED}),
        _R.COMMITTED: frozenset(),
        _R.RELEASED: frozenset(),
        _R.EXPIRED: frozenset(),
    },
    owners={
        _R.PENDING: Owner.SYSTEM,
        _R.COMMITTED: Owner.NOBODY,
        _R.RELEASED: Owner.NOBODY,
        _R.EXPIRED: Owner.NOBODY,
    },
)

_G = GrantState
GRANT: Transitions[GrantState] = Transitions(
    {
        _G.PENDING: frozenset({_G.ACTIVE, _G.REVOKED}),
        _G.ACTIVE: frozenset({_G.PENDING, _G.REVOKED}),  # a reorganised chain may take a confirmation back
        _G.REVOKED: frozenset(),
    },
    owners={_G.PENDING: Owner.SYSTEM, _G.ACTIVE: Owner.PROVIDER, _G.REVOKED: Owner.NOBODY},
)

SIGNABLE = frozenset({_C.PROPOSED, _C.SIGNING})
FUNDABLE = frozenset({_C.SIGNED, _C.FUNDED, _C.EFFECTIVE, _C.SUSPENDED})
REVOCABLE = CONTRACT.sources(_C.REVOKED)
ENDED = frozenset({_C.EXHAUSTED, _C.EXPIRED, _C.TERMINATED, _C.REVOKED})
