"""A node follows the exchange's new keys only where the pinned ones have signed for them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from compute.node import admission, cli, journal, trust
from compute.node import config as configuration
from compute.node.errors import ConfigInvalid, ExchangeUnavailable
from compute.node.store import Store
from compute.protocol import keyfiles
from compute.protocol.codes import Refused
from exchange.members.actions import exchange_rotation
from ledger import actions as ledger
from ledger import keys as own_keys
from ledger.actions import key_histories, shards
from ledger.proofs import policies, statements
from ledger.proofs.policies import Window
from tests.factories import members
from tests.factories.ledger import EXCHANGE, exchange_key_files, record
from tests.factories.node import CREATED, Provider
from tests.fakes.exchange_server import FakeExchange
from tests.unit.node.cases import case_of, genuine

POLICY, HISTORY = "/.well-known/hengshu-policy.json", "/.well-known/hengshu-key-history.json"


class Site:
    """A real exchange's documents behind a small server, and a node that has pinned its first keys."""

    def __init__(self, tmp_path, server, url):
        self.server = server
        policy = ledger.trust_policy()
        keyfiles.save(keyfiles.generate("node"), tmp_path / "node.key.json")
        self.home = tmp_path / "home"
        self.config = configuration.write(
            self.home,
            {
                "name": "fund",
                "organization": "urn:hengshu:org:01JD0000000000000000000009",
                "key_file": str(tmp_path / "node.key.json"),
                "min_group": 10,
                "poll_milliseconds": 50,
                "exchange": {
                    "url": url,
                    "document_key": policy.exchange_document_key,
                    "log_origin": policy.log_origin,
                    "log_key": policy.log_key,
                },
                "engine": {"host": "127.0.0.1", "base_port": 21000},
            },
        )
        self.serve()

    def serve(self, *, history=None):
        self.server.answers["GET", POLICY] = (200, ledger.trust_policy().document())
        self.server.answers["GET", HISTORY] = (200, history or key_histories.history())


@pytest.fixture
def site(settings, tmp_path, db):
    exchange_key_files(settings, tmp_path)
    members.exchange()
    record(3)
    ledger.seal()
    server = FakeExchange()
    yield Site(tmp_path, server, server.start())
    server.stop()


def run(site, capsys, *words) -> Any:
    code = cli.main(["--home", str(site.home), "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def test_without_a_change_the_pins_stand(site, capsys):
    code, answer = run(site, capsys, "policy", "update")

    assert (code, answer["changed"]) == (0, False)
    assert not (site.home / trust.FILE_NAME).exists()


def test_the_owners_command_follows_every_rotation(site, capsys):
    old = site.config.trust
    key = exchange_rotation.rotate_exchange_key(new=exchange_rotation.make_next_key())
    shards.rotate_key(new=shards.make_next_key(), issuer=EXCHANGE)
    shards.open_shard(origin="hengshu.example/ledger/2027", new=shards.make_next_key(), issuer=EXCHANGE)
    site.serve()
    assert configuration.load(site.home).trust == old  # nothing changes by itself

    code, answer = run(site, capsys, "policy", "update")

    assert (code, answer["changed"], answer["document_key"]) == (0, True, key)
    now = configuration.load(site.home).trust
    assert policies.exchange_keys(now) == [old.exchange_document_key, key]
    assert [log.origin for log in now.logs] == [old.log_origin, "hengshu.example/ledger/2027"]
    assert (site.home / trust.FILE_NAME).stat().st_mode & 0o777 == 0o600
    store = Store(configuration.load(site.home).database, clock=lambda: None)
    assert "policy.updated" in [line["event"] for line in journal.read(store.connection(), limit=10)]
    assert run(site, capsys, "policy", "update")[1]["changed"] is False


def test_a_change_that_nothing_proves_is_refused_and_the_pins_stand(site, capsys):
    exchange_rotation.rotate_exchange_key(new=exchange_rotation.make_next_key())
    site.serve(history={"type": "hengshu/key-history/v1", "entries": []})

    code, answer = run(site, capsys, "policy", "update")

    assert (code, answer["error"]) == (1, "CONFIG_INVALID")
    assert configuration.load(site.home).trust == site.config.trust


def test_an_exchange_that_is_away_changes_nothing(site):
    site.server.answers["GET", POLICY] = (503, {})

    with pytest.raises(ExchangeUnavailable):
        trust.update(site.config)


def test_a_kept_policy_without_the_owners_pins_is_not_read(site):
    stranger = keyfiles.generate("stranger").document_key
    other = replace(site.config.trust, exchange_keys=(Window(stranger),))
    (site.home / trust.FILE_NAME).write_text(json.dumps(other.document()))

    with pytest.raises(ConfigInvalid):
        configuration.load(site.home)


# --- admission under a followed policy ------------------------------------------------------------------------


def follow(fund: Provider, *, since: int, until: int) -> keyfiles.KeyFile:
    """The node has followed a rotation of the exchange's key."""
    new = keyfiles.generate("exchange")
    pinned = fund.config.trust
    windows = (Window(pinned.exchange_document_key, 0, until), Window(new.document_key, since))
    fund.config = replace(fund.config, kept_trust=replace(pinned, exchange_keys=windows))
    return new


def signed_by(fund: Provider, new: keyfiles.KeyFile) -> dict[str, Any]:
    fund.world.exchange = new
    return genuine(fund)


def test_a_job_of_the_new_key_is_admitted_where_it_counts(fund: Provider) -> None:
    new = follow(fund, since=0, until=0)

    admission.admit(case_of(fund, signed_by(fund, new)))


def test_a_job_of_the_old_key_is_refused_where_it_no_longer_counts(fund: Provider) -> None:
    bundle = genuine(fund)
    follow(fund, since=0, until=0)

    with pytest.raises(Refused) as refused:
        admission.admit(case_of(fund, bundle))
    assert refused.value.code == "EXCHANGE_SIGNATURE_INVALID"


def test_a_job_of_the_new_key_is_refused_by_a_node_that_has_not_followed(fund: Provider) -> None:
    new = keyfiles.generate("exchange")
    bundle = genuine(fund)
    bundle["job"] = statements.sign(statements.unsigned(bundle["job"]), key=new.document, created=CREATED)

    with pytest.raises(Refused) as refused:
        admission.admit(case_of(fund, bundle))
    assert refused.value.code == "EXCHANGE_SIGNATURE_INVALID"


def test_the_exchange_still_reads_nodes_that_have_not_followed(site):
    from compute.actions import nodes

    first = own_keys.exchange_keys().document_key
    exchange_rotation.rotate_exchange_key(new=exchange_rotation.make_next_key())

    assert nodes._is_us(first)
    assert nodes._is_us(own_keys.exchange_keys().document_key)
    assert not nodes._is_us(keyfiles.generate("other").document_key)
