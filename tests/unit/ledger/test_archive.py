"""The archive: the same bytes each time, judged offline; whatever is changed, missing, added or rewritten fails."""

import json
import os
import random
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pgtrigger
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from exchange.client import cli
from ledger import actions as ledger
from ledger import keys
from ledger.actions import archiving, shards
from ledger.archive import checks, layout, stores, tar
from ledger.models import Anchor, ChainDeployment, Disclosure, Leaf, Log
from ledger.proofs import canonical, checkpoints, policies
from ledger.proofs.checks import Status
from ledger.proofs.errors import VerificationError
from ledger.proofs.growing import GrowingTree
from ledger.proofs.merkle import root as plain_root
from tests.factories import witnesses
from tests.factories.ledger import EXCHANGE, SUBJECT, record
from tests.unit.client.test_verify_command import ISOLATED

pytestmark = pytest.mark.django_db

FLIPS = 200


@pytest.fixture
def sealed():
    """Some leaves in some histories, under two checkpoints."""
    record(3)
    ledger.seal()
    record(4, subject=SUBJECT[:-1] + "2")
    record(2)
    ledger.seal()


@pytest.fixture
def exported(sealed, tmp_path):
    return archiving.export(to=tmp_path / "archive").path


def policy():
    return ledger.trust_policy()


def judged(path: Path, **changes) -> dict[str, str]:
    return {check.name: check.status.value for check in judge(path, **changes)}


def judge(path: Path, *, of=None, since: bytes | None = None):
    return checks.verify(stores.open_store(path), policy=of or policy(), since=since)


def failed(path: Path, **changes) -> set[str]:
    return {check.name for check in judge(path, **changes) if check.status is Status.FAIL}


def files(path: Path) -> dict[str, bytes]:
    return {str(one.relative_to(path)): one.read_bytes() for one in sorted(path.rglob("*")) if one.is_file()}


# --- making ---------------------------------------------------------------------------------------------------


def test_two_exports_of_one_size_are_the_same_bytes(sealed, tmp_path):
    first = archiving.export(to=tmp_path / "a").path
    second = archiving.export(to=tmp_path / "b", log=1, size=9).path
    assert files(first) == files(second)
    archiving.export(to=tmp_path / "a.tar", as_tar=True)
    os.utime(first / "policy.json", (1, 1))
    with (tmp_path / "b.tar").open("wb") as target:
        tar.write(target, ((name, second / name) for name in files(second)))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_a_stock_tar_reads_it_and_what_it_unpacks_holds(sealed, tmp_path):
    file = archiving.export(to=tmp_path / "a.tar", as_tar=True).path
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", str(file), "-C", str(tmp_path / "out")], check=True)
    assert failed(file) == failed(tmp_path / "out") == set()


def test_an_earlier_size_is_an_archive_of_its_own(sealed, tmp_path):
    made = archiving.export(to=tmp_path / "early", size=3)
    assert [shard.size for shard in made.shards] == [3]
    assert (made.path / "logs/1/tile/0/000.p/3").stat().st_size == 96
    assert failed(made.path) == set()


