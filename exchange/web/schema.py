"""How the API describes itself: the token scheme, and names of operations that never collide."""

import re
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes


class MemberTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself, untyped
    """`Authorization: Token …`."""

    target_class = "exchange.web.authentication.MemberTokenAuthentication"
    name = "memberToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "Token issued by POST /api/v1/login/, sent as `Token <value>`",
        }


class NamedSchema(AutoSchema):
    """Operations are named by their address, which is unique; a view without a serializer speaks plain objects."""

    def get_operation_id(self) -> str:
        words = re.sub(r"[^a-z]+", "_", self.path.removeprefix("/api/").removeprefix("v1/").lower()).strip("_")
        return f"{words or 'root'}_{self.method.lower()}"

    def get_request_serializer(self) -> Any:
        return super().get_request_serializer() if self._has_serializer() else OpenApiTypes.OBJECT

    def get_response_serializers(self) -> Any:
        return super().get_response_serializers() if self._has_serializer() else OpenApiTypes.OBJECT

    def _has_serializer(self) -> bool:
        return hasattr(self.view, "get_serializer") or getattr(self.view, "serializer_class", None) is not None
