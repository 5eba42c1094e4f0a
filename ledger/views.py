"""The ledger's public pages and files. Nobody signs in to check the exchange."""

import hashlib
from http import HTTPStatus

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods

from exchange.kernel.errors import DomainError
from ledger import publication
from ledger.access import access_entry
from ledger.actions import key_histories, proofs
from ledger.errors import NotYetSealed
from ledger.forms import LogFilterForm, ReceiptForm
from ledger.kinds import EntryKind
from ledger.proofs import canonical, receipts

_FOR_EVER = "public, max-age=31536000, immutable"  # a tile never changes once it is published
_A_MINUTE = "public, max-age=60"  # the address of the log that grows shows another log after a freeze
_BRIEFLY = "public, max-age=1"  # a checkpoint is replaced at every seal


@require_GET
def log(request: HttpRequest) -> HttpResponse:
    """Show the log, newest first: template `ledger/log.html`.

    Context: `overview` (checkpoint, size, root, anchor, anchored_size, deployment), `page` (rows: leaves with
    `.index`, `.leaf_hash_hex`, `.entry`; `before`: index for the next page or None), `filter` (the form, with
    `subject` and `kind`), `kinds` (all kinds), `checkpoints` (the newest ten).
    """
    form = LogFilterForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    return render(
        request,
        "ledger/log.html",
        {
            "overview": publication.overview(),
            "page": publication.log_page(
                before=wanted.get("before"), subject=wanted.get("subject", ""), kind=wanted.get("kind", "")
            ),
            "filter": form,
            "kinds": list(EntryKind),
            "checkpoints": publication.recent_checkpoints(),
        },
    )


@require_GET
def entry(request: HttpRequest, ref: str) -> HttpResponse:
    """Show one entry and its proof: template `ledger/entry.html`.

    Context: `entry`, `leaf` (the stored leaf or None), `parts` (kind, entry, subject, issuer, prev, at, commit of
    the leaf, or None), `proof` (leaf text, index, path as hex, checkpoint note; None until sealed), `history`
    (entries about the same subject, in log order), `anchor` (the anchor that covers it, or None), `overview`.
    """
    try:
        found = access_entry(ref)
    except DomainError as refusal:
        raise Http404(refusal.message) from refusal
    leaf = getattr(found, "leaf", None)
    try:
        proof = proofs.inclusion_proof(found)
    except NotYetSealed:
        proof = None
    return render(
        request,
        "ledger/entry.html",
        {
            "entry": found,
            "leaf": leaf,
            "parts": leaf and publication.leaf_parts(leaf),
            "proof": proof,
            "history": publication.history(found),
            "anchor": publication.anchor_covering(found),
            "overview": publication.overview(),
        },
    )


