"""What reads requests: members that nobody asked for are refused, never dropped in silence.

A misspelt `min_cel` that is ignored would make a contract with the default; a `state` that is ignored today may be
written tomorrow by somebody who adds the field.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db.models import Model
from rest_framework import serializers

T = TypeVar("T")
M = TypeVar("M", bound=Model)


def check_members(data: Any, fields: Mapping[str, serializers.Field[Any, Any, Any, Any]]) -> None:
    """Raise ValidationError when an object has a member that cannot be written; the members are not quoted."""
    known = [name for name, field in fields.items() if not field.read_only]
    if isinstance(data, Mapping) and not set(data) <= set(known):
        sentence = f"has a member that is not known here; known are {', '.join(known)}"
        raise serializers.ValidationError({"non_field_errors": [sentence]})


class StrictSerializer(serializers.Serializer[T]):
    """A serializer that refuses unknown members."""

    def to_internal_value(self, data: Any) -> Any:
        check_members(data, self.fields)
        return super().to_internal_value(data)


class StrictModelSerializer(serializers.ModelSerializer[M]):
    """A model serializer that refuses unknown members and those it only shows."""

    def to_internal_value(self, data: Any) -> Any:
        check_members(data, self.fields)
        return super().to_internal_value(data)