def test_an_export_that_was_cut_off_finishes_and_leaves_nothing_of_another_size(tmp_path, monkeypatch):
    for number in range(3):
        record(200, subject=SUBJECT[:-1] + str(number))
    ledger.seal()
    monkeypatch.setattr(archiving._Writer, "_anchors", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        archiving.export(to=tmp_path / "archive")
    assert not (tmp_path / "archive").exists()
    monkeypatch.undo()
    kept = tmp_path / ".archive.partial/logs/1/tile/entries/000"
    before = kept.stat().st_mtime_ns
    record(1)
    ledger.seal()

    made = archiving.export(to=tmp_path / "archive").path

    assert (made / "logs/1/tile/entries/000").stat().st_mtime_ns == before
    assert files(made) == files(archiving.export(to=tmp_path / "fresh").path)
    assert failed(made) == set()


def test_nothing_is_overwritten_and_what_is_not_there_is_said(sealed, tmp_path):
    call_command("export_ledger", str(tmp_path / "a"), stdout=(output := StringIO()))
    assert "9 leaves" in output.getvalue()
    for options in ([str(tmp_path / "a")], [str(tmp_path / "b"), "--size", "5"], [str(tmp_path / "b"), "--log", "7"]):
        with pytest.raises(CommandError):
            call_command("export_ledger", *options)
    assert not (tmp_path / "b").exists()


def test_payloads_stay_out_unless_they_are_asked_for(sealed, tmp_path):
    plain = archiving.export(to=tmp_path / "plain").path
    assert not any(b"payload" in data for data in files(plain).values())
    made = archiving.export(to=tmp_path / "open", with_disclosures=True).path
    assert judged(made)["disclosures"] == "PASS"
    lines = (made / layout.DISCLOSURES).read_bytes().splitlines()
    assert len(lines) == 9
    changed = lines[4].replace(b'"number":1', b'"number":3')
    assert changed != lines[4]
    (made / layout.DISCLOSURES).write_bytes(b"\n".join([*lines[:4], changed, *lines[5:], b""]))
    assert {"files", "disclosures"} <= failed(made)


# --- judging --------------------------------------------------------------------------------------------------


def test_a_genuine_archive_holds_without_django_database_or_network(exported, tmp_path):
    policy_file = tmp_path / "policy.json"
    policy_file.write_text(json.dumps(policy().document()))
    command = [sys.executable, "-c", ISOLATED, "--lang", "en", "--home", str(tmp_path / "nobody")]
    command += ["archive", "verify", str(exported), "--policy", str(policy_file)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASS") == 8
    assert "FAIL" not in done.stdout
    assert "The archive holds." in done.stdout
    (exported / layout.OPENINGS).write_bytes(b"x")
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 1


def test_each_question_says_what_it_found(exported):
    assert judged(exported) == {
        "manifest": "PASS", "files": "PASS", "policies": "PASS", "checkpoints": "PASS", "cosignatures": "NOT_CHECKED",
        "tree": "PASS", "leaves": "PASS", "history": "PASS", "shards": "NOT_CHECKED", "since": "NOT_CHECKED",
        "openings": "PASS", "disclosures": "NOT_CHECKED", "anchors": "NOT_CHECKED", "chain": "NOT_CHECKED",
    }  # fmt: skip


def test_one_flipped_bit_anywhere_fails(exported, tmp_path):
    chance, trusted = random.Random(20261121), policy()
    originals = files(exported)
    names = sorted(name for name, data in originals.items() if data)
    for number in range(FLIPS):
        name = names[number % len(names)]
        data = bytearray(originals[name])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        (exported / name).write_bytes(bytes(data))
        assert not checks.accepted(judge(exported, of=trusted)), name
        (exported / name).write_bytes(originals[name])
    assert checks.accepted(judge(exported, of=trusted))


def test_one_flipped_bit_anywhere_in_the_tar_fails(sealed, tmp_path):
    chance, trusted = random.Random(1), policy()
    file = archiving.export(to=tmp_path / "a.tar", as_tar=True).path
    original = file.read_bytes()
    for _ in range(FLIPS):
        data = bytearray(original)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(bytes(data))
        try:
            assert not checks.accepted(judge(file, of=trusted))
        except VerificationError as error:
            assert error.code == "TAR_INVALID"  # noqa: PT017  either is a refusal


def test_a_file_missing_or_added_or_linked_fails(exported):
    for name in files(exported):
        moved = exported.with_name("moved")
        (exported / name).rename(moved)
        assert failed(exported) & {"manifest", "files"}, name
        (exported / name).symlink_to(moved)
        assert failed(exported) & {"manifest", "files"}, name
        (exported / name).unlink()
        moved.rename(exported / name)
    (exported / "logs/2").mkdir()
    assert failed(exported) == set()
    (exported / "logs/2/checkpoint").write_bytes(b"")
    assert failed(exported) == {"files"}


def test_another_exchange_or_log_in_the_policy_fails(exported):
    from ledger.proofs import multibase
    from tests.factories.compute import keys_of

    stranger = keys_of("stranger").document.public_key()
    other = policies.single(
        exchange_document_key=multibase.did_key(stranger), log_origin=policy().log_origin, log_key=policy().log_key
    )
    assert failed(exported, of=other) == {"manifest"}


def test_what_the_exchange_itself_signed_anew_still_fails_where_it_does_not_fit(exported, tmp_path):
    """Each question stands for itself: here the manifest lists the changed file, signed by the real key."""
    chance = random.Random(7)
    for name, question in (
        ("logs/1/tile/0/000.p/9", "tree"),
        ("logs/1/tile/entries/000.p/9", "tree"),
        ("logs/1/checkpoint", "checkpoints"),
        ("tlog-policy", "policies"),
    ):
        copy = tmp_path / f"copy-{chance.random()}"
        shutil.copytree(exported, copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(bytes(data))
        sign_anew(copy)
        assert question in failed(copy), name
        assert "files" not in failed(copy), name


def sign_anew(path: Path) -> None:
    import hashlib

    from ledger.proofs import statements

    value = canonical.parse((path / layout.MANIFEST).read_bytes())
    for one in value["files"]:
        data = (path / one["path"]).read_bytes()
        one |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    signed = statements.sign(
        {name: value[name] for name in ("type", "logs", "files")},
        key=keys.exchange_keys().document, created="2026-11-21T00:00:00Z",
    )  # fmt: skip
    (path / layout.MANIFEST).write_bytes(canonical.encode(signed))


# --- history --------------------------------------------------------------------------------------------------


def rewrite_history() -> None:
    """What a superuser with the log's key can do: every table, the head and the file are consistent again."""
    with pgtrigger.ignore(), connection.cursor() as cursor:
        for table in ("cosignature", "checkpoint", "tile", "leaf"):
            cursor.execute(f"DELETE FROM ledger_{table}")
        cursor.execute("UPDATE ledger_entry SET issuer = issuer || '0' WHERE id = (SELECT min(id) FROM ledger_entry)")
        cursor.execute("INSERT INTO ledger_pending (entry_id) SELECT id FROM ledger_entry")
        cursor.execute("UPDATE ledger_log SET size = 0, root = %s", [plain_root([]).hex()])
    keys.signed_checkpoint_file().unlink()
    ledger.seal()


def test_a_rewritten_history_fails_against_a_checkpoint_that_was_kept(sealed, tmp_path):
    kept = Log.objects.get().checkpoints.get(size=3).note.encode()
    honest = archiving.export(to=tmp_path / "honest").path
    assert judged(honest, since=kept)["since"] == "PASS"

    rewrite_history()
    rewritten = archiving.export(to=tmp_path / "rewritten").path

    assert failed(rewritten) == set()
    assert failed(rewritten, since=kept) == {"since"}


def test_an_archive_that_ends_before_the_kept_checkpoint_fails(sealed, tmp_path):
    kept = Log.objects.get().checkpoints.get(size=9).note.encode()
    early = archiving.export(to=tmp_path / "early", size=3).path
    assert failed(early, since=kept) == {"since"}
    forged = kept.replace(b"\n9\n", b"\n2\n")
    assert failed(early, since=forged) == {"since"}


def test_the_command_takes_the_kept_checkpoint(exported, tmp_path, capsys):
    (tmp_path / "policy.json").write_text(json.dumps(policy().document()))
    kept = tmp_path / "checkpoint"
    kept.write_text(Log.objects.get().checkpoints.get(size=3).note)
    arguments = ["archive", "verify", str(exported), "--policy", str(tmp_path / "policy.json"), "--since", str(kept)]
    assert cli.main([*arguments, "--json"]) == 0
    since = next(one for one in json.loads(capsys.readouterr().out)["checks"] if one["name"] == "since")
    assert (since["status"], since["detail"]) == ("PASS", "since 3 leaves")
    assert cli.main(["archive", "verify", str(tmp_path / "nowhere"), "--policy", arguments[4]]) != 0


def test_witnesses_must_have_cosigned_where_the_policy_asks(tmp_path, settings):
    settings.LOG_WITNESS_QUORUM = 1
    record(2)
    ledger.seal()
    with witnesses.admitted(tmp_path / "w", log=Log.objects.get(), name="witness.example/w"):
        ledger.seal()
        bare = archiving.export(to=tmp_path / "bare").path
        assert failed(bare) == {"cosignatures"}
        assert ledger.ask_witnesses().cosigned
        assert judged(archiving.export(to=tmp_path / "cosigned").path)["cosignatures"] == "PASS"


def test_a_new_shard_is_joined_to_the_old_one(sealed, tmp_path):
    shards.open_shard(origin="hengshu.example/ledger/2027", new=shards.make_next_key(), issuer=EXCHANGE)
    record(2)
    ledger.seal()
    both = archiving.export(to=tmp_path / "both")
    assert [shard.number for shard in both.shards] == [1, 2]
    assert judged(both.path)["shards"] == "PASS"
    late = archiving.export(to=tmp_path / "late", log=2).path
    assert (judged(late)["shards"], judged(late)["history"]) == ("NOT_CHECKED", "PASS")


def test_anchors_are_of_roots_of_ours(sealed, tmp_path):
    place = ChainDeployment.objects.create(
        chain_id=31337, genesis_hash="0x" + "1" * 64, contract_address="0x" + "22" * 20,
        code_hash="0x" + "3" * 64, epoch=1,
    )  # fmt: skip
    anchor = Anchor.objects.create(
        deployment=place, log_id=1, size=3, root=Log.objects.get().checkpoints.get(size=3).root, block_number=5,
        block_hash="0x" + "4" * 64, transaction_hash="0x" + "5" * 64, confirmed_at=timezone.now(),
    )  # fmt: skip
    good = judged(archiving.export(to=tmp_path / "good").path)
    assert (good["anchors"], good["chain"]) == ("PASS", "NOT_CHECKED")
    anchor.root = "0" * 64
    anchor.save()
    assert failed(archiving.export(to=tmp_path / "bad").path) == {"anchors"}


def test_an_erased_disclosure_is_left_out_and_the_rest_holds(sealed, tmp_path):
    ledger.erase(entry=Leaf.objects.order_by("index")[4].entry)
    made = archiving.export(to=tmp_path / "open", with_disclosures=True).path
    assert Disclosure.objects.readable().count() == 8
    assert judged(made)["disclosures"] == "PASS"


def test_the_growing_tree_is_the_tree():
    hashes = [bytes([number % 256]) * 32 for number in range(70_000)]
    tree, count = GrowingTree(), 0
    for number, value in enumerate(hashes, start=1):
        count += len(tree.append(value))
        if number in (1, 2, 3, 255, 256, 257, 65_535, 65_536, 65_537, 70_000):
            assert tree.root() == plain_root(hashes[:number])
    assert (tree.size, count) == (70_000, 70_000 // 256 + 70_000 // 65_536)
    assert [place for place, _ in tree.rest()] == [(0, 273), (1, 1), (2, 0)]


def test_the_checkpoint_inside_is_a_stock_one(exported):
    note = (exported / "logs/1/checkpoint").read_bytes()
    assert checkpoints.verify(note, keys=[keys.log_vkey()], origin=policy().log_origin).size == 9
