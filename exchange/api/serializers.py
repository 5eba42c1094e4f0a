"""What members send and read about themselves."""

from typing import Any

from rest_framework import serializers

from exchange.members.models import Membership, Organization, SigningKey
from exchange.web.serializers import StrictSerializer


class KeySerializer(serializers.ModelSerializer[SigningKey]):
    """A public key and when it counted."""

    class Meta:
        model = SigningKey
        fields = ["ref", "purpose", "value", "valid_from", "valid_to", "revoked_at"]
        read_only_fields = fields


class OrganizationSerializer(serializers.ModelSerializer[Organization]):
    """What everybody may know of a member."""

    keys = KeySerializer(many=True, read_only=True)

    class Meta:
        model = Organization
        fields = ["ref", "urn", "name_zh", "name_en", "uscc", "kinds", "status", "status_since", "is_exchange", "keys"]
        read_only_fields = fields


class OrganizationFileSerializer(OrganizationSerializer):
    """The same with the admission file, for its own people and the admission desk."""

    class Meta(OrganizationSerializer.Meta):
        fields = [*OrganizationSerializer.Meta.fields, "status_reason", "business_status", "contact"]
        read_only_fields = fields


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    """One of a person's memberships."""

    organization = OrganizationSerializer(read_only=True)

    class Meta:
        model = Membership
        fields = ["ref", "role", "organization"]
        read_only_fields = fields


class LoginSerializer(StrictSerializer[Any]):
    """What signing in needs."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=200, trim_whitespace=False, write_only=True)
    code = serializers.CharField(max_length=32, required=False, default=None, allow_null=True)
    membership = serializers.CharField(max_length=26, required=False, default=None, allow_null=True)


class TokenSerializer(serializers.Serializer[Any]):
    """A fresh token; it is shown once."""

    token = serializers.CharField()
    expires = serializers.DateTimeField()
    organization = OrganizationSerializer(allow_null=True)
    membership = serializers.CharField(allow_null=True)
    roles = serializers.ListField(child=serializers.CharField())


class MeSerializer(serializers.Serializer[Any]):
    """Who is signed in, and for whom they may act."""

    username = serializers.CharField()
    display_name = serializers.CharField()
    organization = OrganizationSerializer(allow_null=True)
    roles = serializers.ListField(child=serializers.CharField())
    memberships = MembershipSerializer(many=True)


class ApplicationSerializer(StrictSerializer[Any]):
    """An application for admission."""

    name_zh = serializers.CharField(max_length=200)
    name_en = serializers.CharField(max_length=200)
    uscc = serializers.CharField(max_length=18)
    kinds = serializers.ListField(child=serializers.CharField(max_length=16), min_length=1, max_length=7)
    card = serializers.DictField(required=False, default=None, allow_null=True)
    business_status = serializers.DictField(required=False, default=dict)
    contact = serializers.DictField(required=False, default=dict)


class CardSerializer(StrictSerializer[Any]):
    """A signed key card as `hengshu keys show --json` writes it, or a rotation as `hengshu keys rotate` does."""

    card = serializers.DictField()


class VoidSerializer(StrictSerializer[Any]):
    """The same withdrawal for the chain: EIP-712 `Void` of the key's digest, by the organisation's chain key."""

    signer = serializers.RegexField(r"^0x[0-9a-fA-F]{40}\Z")
    digest = serializers.RegexField(r"^[0-9a-f]{64}\Z")
    signature = serializers.RegexField(r"^0x[0-9a-f]{130}\Z")


class KeyRevocationSerializer(StrictSerializer[Any]):
    """A signed revocation of keys, as `hengshu keys revoke` writes it."""

    document = serializers.DictField()
    voids = VoidSerializer(many=True, required=False, default=list)


class ReasonSerializer(StrictSerializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class ErrorRowSerializer(serializers.Serializer[Any]):
    """One code of the error table."""

    code = serializers.CharField()
    status = serializers.IntegerField()
    zh = serializers.CharField()
    en = serializers.CharField()


class RootSerializer(serializers.Serializer[Any]):
    """Where to go from here."""

    name = serializers.CharField()
    version = serializers.CharField()
    schema = serializers.CharField()
    docs = serializers.CharField()
    errors = serializers.CharField()  # type: ignore[assignment]  # a member of ours, not DRF's property
    trust_policy = serializers.CharField()
