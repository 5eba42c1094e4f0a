"""Rotating and withdrawing keys from the member's own machine."""

from compute.protocol import key_documents, keyfiles
from exchange.client.store import Home
from ledger.proofs import grants, statements, typed_data

CHAIN = {"chain_id": 31337, "contract_address": "0x" + "5A" * 20}


def path_of(machine):
    return f"/api/v1/organizations/{machine.world.orgs['bank'].rpartition(':')[2]}/keys/"


def test_a_rotation_is_signed_by_both_files_and_the_new_one_is_used_from_then_on(machine):
    machine.as_member("bank")
    machine.exchange.answers["POST", path_of(machine)] = (201, [])
    new = machine.home / "new.key.json"

    machine.run("keys", "rotate", "--new", str(new), "--yes")

    assert machine.code == 0, machine.err
    document = machine.exchange.posted(path_of(machine))[0].body["card"]
    key_documents.verify_rotation(document)
    made = keyfiles.load(new)
    signers = {statements.signer(proof) for proof in document["proof"]}
    assert signers == {machine.world.keys["bank"].document_key, made.document_key}
    assert Home(machine.home).config().key_file == str(new)
    assert (machine.home / "bank.key.json").exists()  # it still opens old results


def test_when_the_exchange_refuses_the_old_file_stays_in_use(machine):
    machine.as_member("bank")
    problem = {"code": "KEY_ROTATION_INVALID", "detail": "no", "status": 400}
    machine.exchange.answers["POST", path_of(machine)] = (400, problem)

    machine.run("keys", "rotate", "--new", str(machine.home / "new.key.json"), "--yes")

    assert machine.code != 0
    assert Home(machine.home).config().key_file == str(machine.home / "bank.key.json")


def test_one_kind_of_key_alone_is_rotated(machine):
    machine.as_member("bank")
    machine.exchange.answers["POST", path_of(machine)] = (201, [])

    machine.run("keys", "rotate", "--new", str(machine.home / "new.key.json"), "--only", "sealing", "--yes")

    made, old = keyfiles.load(machine.home / "new.key.json"), machine.world.keys["bank"]
    assert (made.document_key, made.chain_address) == (old.document_key, old.chain_address)
    assert made.sealing_key != old.sealing_key


def test_nothing_is_rotated_or_withdrawn_without_a_yes(machine):
    machine.as_member("bank")
    for words in (("rotate", "--new", str(machine.home / "n.json")), ("revoke",)):
        machine.run("keys", *words)
        assert machine.err.split(":")[0].endswith("NOT_CONFIRMED")
    assert machine.exchange.asked == []


def test_keys_are_withdrawn_without_a_login_and_on_chain_where_asked(machine):
    machine.as_member("bank")
    machine.pin_policy(chain=CHAIN)
    (machine.home / "token").unlink()
    machine.exchange.answers["POST", "/api/v1/key-revocations/"] = (201, [])

    machine.run("keys", "revoke", "--only", "document", "--chain", "--yes")

    assert machine.code == 0, machine.err
    body = machine.exchange.posted("/api/v1/key-revocations/")[0].body
    key_documents.verify_revocation(body["document"])
    keys = machine.world.keys["bank"]
    assert body["document"]["keys"] == [{"purpose": "document", "key": keys.document_key}]
    (void,) = body["voids"]
    assert void["digest"] == key_documents.key_digest(keys.document_key)
    digest = grants.void_digest(**CHAIN, signer=keys.chain_address, statement_digest=void["digest"])
    typed_data.verify(digest, void["signature"], signer=keys.chain_address)


def test_a_chain_key_withdraws_where_the_document_key_is_in_doubt(machine):
    machine.as_member("bank")
    machine.exchange.answers["POST", "/api/v1/key-revocations/"] = (201, [])

    machine.run("keys", "revoke", "--by", "chain", "--reason", "lost", "--yes")

    body = machine.exchange.posted("/api/v1/key-revocations/")[0].body
    assert body["document"]["revoked_by"] == machine.world.keys["bank"].chain_address
    assert len(body["document"]["keys"]) == 3
