"""Reads of this app's tables that more than one caller needs."""

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q

from contracts.states import ContractState, ReservationState

if TYPE_CHECKING:
    from contracts import models as tables
    from exchange.members.models import Organization


class ContractQuerySet(models.QuerySet["tables.Contract"]):
    """Contracts, and how they are locked."""

    def locked(self) -> "ContractQuerySet":
        """Rows held until the transaction ends; another worker waits."""
        return self.select_for_update(no_key=True, of=("self",))

    def locked_if_free(self) -> "ContractQuerySet":
        """Rows held until the transaction ends; those another worker holds are left to it."""
        return self.select_for_update(no_key=True, skip_locked=True, of=("self",))

    def in_states(self, states: Collection[ContractState]) -> "ContractQuerySet":
        return self.filter(state__in=[state.value for state in states])

    def of(self, organization: "Organization") -> "ContractQuerySet":
        """Those an organisation is a party of."""
        return self.filter(parties__organization=organization).distinct()

    def by_ref(self, ref: str) -> "tables.Contract | None":
        """The contract of a reference or number, or None."""
        return self.filter(Q(ref=ref) | Q(number=ref)).select_related("buyer").first()


class MeterQuerySet(models.QuerySet["tables.Meter"]):
    """Meters: every change is one conditional UPDATE, so no two callers can take the same unit."""

    def take(self, units: int) -> bool:
        """Set units aside on these rows where they are left; the row stays locked until the transaction ends."""
        return (
            self.filter(limit__gte=F("reserved") + F("committed") + units).update(reserved=F("reserved") + units) == 1
        )

    def commit(self, reserved: int, used: int) -> bool:
        """Turn reserved units into used ones; what was reserved beyond them is free again."""
        return (
            self.filter(reserved__gte=reserved).update(
                reserved=F("reserved") - reserved, committed=F("committed") + used
            )
            == 1
        )

    def give_back(self, units: int) -> bool:
        """Free reserved units."""
        return self.filter(reserved__gte=units).update(reserved=F("reserved") - units) == 1


class MeterDayQuerySet(models.QuerySet["tables.MeterDay"]):
    """The daily meters, changed like the meters themselves."""

    def take(self, units: int) -> bool:
        return self.filter(limit__gte=F("used") + units).update(used=F("used") + units) == 1

    def give_back(self, units: int) -> bool:
        return self.filter(used__gte=units).update(used=F("used") - units) == 1


class ReservationQuerySet(models.QuerySet["tables.Reservation"]):
    """Reservations."""

    def locked(self) -> "ReservationQuerySet":
        return self.select_for_update(no_key=True, of=("self",))

    def pending(self) -> "ReservationQuerySet":
        return self.filter(state=ReservationState.PENDING.value)

    def overdue(self, now: datetime) -> "ReservationQuerySet":
        return self.pending().filter(expires_at__lte=now)


class LeaseQuerySet(models.QuerySet["tables.Lease"]):
    """Leases: serving is one conditional UPDATE, so that no two callers get the same unit."""

    def locked(self) -> "LeaseQuerySet":
        return self.select_for_update(no_key=True, of=("self",))

    def open_for_calls(self, contract: "tables.Contract", now: datetime) -> "LeaseQuerySet":
        """The leases that serve, or will serve, this contract's calls."""
        return self.filter(
            reservation__meter__contract=contract,
            reservation__state=ReservationState.PENDING.value,
            reservation__expires_at__gt=now,
            serves_calls=True,
            closed_at=None,
        )

    def serve(self, units: int) -> bool:
        """Count units as used on this row, where the chain has confirmed them and they are left."""
        ready = self.filter(confirmed_at__isnull=False, closed_at=None, units__gte=F("served") + units)
        return ready.update(served=F("served") + units) == 1


class AccountQuerySet(models.QuerySet["tables.Account"]):
    """Accounts."""

    def locked(self) -> "AccountQuerySet":
        """Rows held until the transaction ends, always in the same order, so that transfers cannot deadlock."""
        return self.select_for_update(no_key=True).order_by("pk")

    def balance_of(self, contract: "tables.Contract", kind: str) -> int:
        """The balance of a contract's account in fen; 0 before the first posting."""
        found = self.filter(contract=contract, kind=kind).values_list("balance_fen", flat=True).first()
        return found or 0
