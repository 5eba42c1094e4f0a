"""What the log shows to everyone: files, pages and API; nobody signs in, and no payload is shown."""

import base64
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from ledger import actions as ledger
from ledger.proofs import checkpoints, merkle, policies, tiles
from tests.factories.ledger import SUBJECT, record
from tests.factories.receipts import Purchase

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.unit.ledger.urlconf")]


@pytest.fixture
def sealed():
    entries = record(259)
    return entries, ledger.seal()


def test_checkpoint_and_tiles_are_enough_to_rebuild_the_root(client, sealed):
    """An outsider's walk: read the checkpoint, fetch tiles and entries, compute the root himself."""
    read = checkpoints.parse(client.get("/ledger/checkpoint").content)
    full, rest = client.get("/ledger/tile/0/000"), client.get("/ledger/tile/0/001.p/3")
    top = client.get("/ledger/tile/1/000.p/1")
    bundles = client.get("/ledger/tile/entries/000").content + client.get("/ledger/tile/entries/001.p/3").content

    hashes = tiles.split(full.content + rest.content)
    assert (read.size, read.root) == (259, merkle.root(hashes))
    assert top.content == merkle.root(hashes[:256])
    found = []
    while bundles:
        length = int.from_bytes(bundles[:2], "big")
        found.append(merkle.leaf_hash(bundles[2 : 2 + length]))
        bundles = bundles[2 + length :]
    assert found == hashes
    assert "immutable" not in full["Cache-Control"]  # after a freeze another log stands there
    forever = client.get("/ledger/logs/1/tile/0/000")
    assert forever.content == full.content
    assert "immutable" in forever["Cache-Control"]
    assert client.get("/ledger/logs/1/checkpoint").content == client.get("/ledger/checkpoint").content


@pytest.mark.parametrize(
    "address",
    ["tile/0/001", "tile/0/001.p/4", "tile/0/002.p/1", "tile/1/000", "tile/9/000", "tile/0/00", "tile/0/x000/000",
     "tile/entries/001",
     "logs/1/tile/0/001", "logs/2/checkpoint", "logs/2/tile/0/000", "logs/1/tile/0/x",
     "proof/01JD0000000000000000000000", "entries/nothing/"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(client, sealed, address):
    assert client.get(f"/ledger/{address}", follow=True).status_code == 404


def test_nothing_is_published_before_the_first_checkpoint(client):
    record(1)

    assert client.get("/ledger/checkpoint").status_code == 404
    assert client.get("/ledger/tile/0/000.p/1").status_code == 404


def test_a_proof_places_the_leaf_and_shows_no_payload(client, sealed):
    entries, checkpoint = sealed

    proof = client.get(f"/ledger/proof/{entries[7].ref}").json()

    assert set(proof) == {"leaf", "index", "path", "checkpoint"}
    merkle.verify_inclusion(
        index=proof["index"], size=259, root=bytes.fromhex(checkpoint.root),
        leaf_hash=merkle.leaf_hash(proof["leaf"].encode()), path=[bytes.fromhex(step) for step in proof["path"]],
    )  # fmt: skip
    waiting = record(1)[0]
    refused = client.get(f"/ledger/proof/{waiting.ref}")
    assert (refused.status_code, refused.json()["code"]) == (409, "NOT_YET_SEALED")


def test_the_trust_policy_is_served_and_readable(client):
    answer = client.get("/.well-known/hengshu-policy.json")

    assert policies.parse(answer.content) == ledger.trust_policy()


def test_api_lists_proves_and_joins(client, sealed):
    entries, _ = sealed
    waiting = record(1, subject=SUBJECT[:-1] + "7")[0]

    overview = client.get("/api/v1/ledger/").json()
    listed = client.get("/api/v1/ledger/entries/", {"subject": waiting.subject}).json()["results"]
    page = client.get("/api/v1/ledger/entries/").json()
    one = client.get(f"/api/v1/ledger/entries/{entries[0].ref}/").json()
    joined = client.get("/api/v1/ledger/consistency/", {"old": 100, "new": 259}).json()

    assert (overview["size"], overview["anchored_size"], overview["anchor"]) == (259, 0, None)
    assert [(row["ref"], row["index"]) for row in listed] == [(waiting.ref, None)]
    assert len(page["results"]) == 50
    assert page["next"]
    assert (one["index"], one["urn"]) == (0, entries[0].urn)
    assert client.get(f"/api/v1/ledger/entries/{entries[0].ref}/proof/").json()["index"] == 0
    assert joined["proof"]
    assert client.get("/api/v1/ledger/consistency/", {"old": 0, "new": 5}).status_code == 400
    assert client.get("/api/v1/ledger/consistency/", {"old": 5, "new": 260}).status_code == 404
    assert client.get("/api/v1/ledger/entries/nothing/").status_code == 404


def test_pages_show_the_log_and_one_entry(client, sealed):
    entries, checkpoint = sealed

    page = client.get(reverse("ledger:log"))
    older = client.get(reverse("ledger:log"), {"before": page.context["page"].before, "subject": SUBJECT})
    entry = client.get(reverse("ledger:entry", args=[entries[3].ref]))

    assert [row.index for row in page.context["page"].rows][:2] == [258, 257]
    assert older.context["page"].rows[0].index == 208
    assert checkpoint.root[:8] in page.content.decode()
    assert entry.context["parts"].entry == entries[3].urn
    assert len(entry.context["history"]) == 259
    assert client.get(reverse("ledger:entry", args=[record(1)[0].ref])).context["proof"] is None


def test_public_page_judges_a_receipt(client, monkeypatch):
    purchase = Purchase()
    monkeypatch.setattr("ledger.actions.proofs.trust_policy", lambda: purchase.policy)
    genuine = purchase.bundle()
    cut = bytearray(genuine)
    cut[1000] ^= 1

    def judge(data):
        return client.post(reverse("ledger:verify"), {"receipt": SimpleUploadedFile("receipt.json", data)})

    assert client.get(reverse("ledger:verify")).context["accepted"] is None
    assert judge(genuine).context["accepted"] is True
    assert judge(bytes(cut)).context["accepted"] is False
    assert judge(b"").context["accepted"] is None
    assert json.loads(genuine)["number"] == "UMR-HS-202611-000001K"
    assert base64.b64decode(purchase.policy.log_key.split("+", 2)[2])[0] == 1
