"""An exchange that does not keep to the contract: what a node is handed when it claims is not what was agreed.

The forger holds the exchange's own key and the log's, so everything the exchange may sign is signed well.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from django.conf import settings
from django.utils import timezone

from compute.protocol import keyfiles, shapes
from exchange.kernel import identifiers
from ledger import keys as ledger_keys
from ledger.proofs import statements
from tests.factories import compute as factory
from tests.faults.compute_parties import Party
from tests.faults.compute_processes import FUNDS, ended
from tests.faults.compute_world import World
from tests.faults.verdicts import Broken, Verdict, detected, scenario, sister

Bundle = dict[str, Any]


def forged(world: World, forge: Callable[[Bundle, Party], Bundle], *, codes: set[str]) -> Verdict:
    """A run in which one node is handed a forged bundle; it says no with one of the codes, and opens nothing."""
    world.agree()
    return handed(world, forge, codes=codes)


def handed(world: World, forge: Callable[[Bundle, Party], Bundle], *, codes: set[str]) -> Verdict:
    """The same where the parties have agreed already.

    The node's signed report speaks of the job that it was handed, so the exchange does not take it for the real one:
    the run ends by its lease or its deadline, and what the node found is read in its own file.
    """
    party = world.parties[world.rng.choice(FUNDS)]
    before, said = len(party.launcher.started), len(refusals(party))
    now = settings.TASK_LEASE_SECONDS, settings.COMPUTATION_DEADLINE_SECONDS
    settings.TASK_LEASE_SECONDS, settings.COMPUTATION_DEADLINE_SECONDS = 2, 4

    def answered(verb: str, answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "bundle": forge(deepcopy(answer["bundle"]), party)} if verb == "claim" else answer

    party.wire.answered = answered
    ref = world.ask()
    world.wait(ref)
    party.wire.answered = lambda verb, answer: answer
    settings.TASK_LEASE_SECONDS, settings.COMPUTATION_DEADLINE_SECONDS = now
    found = set(refusals(party)[said:])
    if not found or not found <= codes:
        raise Broken(f"the node said {', '.join(found) or 'nothing'} to a forged job, not {', '.join(sorted(codes))}")
    if len(party.launcher.started) > before:
        raise Broken("the node has started an engine for a forged job")
    if any(one.state_of(f"urn:hengshu:computation:{ref}") == "sent" for one in world.parties.values()):
        raise Broken("a part of a forged job has left")
    ended(world, ref, codes=set(_ENDS_OF_FORGERIES) | codes)
    return detected(found, wanted=())


_ENDS_OF_FORGERIES = ("LEASE_LOST", "PARTIES_NOT_READY", "RUN_CANCELLED", "DEADLINE_PASSED")


def refusals(party: Party) -> list[str]:
    """The codes with which a node has said no, from its journal: reported, or of a job that no report can name."""
    lines = [json.loads(line) for (line,) in party.sql("SELECT line FROM journal ORDER BY sequence")]
    wanted = ("report.refused", "report.failed", "job.unreportable")
    return [line["details"]["code"] for line in lines if line["event"] in wanted]


def signed(document: Bundle, **changes: Any) -> Bundle:
    """A document with other members, signed by the exchange."""
    changed = {**statements.unsigned(document), **changes}
    return statements.sign(changed, key=ledger_keys.exchange_keys().document, created=shapes.write_time(timezone.now()))


@scenario("token_for_another_node")
def token_for_another_node(world: World) -> Verdict:
    """The job names another organisation in this node's place."""

    def forge(bundle: Bundle, party: Party) -> Bundle:
        parties = bundle["job"]["parties"]
        stranger = identifiers.make_urn("org", identifiers.new_ulid())
        for one in parties:
            if one["organization"] == party.config.organization:
                one["organization"] = stranger
        return {**bundle, "job": signed(bundle["job"], parties=parties)}

    return forged(world, forge, codes={"REQUEST_MISMATCH", "AUDIENCE_WRONG"})


