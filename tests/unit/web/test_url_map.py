"""Every address of the API: closed to visitors unless it stands on the list, and every POST may be repeated."""

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

# What visitors may ask, by method; everything else answers 401.
PUBLIC = {
    ("RootView", "get"),
    ("ErrorsView", "get"),
    ("ReadyView", "get"),
    ("LoginView", "post"),
    ("OrganizationView", "get"),
    ("ProductsView", "get"),
    ("ProductView", "get"),
    ("CertificateView", "get"),
    ("NoticesView", "get"),  # sealed to persons who sign in nowhere
    ("NoticePieceView", "get"),
    ("NodeView", "post"),  # its signature is the credential
    ("ObjectionNodeView", "post"),  # the same
    ("ObjectionsView", "post"),  # a notice's token is the credential, of persons without an account
    ("ObjectionStatusView", "post"),
    ("KeyRevocationsView", "post"),  # so is that of a withdrawn key, which may be all that its owner has left
    ("TraceView", "get"),  # strangers see what the public log shows
    ("LogView", "get"),
    ("EntriesView", "get"),
    ("EntryView", "get"),
    ("ProofView", "get"),
    ("ConsistencyView", "get"),
    ("SpectacularAPIView", "get"),
    ("SpectacularSwaggerSplitView", "get"),
}
# A token is new each time by design; withdrawing it or a key, and a node's messages, are idempotent in themselves.
# So is an objection, by its token and provider; asking for its state is a read.
REPEATABLE = {
    "LoginView", "LogoutView", "NodeView", "KeyRevocationsView", "ObjectionNodeView", "ObjectionsView",
    "ObjectionStatusView",
}  # fmt: skip


def api_views():
    found = []

    def walk(patterns):
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                walk(pattern.url_patterns)
            elif isinstance(pattern, URLPattern) and hasattr(pattern.callback, "cls"):
                found.append(pattern.callback)

    walk(get_resolver().url_patterns)
    return [view for view in found if issubclass(view.cls, APIView)]


def cases():
    return sorted(
        {
            (view.cls.__name__, method): (view, method)
            for view in api_views()
            for method in ("get", "post", "put", "patch", "delete")
            if hasattr(view.cls, method)
        }.items(),
        key=lambda item: item[0],
    )


def test_the_public_list_names_only_what_exists():
    assert {name for name, _ in cases()} >= PUBLIC


@pytest.mark.django_db
def test_every_other_address_is_closed_to_visitors():
    for name, (view, method) in cases():
        if name in PUBLIC:
            continue
        request = getattr(APIRequestFactory(), method)("/api/v1/", format="json")
        response = view(request, ref="01JD0000000000000000000000", verb="submit", number="DPC-1")
        assert (name, response.status_code) == (name, 401)


def test_every_post_honours_the_idempotency_key():
    forgetful = {
        name for name, (view, _) in cases() if name[1] == "post" and name[0] not in REPEATABLE
        and not getattr(view.cls.post, "is_idempotent", False)
    }  # fmt: skip

    assert forgetful == set()
