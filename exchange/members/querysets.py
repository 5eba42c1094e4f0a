"""Reads of this app's tables that more than one caller needs."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from exchange.members.states import KeyPurpose, OrganizationStatus

if TYPE_CHECKING:
    from exchange.members import models as tables


class OrganizationQuerySet(models.QuerySet["tables.Organization"]):
    """Organisations, and how they are locked."""

    def locked(self) -> "OrganizationQuerySet":
        """Rows held until the transaction ends; another decision waits."""
        return self.select_for_update(no_key=True)

    def admitted(self) -> "OrganizationQuerySet":
        """Members in good standing."""
        return self.filter(status=OrganizationStatus.ADMITTED.value)

    def awaiting_decision(self) -> "OrganizationQuerySet":
        """Applications on the admission desk, oldest first."""
        states = (OrganizationStatus.APPLIED, OrganizationStatus.IN_VERIFICATION, OrganizationStatus.MORE_INFO)
        return self.filter(status__in=[state.value for state in states]).order_by("created", "pk")

    def open(self) -> "OrganizationQuerySet":
        """Those that have not left and were not turned away: their credit codes are taken."""
        return self.exclude(status__in=[OrganizationStatus.WITHDRAWN.value, OrganizationStatus.REJECTED.value])


class SigningKeyQuerySet(models.QuerySet["tables.SigningKey"]):
    """Registered public keys."""

    def valid_at(self, moment: datetime) -> "SigningKeyQuerySet":
        """Keys whose interval holds the moment and that were not revoked before it."""
        return self.filter(
            Q(valid_to__isnull=True) | Q(valid_to__gt=moment),
            Q(revoked_at__isnull=True) | Q(revoked_at__gt=moment),
            valid_from__lte=moment,
        )

    def for_purpose(self, purpose: KeyPurpose) -> "SigningKeyQuerySet":
        return self.filter(purpose=purpose.value)

    def named(self, text: str) -> "SigningKeyQuerySet":
        """The key with this text; an address counts in capitals and without."""
        return self.filter(value__iexact=text) if text.startswith("0x") else self.filter(value=text)

    def current(self) -> "SigningKeyQuerySet":
        """Keys in force: the newest of each purpose, neither rotated out nor revoked."""
        return self.filter(valid_to__isnull=True, revoked_at__isnull=True)


class MembershipQuerySet(models.QuerySet["tables.Membership"]):
    """Memberships."""

    def of(self, user: "tables.User") -> "MembershipQuerySet":
        """A person's memberships in force, oldest first."""
        return self.filter(user=user, ended_at__isnull=True).select_related("organization", "user").order_by("pk")


class ApiTokenQuerySet(models.QuerySet["tables.ApiToken"]):
    """Access tokens."""

    def valid_at(self, moment: datetime) -> "ApiTokenQuerySet":
        return self.filter(expires__gt=moment, revoked_at__isnull=True)
