"""The tables of members: people, organisations, memberships, public keys and access tokens.

No private key and no token is stored: a key's public half, and the SHA-256 of a token.
"""

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import get_language

from exchange.kernel import identifiers
from exchange.members.permissions import Role
from exchange.members.querysets import (
    ApiTokenQuerySet,
    MembershipQuerySet,
    OrganizationQuerySet,
    SigningKeyQuerySet,
)
from exchange.members.states import KeyPurpose, MerchantKind, OrganizationStatus


class User(AbstractUser):
    """A person. What a person may do follows from memberships; Django's own flags are not used."""

    ref = models.CharField(max_length=26, unique=True, default=identifiers.new_ulid, editable=False)
    display_name = models.CharField(max_length=100, blank=True, default="")

    def __str__(self) -> str:
        return self.display_name or self.username


class Organization(models.Model):
    """A member of the exchange, an applicant, or the exchange itself."""

    ref = models.CharField(max_length=26, unique=True, default=identifiers.new_ulid, editable=False)
    name_zh = models.CharField(max_length=200)
    name_en = models.CharField(max_length=200)
    uscc = models.CharField(max_length=18, help_text="Unified social credit code, GB 32100-2015.")
    kinds = ArrayField(models.CharField(max_length=16, choices=[(k.value, k.value) for k in MerchantKind]))
    status = models.CharField(
        max_length=16,
        choices=[(s.value, s.value) for s in OrganizationStatus],
        default=OrganizationStatus.APPLIED.value,
    )
    status_since = models.DateTimeField(default=timezone.now)
    status_reason = models.CharField(max_length=500, blank=True, default="")
    decided_by = models.ForeignKey("members.User", on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    # 经营情况: legal representative, founded, address, term, scope; asked at admission, seen by admission officers.
    business_status = models.JSONField(default=dict, blank=True)
    contact = models.JSONField(default=dict, blank=True)
    is_exchange = models.BooleanField(default=False)
    created = models.DateTimeField(default=timezone.now)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        ordering = ["name_zh", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_exchange"], condition=Q(is_exchange=True), name="organization_one_exchange"
            ),
            models.UniqueConstraint(
                fields=["uscc"],
                condition=~Q(status__in=[OrganizationStatus.WITHDRAWN.value, OrganizationStatus.REJECTED.value]),
                name="organization_uscc_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in OrganizationStatus]), name="organization_status_known"
            ),
            models.CheckConstraint(
                condition=Q(decided_at__isnull=True, decided_by__isnull=True)
                | Q(decided_at__isnull=False, decided_by__isnull=False),
                name="organization_decision_whole",
            ),
            models.CheckConstraint(
                condition=Q(uscc__regex=r"^[0-9A-HJ-NPQRTUWXY]{18}$"), name="organization_uscc_form"
            ),
        ]

    def __str__(self) -> str:
        return self.name_zh

    @property
    def urn(self) -> str:
        return identifiers.make_urn("org", self.ref)

    @property
    def name(self) -> str:
        """The name in the language of the request."""
        return self.name_zh if (get_language() or "zh").startswith("zh") else self.name_en

    @property
    def is_admitted(self) -> bool:
        return self.status == OrganizationStatus.ADMITTED


class Membership(models.Model):
    """A person acts for an organisation in one role; several roles are several memberships."""

    ref = models.CharField(max_length=26, unique=True, default=identifiers.new_ulid, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=32, choices=[(role.value, role.value) for role in Role])
    created = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "organization", "role"],
                condition=Q(ended_at__isnull=True),
                name="membership_once",
            ),
            models.CheckConstraint(condition=Q(role__in=[role.value for role in Role]), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.role} at {self.organization_id}"


class SigningKey(models.Model):
    """The public half of an organisation's key, and when it counted. One in force for each purpose."""

    ref = models.CharField(max_length=26, unique=True, default=identifiers.new_ulid, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="keys")
    purpose = models.CharField(max_length=16, choices=[(p.value, p.value) for p in KeyPurpose])
    value = models.CharField(max_length=128)
    valid_from = models.DateTimeField(default=timezone.now)
    valid_to = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=500, blank=True, default="")
    revocation = models.JSONField(null=True, help_text="The signed document that withdrew it.")
    card = models.JSONField(help_text="The signed key card that brought this key.")

    objects = SigningKeyQuerySet.as_manager()

    class Meta:
        ordering = ["purpose", "-valid_from", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["purpose", "value"], name="signing_key_never_twice"),
            models.UniqueConstraint(
                fields=["organization", "purpose"],
                condition=Q(valid_to__isnull=True, revoked_at__isnull=True),
                name="signing_key_one_in_force",
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gte=F("valid_from")), name="signing_key_interval"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} key {self.ref}"

    def is_valid(self) -> bool:
        """Whether the key counts at this moment."""
        now = timezone.now()
        return (
            self.valid_from <= now
            and (self.valid_to is None or self.valid_to > now)
            and (self.revoked_at is None or self.revoked_at > now)
        )


class ApiToken(models.Model):
    """A short-lived key to the API: only its SHA-256 is kept, so the table opens nothing."""

    digest = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, null=True, related_name="api_tokens")
    created = models.DateTimeField(default=timezone.now)
    expires = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(digest__regex=r"^[0-9a-f]{64}$"), name="api_token_is_a_digest"),
            models.CheckConstraint(condition=Q(expires__gt=F("created")), name="api_token_expires"),
        ]

    def __str__(self) -> str:
        return f"token of {self.user_id}"
