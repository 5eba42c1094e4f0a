"""How often somebody may try to sign in: per user name and address, and per address for all names together.

By name alone anybody could lock a member out; by address alone a whole office would share one limit, and many
addresses one password. Names are hashed before they become keys of the cache.
"""

import hashlib
from collections.abc import Mapping

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView


class LoginThrottle(SimpleRateThrottle):
    """One user name from one address."""

    scope = "login"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        name = request.data.get("username") if isinstance(request.data, Mapping) else ""
        text = f"{self.get_ident(request)}\n{str(name).strip().casefold()}"
        ident = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        return str(self.cache_format % {"scope": self.scope, "ident": ident})


class LoginAddressThrottle(SimpleRateThrottle):
    """Any user names from one address: a list of names with one password each."""

    scope = "login_address"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        ident = hashlib.sha256(str(self.get_ident(request)).encode("utf-8", "replace")).hexdigest()
        return str(self.cache_format % {"scope": self.scope, "ident": ident})
