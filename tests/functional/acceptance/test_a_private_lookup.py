"""Scenario (a): who of 855 officials and relatives holds which property, asked of a register that learns of nobody.

From contract to receipt on the running exchange. A3 takes the owner's view of the real run, with TLS taken off
(`wire.py`), for a thousand trials; the same for the decoys, the light alternative: `tests/unit/engines/test_decoys.py`.
"""

import json
import math
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from compute.engines import identifiers, oprf, ristretto
from compute.protocol import keyfiles, shapes
from exchange.runner import checks, people

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

BATCHES, TARGETS = 19, 855
TOLD = {"level": "plaintext_after_join"}
REGISTER = {
    "unit_no": {"type": "text", **TOLD},
    "owner": {"type": "text", **TOLD},
    "area_m2": {"type": "decimal", "scale": 2, "min": "0", "max": "100000.00", **TOLD},
    "usage": {"type": "category", "values": ["住宅", "商业"], **TOLD},
    "seal": {"type": "category", "values": ["否", "是"], **TOLD},
}
DECLARATION = {
    "line": {"type": "text"},
    "batch": {"type": "text"},
    "person": {"type": "text"},
    "declared_units": {"type": "integer", "min": 0, "max": 50},
}
LETTER_NUMBER = "组函〔2026〕第 15 号"


def _world() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """A register of 3,000 persons, and the declarations of 855 of them: 6 % hide a unit, 2 % declare one too many."""
    rng = random.Random(855)
    persons = [one.person_id for one in people.city((("990103", "南浦区", 1.0),), count=3000, seed=19)]
    register = []
    for person in persons:
        units = rng.choices((0, 1, 2, 3, 4), (66, 26, 6, 1.5, 0.5))[0]
        for _ in range(units):
            register.append(
                {
                    "unit_no": f"9984{len(register):010d}GB{rng.randrange(10**8):08d}",
                    "owner": person,
                    "area_m2": f"{rng.uniform(30, 240):.2f}",
                    "usage": rng.choice(("住宅", "商业")),
                    "seal": rng.choices(("否", "是"), (996, 4))[0],
                }
            )
    held = Counter(row["owner"] for row in register)
    targets = rng.sample(persons, TARGETS)
    declarations = []
    for number, person in enumerate(targets):
        draw, units = rng.random(), held[person]
        declared = units + 1 if draw < 0.02 else units - 1 if draw < 0.08 and units else units
        declarations.append(
            {
                "line": f"L{number:04d}",
                "batch": f"第{number * BATCHES // TARGETS + 1:02d}批",
                "person": person,
                "declared_units": str(declared),
            }
        )
    return register, declarations


@pytest.fixture(scope="module")
def office(market):
    """Register and declarations at their nodes, the contract, and two officers with keys of their own."""
    register, declarations = _world()
    market.table("civil", "property_register", REGISTER, register, id="unit_no")
    market.table("bank", "declarations", DECLARATION, declarations, id="line")
    product = market.product("civil", "property_register", name="不动产登记", operations=["private_lookup"])
    contract = market.contract(
        "private_lookup",
        {"civil": product},
        columns={"civil": ["owner", "unit_no", "area_m2", "usage", "seal"]},
        requester=True,
        approval="per_run",
        unit="per_subject",  # 人次
        quota={"total": 20 * TARGETS, "per_day": 20 * TARGETS, "rate_per_minute": 10},
        unit_price_fen=100,
        deposit_fen=20 * TARGETS * 100,
    )
    return Office(market, contract)


