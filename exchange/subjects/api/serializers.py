"""How objections look in the API, and how requests to it are read."""

import base64
import binascii
from typing import Any

from rest_framework import serializers

from compute.protocol import notices, objections
from exchange.subjects.models import Objection
from exchange.web.serializers import StrictSerializer

MAX_BASE64 = 4 * ((max(objections.SEALED_SIZES) + 2) // 3)


class TokenField(serializers.CharField):
    """An objection token, 32 hex digits, as its 16 bytes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=2 * notices.TOKEN_BYTES, **options)

    def to_internal_value(self, data: Any) -> Any:
        return notices.parse_token(data)


class SealedField(serializers.CharField):
    """Sealed bytes in base64."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_BASE64, **options)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return base64.b64decode(super().to_internal_value(data), validate=True)
        except (binascii.Error, ValueError):
            raise serializers.ValidationError("must be base64") from None


class FileSerializer(StrictSerializer[dict[str, Any]]):
    """A person's sealed objection to one provider of a run."""

    token = TokenField(help_text="The objection token of an opened notice, 32 hex digits.")
    organization = serializers.RegexField(
        r"^urn:hengshu:org:[0-9A-HJKMNP-TV-Z]{26}\Z", help_text="URN of the provider that is objected to."
    )
    sealed = SealedField(help_text="The objection, sealed to that provider's key; base64.")


class StatusSerializer(StrictSerializer[dict[str, Any]]):
    """Which objections are asked about: those filed with one token."""

    token = TokenField(help_text="The objection token of an opened notice, 32 hex digits.")


class ObjectionSerializer(serializers.ModelSerializer[Objection]):
    """An objection as its author sees it; the answer is sealed to the author's card."""

    urn = serializers.CharField(read_only=True)
    organization = serializers.CharField(source="organization.urn", read_only=True)
    last_day = serializers.CharField(read_only=True)
    is_overdue = serializers.BooleanField(read_only=True)
    sealed_answer = serializers.SerializerMethodField()

    class Meta:
        model = Objection
        fields = (
            "urn",
            "organization",
            "state",
            "filed_at",
            "last_day",
            "is_overdue",
            "marked_at",
            "answered_at",
            "outcome",
            "sealed_answer",
        )

    def get_sealed_answer(self, found: Objection) -> str | None:
        return None if found.sealed_answer is None else base64.b64encode(found.sealed_answer).decode()