@scenario("token_of_another_job")
def token_of_another_job(world: World) -> Verdict:
    """The whole bundle of a run that is over, handed out again for another task."""
    world.agree()
    kept: list[Bundle] = []
    for party in world.parties.values():

        def keep(verb: str, answer: dict[str, Any], name: str = party.name) -> dict[str, Any]:
            if verb == "claim":
                kept.append({"name": name, "bundle": deepcopy(answer["bundle"])})
            return answer

        party.wire.answered = keep
    world.wait(world.ask(), "released")
    for party in world.parties.values():
        party.wire.answered = lambda verb, answer: answer

    def forge(bundle: Bundle, party: Party) -> Bundle:
        return next(item["bundle"] for item in kept if item["name"] == party.name)

    return handed(world, forge, codes={"JOB_REPLAYED"})


@scenario("older_contract_version")
def older_contract_version(world: World) -> Verdict:
    """Other terms of the same contract, signed by every party at another time: laxer by one member."""

    def forge(bundle: Bundle, party: Party) -> Bundle:
        older = statements.unsigned(bundle["contract"])
        older["quota"] = {**older["quota"], "total": older["quota"]["total"] + 50}
        for name in world.deal.organizations:
            older = statements.sign(
                older, key=factory.keys_of(name).document, created=shapes.write_time(timezone.now())
            )
        return {**bundle, "contract": older}

    return forged(world, forge, codes={"TERMS_CHANGED"})


@scenario("swapped_buyer_key")
def swapped_buyer_key(world: World) -> Verdict:
    """The result is to be sealed to a key of the forger."""

    def forge(bundle: Bundle, party: Party) -> Bundle:
        stranger = keyfiles.generate("stranger").sealing_key
        return {**bundle, "job": signed(bundle["job"], result={**bundle["job"]["result"], "sealing_key": stranger})}

    return forged(world, forge, codes={"RESULT_KEY_SWAPPED"})


@scenario("empty_signature")
def empty_signature(world: World) -> Verdict:
    """A signature that is empty, missing, or of the right length and nothing."""
    kind = world.rng.choice(["none", "empty", "zeros", "of another"])
    which = world.rng.choice(["job", "request", "contract"])

    def forge(bundle: Bundle, party: Party) -> Bundle:
        document = bundle[which]
        if kind == "none":
            document["proof"] = []
        elif kind == "empty":
            document["proof"][0]["proofValue"] = ""
        elif kind == "zeros":
            document["proof"][0]["proofValue"] = "z" + "1" * 64
        else:
            document["proof"][0]["proofValue"] = bundle["consents"][0]["proof"][0]["proofValue"]
        return bundle

    codes = {
        "DOCUMENT_INVALID",
        "EXCHANGE_SIGNATURE_INVALID",
        "REQUEST_SIGNATURE_INVALID",
        "CONTRACT_SIGNATURE_INVALID",
    }
    return forged(world, forge, codes=codes)


@scenario("claim_is_noise")
def claim_is_noise(world: World) -> Verdict:
    """What should be a bundle is no bundle at all; no report can name the job, so its lease runs out."""
    noise: Any = world.rng.choice([None, [], {}, {"job": None}, "x" * 1000, {"job": {"parties": []}}])
    return forged(world, lambda bundle, party: noise, codes={"DOCUMENT_INVALID"})


# --- sisters --------------------------------------------------------------------------------------------------


@sister("swapped_buyer_key_unchecked")
def swapped_buyer_key_unchecked(world: World) -> Verdict:
    """A node that does not compare the job with contract and authorization: it computes for the forger."""
    from compute.node import admission

    for name in ("_check_job", "_check_authorization"):
        world.closing.callback(setattr, admission, name, getattr(admission, name))
        setattr(admission, name, lambda case: None)
    return swapped_buyer_key(world)


@sister("older_contract_unchecked")
def older_contract_unchecked(world: World) -> Verdict:
    """A node that takes whatever terms are signed."""
    from compute.node import admission

    genuine = admission.STEPS
    admission.STEPS = tuple((name, step if name != "party_signatures" else _believe) for name, step in genuine)
    world.closing.callback(setattr, admission, "STEPS", genuine)
    return older_contract_version(world)


def _believe(case: Any) -> None:
    case.terms = case.store.contract(case.job["contract"])