class Office:
    """The requester's office: its officers, letters, lists and requests."""

    def __init__(self, market, contract):
        self.market, self.contract = market, contract
        self.folder = market.story.stack.member("bank") / "officers"
        self.folder.mkdir(mode=0o700)
        self.officers = {}
        for name in ("zhao", "qian"):
            keys = keyfiles.generate(name)
            keyfiles.save(keys, self.folder / f"{name}.json")
            self.officers[name] = keys

    def letter(self, *, expires: timedelta = timedelta(hours=2)) -> dict:
        now = datetime.now(UTC)
        return {
            "number": LETTER_NUMBER,
            "batch": "第01至19批",
            "issued": shapes.write_time(now - timedelta(days=1)),
            "expires": shapes.write_time(now + expires),
            "officers": [{"name": name, "key": keys.document_key} for name, keys in self.officers.items()],
        }

    def papers(self, *words: str) -> str:
        """The officers' own tool, as a process of its own."""
        command = [sys.executable, "-m", "compute.node.papers", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ask(
        self, *, letter: dict | None = None, persons: list[str] | None = None, releases=("zhao", "qian"), units=True
    ):
        """List, request, releases, papers at the node, and the run: each by whose step it is."""
        letter = letter or self.letter()
        declared = [row["person"] for row in _world()[1]]
        self._write("letter.json", json.dumps(letter, ensure_ascii=False))
        self._write("persons.txt", "\n".join(declared if persons is None else persons))
        digest = self.papers(
            "list", "--letter", "letter.json", "--persons", "persons.txt", "--key", "qian.json", "--out", "list.json"
        )
        request = self.market.sign_request(
            self.contract,
            "private_lookup",
            {
                "input": {"dataset": "declarations", "commitment": self.market.commitments["bank", "declarations"]},
                "person": "person",
                "declared": "declared_units" if units else None,
                "key": "owner",
                "columns": ["unit_no", "area_m2", "usage", "seal"],
                "subjects": TARGETS,
                "letter": letter,
                "approved": digest,
            },
        )
        kept = ["list.json"]
        for name in releases:
            self.papers("release", "--request", str(request), "--key", f"{name}.json", "--out", f"release-{name}.json")
            kept.append(f"release-{name}.json")
        home = self.market.story.stack.member("bank") / "node"
        self.papers("keep", "--home", str(home), *kept)
        return self.market.ask(self.contract, "private_lookup", {}, request=request)

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def journal(self) -> list[dict]:
        """The register owner's own log of look-ups."""
        home = self.market.story.stack.member("civil") / "node" / "engine_state"
        (path,) = home.rglob("*journal*/*")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def overheard(office, wire):
    """The whole list, asked once, and what went over the link meanwhile."""
    with wire.listening() as heard:
        found = office.ask()
    return found, heard


@pytest.fixture(scope="module")
def asked(overheard):
    return overheard[0]


def test_a1_every_answer_equals_the_plaintext_oracle(market, office, asked):
    assert asked.state == "released", asked.code
    result = market.opened(asked)
    register, declarations = _world()
    units = defaultdict(list)
    for row in register:
        units[row["owner"]].append([row["unit_no"], row["area_m2"], row["usage"], row["seal"]])
    right = 0
    for row, answer in zip(declarations, result["answers"], strict=True):
        found, declared = units[row["person"]], int(row["declared_units"])
        verdict = "undeclared" if len(found) > declared else "over_declared" if len(found) < declared else "match"
        if not found and not declared:
            verdict = "no_record"
        right += sorted(answer["records"]) == sorted(found) and answer["verdict"] == verdict
    assert right == TARGETS
    assert {"match", "undeclared", "over_declared", "no_record"} == {one["verdict"] for one in result["answers"]}
    checked = market.receipt(asked)
    assert checked
    assert "FAIL" not in checked.values()


def test_a2_a6_the_provider_sees_the_same_of_every_look_up(market, office, asked):
    """A2: two runs look alike. A6: its own log has batch, letter, officers, time and count, and nothing else."""
    again = office.ask(units=False)

    assert again.state == "released", again.code
    first, second = office.journal()[-2:]
    assert {**first, "time": ""} == {**second, "time": ""}
    assert set(first) == {"time", "batch", "letter", "officers", "count"}
    assert (first["letter"], first["count"]) == (LETTER_NUMBER, TARGETS)
    home = market.story.stack.member("civil") / "node"
    logs = b"".join(path.read_bytes() for path in home.rglob("*") if path.suffix in (".log", ".jsonl", ".sqlite3"))
    assert not [row["person"] for row in _world()[1] if row["person"].encode() in logs]


# A3: the owner has the points that it was sent, its key, its register and its files. For whom of a crowd were they?

TRIALS, CROWD = 1000, 100
ONE = (1).to_bytes(32, "little")
BITS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
View = Sequence[bytes]
Classifier = Callable[[bytes, View, bytes], float]  # how much a person's point looks as if that person was asked for


def _by_equality(point: bytes, view: View, key: bytes) -> float:
    return point in view or ristretto.multiply(key, point) in view


def _by_likeness(point: bytes, view: View, key: bytes) -> float:
    del key
    sent = np.frombuffer(b"".join(view), np.uint8).reshape(len(view), -1)
    return -int(BITS[sent ^ np.frombuffer(point, np.uint8)].sum(axis=1).min())


def _by_order(point: bytes, view: View, key: bytes) -> float:
    del key
    return -abs(int.from_bytes(point, "little") - int.from_bytes(view[0], "little")) / 2**256


def _point(person: str) -> bytes:
    """The point of a person before it is blinded."""
    return oprf.blind(identifiers.canonical(person).encode(), mode=oprf.Mode.VOPRF, scalar=ONE).element


def _success(classifier: Classifier, view: View, key: bytes) -> float:
    """How often the one of a crowd who was asked for looks most like it; the crowd is of the register."""
    rng, targets = random.Random(3), [row["person"] for row in _world()[1]]
    others = sorted({row["owner"] for row in _world()[0]}.difference(targets))
    score = {person: classifier(_point(person), view, key) for person in (*targets, *others)}
    right = 0
    for _ in range(TRIALS):
        crowd = [rng.choice(targets), *rng.sample(others, CROWD - 1)]
        target = crowd[0]
        rng.shuffle(crowd)
        right += max(crowd, key=score.__getitem__) == target
    return right / TRIALS


def _view(opened: bytes) -> list[bytes]:
    """The points that the owner was sent, out of the frame that carried them."""
    size = TARGETS * ristretto.SIZE
    start = opened.index(size.to_bytes(4, "big")) + 4
    return [opened[place : place + ristretto.SIZE] for place in range(start, start + size, ristretto.SIZE)]


def _key(market) -> bytes:
    """The owner's key, from its own files."""
    state = market.story.stack.member("civil") / "node" / "engine_state" / "oprf_lookup-1"
    (table,) = (state / "tables").glob("*.table")
    return oprf.derive_key((state / "secrets" / "seed").read_bytes(), table.stem.encode(), mode=oprf.Mode.VOPRF)


@pytest.mark.parametrize("classifier", [_by_equality, _by_likeness, _by_order])
def test_a3_nothing_that_the_owner_was_sent_names_a_target(market, overheard, classifier):
    """A thousand crowds of a hundred, of each of whom one was asked for: one in a hundred, and five deviations.

    Targets and others come again in other crowds, so that the trials are worth a third of as many independent ones.
    """
    view = _view(overheard[1].opened)
    assert all(ristretto.is_valid(point) for point in view)

    bound = 1 / CROWD + 5 * math.sqrt((1 / CROWD) * (1 - 1 / CROWD) / (TRIALS / 3))
    assert _success(classifier, view, _key(market)) <= bound


def test_a3_the_link_carries_no_person_and_tls_besides(overheard):
    _, heard = overheard
    persons = {row["owner"] for row in _world()[0]} | {row["person"] for row in _world()[1]}

    assert heard.holds(person.encode() for person in persons) == set()
    assert b'"job"' in heard.opened
    assert b'"job"' not in heard.sealed


@pytest.mark.parametrize("classifier", [_by_equality, _by_likeness])
def test_a3_without_blinding_the_same_owner_names_every_target(classifier):
    """The sister: the same points with every blind one."""
    assert _success(classifier, [_point(row["person"]) for row in _world()[1]], ONE) == 1


def test_a4_the_requester_holds_no_record_of_anybody_else(market, office, asked):
    targets = {row["person"] for row in _world()[1]}
    others = [row["unit_no"].encode() for row in _world()[0] if row["owner"] not in targets]
    home = market.story.stack.member("bank")
    held = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())

    assert others
    assert not [unit for unit in others if unit in held]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"releases": ("zhao",)}, "CONSENT_MISSING"),
        ({"persons": ["990103198001010000"]}, "PURPOSE_NOT_ALLOWED"),
    ],
    ids=["A8 one officer's release", "A9 somebody not on the approved list"],
)
def test_a8_a9_without_two_releases_or_outside_the_list_nothing_is_looked_up(market, office, asked, change, code):
    before = len(office.journal())

    found = office.ask(**change)

    assert (found.state, found.code) == ("failed", code)
    assert len(office.journal()) == before, "no evaluation was made"


def test_a5_an_expired_letter_is_refused_before_a_key_is_used(market, office, asked):
    before = len(office.journal())

    found = office.ask(letter=office.letter(expires=timedelta(seconds=-1)))

    assert (found.state, found.code) == ("failed", "JOB_OUT_OF_TIME")
    assert len(office.journal()) == before


def test_a7_nothing_from_which_a_person_could_be_guessed_is_at_the_exchange(market, office, asked):
    """Database with its write-ahead log, broker, chain, logs: no identifier, encoded or hashed."""
    directory = market.story.stack.directory
    some = [row["person"] for row in _world()[1]][:3]

    assert checks.canary_hits(some, run_directory=directory, members=directory / "members") == []


def test_each_look_up_was_charged_once_by_its_persons_and_no_refusal_was(market, office, asked):
    """Whatever ran before on this contract: 855 units for each released result, found or not."""
    computations = market.story.parties.session("bank").get("computations/")
    rows = computations["results"] if isinstance(computations, dict) else computations
    mine = [one for one in rows if one["contract"] == office.contract["urn"]]

    released = sum(one["state"] == "released" for one in mine)
    assert released >= 1
    assert market.units(office.contract) == released * TARGETS