@require_http_methods(["GET", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Judge a receipt bundle that a visitor brings: template `ledger/verify.html`.

    Context: `form` (one file field `receipt`), `checks` (None before a file is sent; else the answers: `.name_zh`,
    `.name_en`, `.status` PASS, FAIL or NOT_CHECKED, `.detail`, `.detail_zh`, `.code`, `.required`), `accepted`
    (None, True or False), `policy` (the trust policy used), `overview`.

    The page is ours, so a visitor who does not trust us runs `hengshu verify` instead; the page says so.
    """
    form = ReceiptForm(request.POST, request.FILES) if request.method == "POST" else ReceiptForm()
    policy = proofs.trust_policy()
    checks = receipts.verify(form.cleaned_data["receipt"], policy=policy) if form.is_valid() else None
    return render(
        request,
        "ledger/verify.html",
        {
            "form": form,
            "checks": checks,
            "accepted": None if checks is None else receipts.accepted(checks),
            "policy": policy,
            "overview": publication.overview(),
        },
    )


@require_GET
def checkpoint(_: HttpRequest, number: int | None = None) -> HttpResponse:
    """Serve a log's newest signed checkpoint with its cosignatures (C2SP tlog-tiles `/checkpoint`)."""
    try:
        note = publication.checkpoint_note(number)
    except NotYetSealed as refusal:
        raise Http404(refusal.message) from refusal
    return _file(note.encode(), content_type="text/plain; charset=utf-8", cache=_BRIEFLY)


@require_GET
def tile(_: HttpRequest, level: str | int, path: str, number: int | None = None) -> HttpResponse:
    """Serve one tile of hashes (C2SP tlog-tiles)."""
    try:
        data = publication.tile(int(level), path, number=number)
    except DomainError as refusal:
        raise Http404(refusal.message) from refusal
    return _file(data, content_type="application/octet-stream", cache=_A_MINUTE if number is None else _FOR_EVER)


@require_GET
def entry_bundle(_: HttpRequest, path: str, number: int | None = None) -> HttpResponse:
    """Serve the leaves under one tile (C2SP tlog-tiles)."""
    try:
        data = publication.entry_bundle(path, number=number)
    except DomainError as refusal:
        raise Http404(refusal.message) from refusal
    return _file(data, content_type="application/octet-stream", cache=_A_MINUTE if number is None else _FOR_EVER)


@require_GET
def proof(_: HttpRequest, ref: str) -> HttpResponse:
    """Serve one entry's leaf, place and checkpoint as JSON; what its commitment opens to is not public."""
    try:
        found = proofs.inclusion_proof(access_entry(ref))
    except NotYetSealed as refusal:
        return JsonResponse({"code": refusal.code, "detail": refusal.message}, status=HTTPStatus.CONFLICT)
    except DomainError as refusal:
        raise Http404(refusal.message) from refusal
    return _file(canonical.encode(found), content_type="application/json", cache=_BRIEFLY)


@require_GET
def proof_file(_: HttpRequest, ref: str) -> HttpResponse:
    """Serve one entry's proof as a C2SP tlog-proof file, for stock tools."""
    try:
        text = publication.entry_proof_file(access_entry(ref))
    except NotYetSealed as refusal:
        return JsonResponse({"code": refusal.code, "detail": refusal.message}, status=HTTPStatus.CONFLICT)
    except DomainError as refusal:
        raise Http404(refusal.message) from refusal
    return _file(text.encode(), content_type="text/plain; charset=utf-8", cache=_BRIEFLY)


@require_GET
def bundle(_: HttpRequest, ref: str) -> HttpResponse:
    """Serve one entry's leaf, place, checkpoint and anchor; for ever the same once all of it is final."""
    try:
        document, is_final = publication.entry_document(access_entry(ref))
    except NotYetSealed as refusal:
        return JsonResponse({"code": refusal.code, "detail": refusal.message}, status=HTTPStatus.CONFLICT)
    except DomainError as refusal:
        raise Http404(refusal.message) from refusal
    cache = _FOR_EVER if is_final else _BRIEFLY
    return _file(canonical.canonicalize(document), content_type="application/json", cache=cache)


@require_GET
def tlog_policy(_: HttpRequest) -> HttpResponse:
    """Serve our logs, witnesses and quorum as a C2SP tlog-policy file: `/.well-known/tlog-policy`."""
    text = publication.tlog_policy_file()
    return _file(text.encode(), content_type="text/plain; charset=utf-8", cache=_A_MINUTE)


@require_GET
def policy(_: HttpRequest) -> HttpResponse:
    """Serve the trust policy: `/.well-known/hengshu-policy.json`."""
    data = canonical.encode(proofs.trust_policy().document())
    return _file(data, content_type="application/json", cache=_A_MINUTE)


@require_GET
def key_history(_: HttpRequest) -> HttpResponse:
    """Serve what proves a changed trust policy: `/.well-known/hengshu-key-history.json`."""
    data = canonical.encode(key_histories.history())
    return _file(data, content_type="application/json", cache=_A_MINUTE)


def _file(data: bytes, *, content_type: str, cache: str) -> HttpResponse:
    # Anybody's page may read the evidence: it is public, and no cookie is asked for.
    headers = {
        "Cache-Control": cache,
        "Access-Control-Allow-Origin": "*",
        "ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"',
    }
    return HttpResponse(data, content_type=content_type, headers=headers)
