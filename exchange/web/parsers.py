"""One strict reader for every JSON body: what is ambiguous is refused, not guessed."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import APIException
from rest_framework.parsers import BaseParser

from exchange.kernel.errors import InvalidInput
from ledger.proofs import canonical
from ledger.proofs.errors import VerificationError

MAX_BODY_BYTES = 8 * 1024 * 1024  # a sealed part of 4 MiB in base64, its report and envelope


class BodyTooLarge(APIException):
    """The body is larger than any request of this API needs."""

    status_code = 413
    default_detail = "The request body is too large."
    default_code = "too_large"


class BodyNotObject(InvalidInput):
    """The body is JSON, but no object."""

    code = "BODY_NOT_OBJECT"


class StrictJSONParser(BaseParser):
    """Reads UTF-8 JSON objects without duplicate names, floats, NaN or large integers; empty means {}.

    Texts with U+0000 or half a surrogate pair are refused here: no database column could hold them.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        data = stream.read(MAX_BODY_BYTES + 1)
        if len(data) > MAX_BODY_BYTES:
            raise BodyTooLarge
        value = canonical.parse(data, max_bytes=MAX_BODY_BYTES) if data.strip() else {}
        if not isinstance(value, dict):
            raise BodyNotObject("The body must be a JSON object.")
        if b"\\u" in data:  # neither can be written without an escape
            _check_texts(value)
        return value


def _check_texts(value: Any) -> None:
    if isinstance(value, str) and ("\x00" in value or any("\ud800" <= character <= "\udfff" for character in value)):
        raise VerificationError("JSON_INVALID", "a text holds U+0000 or half a surrogate pair")
    if isinstance(value, dict):
        for name, item in value.items():
            _check_texts(name)
            _check_texts(item)
    if isinstance(value, list):
        for item in value:
            _check_texts(item)
