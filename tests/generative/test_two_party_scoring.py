"""Random worlds against the reference; hostile banks and agencies, each with the guard off as its sister."""

import base64
import pickle
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

from compute.engines import encrypted_table, loading, oprf, reference_models, ristretto
from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.paillier import keys, noise, vectors
from compute.engines.scoring import cards, consents, forms, kept, paired, paired_agency, paired_bank, paired_models
from compute.engines.scoring.moments import LARGEST, RING
from compute.engines.scoring.paired_agency import Agency
from compute.engines.scoring.paired_bank import Bank, Found
from tests.factories import paired as pair
from tests.factories import scoring as world

BOUNDS = [bound[1:] for bound in world.CIVIL_VALUES.values()]
WEIGHTS = (7, -3)


def _linear(*weights: int, shift: int = 0, base: int = 0, low: int = 0, high: int = 60) -> forms.Form:
    """A linear form over plain columns."""
    names = [f"c{place}" for place in range(len(weights))]
    features = [{"column": name, "weight": weight, "absent": 0} for name, weight in zip(names, weights, strict=True)]
    card = cards.Card(cards.linear(version="1", base=base, shift=shift, features=features, salt="ab" * 32))
    return forms.form(card, columns=names, bounds=[(low, high)] * len(weights))


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are filled up to 32 here and not to 1,024."""
    monkeypatch.setattr(paired_agency, "ROUND", 32)


# --- random worlds ------------------------------------------------------------------------------------------


def _scorecard(drawn: random.Random) -> dict[str, Any]:
    features = []
    for name, (_, low, high) in {**world.CIVIL_VALUES, **world.APPLICANT_VALUES}.items():
        cuts = sorted(drawn.sample(range(low, high + 2), drawn.randint(0, 4)))
        points = [drawn.randint(-90, 90) for _ in range(len(cuts) + 1)]
        features.append({"column": name, "cuts": cuts, "points": points, "absent": drawn.randint(-60, 60)})
    return cards.scorecard(version="any", base=drawn.randint(200, 900), features=features)


def _line(drawn: random.Random) -> dict[str, Any]:
    shift = drawn.choice([0, 3, 24])
    features = [
        {
            "column": name,
            "weight": drawn.randint(-60, 60) * (1 << shift) // high,
            "absent": drawn.randint(-9, 9) << shift,
        }
        for name, (_, _, high) in {**world.CIVIL_VALUES, **world.APPLICANT_VALUES}.items()
    ]
    return cards.linear(version="any", base=drawn.randint(200, 900) << shift, shift=shift, features=features)


def _context(path: Path, parameters: dict[str, Any]) -> StageContext:
    parties = [{"organization": one} for one in (world.BANK, world.CIVIL)]
    request = {"parameters": parameters, "purpose": world.PURPOSE}
    return StageContext({"parties": parties}, "", request, 1, path, {}, {}, path, path, 10, 0.0)


@pytest.mark.parametrize("make", [_scorecard, _line], ids=["scorecard", "linear"])
def test_random_worlds_score_as_the_reference_says(tmp_path: Path, make: Any) -> None:
    drawn = random.Random(38)
    for number in range(3):
        root, document = tmp_path / str(number), make(drawn)
        rows = []
        for person in sorted(drawn.sample(range(40), drawn.randint(1, 35))):
            changed: dict[str, Any] = {"consent_until": 20200101} if drawn.random() < 0.2 else {}
            changed |= {"spouse_consent_until": 0} if drawn.random() < 0.4 else {}
            rows.append(world.row(person, world.CIVIL_VALUES, seed=drawn.randrange(1000), **changed))
        agency = world.agency(root / "civil", rows, world.CIVIL_VALUES)
        asked = sorted(drawn.sample(range(45), 30))
        bank = world.applicants(root / "bank", asked)
        card, columns = cards.Card(document), list(world.CIVIL_VALUES)
        form = forms.form(card, columns=columns, bounds=BOUNDS)
        told = forms.read_told(forms.told(form.shape), columns=columns, bounds=BOUNDS)
        assert told == form.shape
        context = _context(agency, {"features": [{"columns": columns}], "own": ["amount"]})
        table = loading.load_table(agency, loading.load_meta(agency), values=columns, blocks=False, ids=True)
        persons = [world.person(one) for one in asked]

        found = pair.run(form, paired._people(context, agency, table, told), persons).found

        amounts = loading.load_table(bank, loading.load_meta(bank), values=["amount"], blocks=False, ids=True)
        shift, answers = int(document["shift"]), []
        for row, (who, amount) in enumerate(zip(persons, amounts.values["amount"].tolist(), strict=True)):
            own = forms.own_points(card, [amount], skip=2)
            answers.append(paired.answer(row, found[who], own=own, shift=shift))
        wanted = reference_models.scores(
            document,
            applicants=bank,
            agencies=[agency],
            features=[columns],
            own=["amount"],
            names=["", "", ""],
            recipient=world.RECIPIENT,
            day=consents.today(datetime.now(UTC)),
        )
        assert [one["status"] for one in answers] == [one["status"] for one in wanted]
        apart = [
            one["score"] - other["score"]
            for one, other in zip(answers, wanted, strict=True)
            if other["score"] is not None
        ]
        assert set(apart) <= ({0, 1} if shift else {0})


def test_the_edges_of_the_declared_bounds_stay_in_their_slots() -> None:
    form = _linear(-9, 15, -1, low=-1000, high=1000)
    corners = [(x, y, z) for x in (-1000, 0, 1000) for y in (-1000, 1000) for z in (-1000, 1000)]

    found = pair.run(form, pair.people(corners, form.shape, denied=[3]), [f"p{n}" for n in range(len(corners))]).found

    for number, (x, y, z) in enumerate(corners):
        expected = None if number == 3 else -9 * x + 15 * y - z
        assert found[f"p{number}"] == Found(expected)


def test_frames_and_slices_come_together_and_what_workers_need_can_be_sent_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paired_agency, "FRAME_BYTES", 512)
    form = _linear(*WEIGHTS)

    found = pair.run(form, pair.people([(n, 2 * n) for n in range(20)], form.shape), ["p0", "p7", "p19"]).found

    assert found == {"p0": Found(0), "p7": Found(7), "p19": Found(19)}
    # Arguments of the workers reach their processes by pickling.
    owner = keys.generate(pair.TEST_BITS, small_for_tests=True)
    sent = pickle.dumps((owner.public, form, b"seed", 10, paired_agency.Opener(owner, form.shape)))
    public, same, seed, draws, opener = pickle.loads(sent)
    columns = [vectors.write(public, vectors.encrypt([1], noise.Full(public))) for _ in WEIGHTS]
    weighed = paired_bank.Weigher(public, same, seed, draws)((0, columns))
    [mask, *_] = forms.masks(seed, 0, shape=form.shape, slots=form.shape.slots(public.plaintext_bits))
    assert opener(vectors.read(public, weighed, count=1))[0] == sum(WEIGHTS) + form.start + mask


def test_shares_of_weights_make_the_score_of_the_whole_whatever_the_shares_are() -> None:
    """Sixteen columns at both ends of what they may hold; shares drawn from the whole ring."""
    drawn, count, factor = random.Random(5), 16, 72
    weights = [drawn.randrange(-(1 << 19), 1 << 19) for _ in range(count)]
    theirs = [drawn.randrange(RING) for _ in range(count)]
    form = forms.trained_form([(one - two) % RING for one, two in zip(weights, theirs, strict=True)], factor=factor)
    table = [[LARGEST * sign] * count for sign in (1, -1)] + [[0] * count]
    table += [[drawn.randint(-LARGEST, LARGEST) // 8 for _ in range(count)] for _ in range(5)]
    model = kept.SharedModel("", (), (), 1, base64.b64encode(paired_models.write_shares(theirs)).decode(), (), ())
    values = np.array(table).T
    persons = replace(
        pair.people(table, form.shape),
        columns=list(values),
        points=paired_models.agency_points(values, model=model, factor=factor),
    )

    found = pair.run(form, persons, [f"p{number}" for number in range(len(table))]).found

    for number, row in enumerate(table):
        exact = -factor * sum(weight * value for weight, value in zip(weights, row, strict=True))
        told = found[f"p{number}"]
        assert told is not None
        assert told.total is not None
        assert 0 <= told.total - exact < 1 << forms.TRAINED_SHIFT


# --- a hostile agency ---------------------------------------------------------------------------------------


class Curious(Agency):
    """Keeps what it decrypted: the masked sums and the ciphertexts that came back."""

    seen: dict[str, Any] = {}

    def _masked(self, people: Any, order: Any) -> list[int]:
        found = super()._masked(people, order)
        self.seen.update(masked=found, order=order)
        return found


def _weights_from(seen: dict[str, Any]) -> list[int]:
    """Persons p0 without anything, p1 and p2 with one unit each: the differences are the weights."""
    sums = [seen["masked"][seen["order"][number]] for number in range(3)]
    return [sums[1] - sums[0], sums[2] - sums[0]]


def test_an_agency_that_decrypts_sees_no_weights_and_without_masks_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    form = _linear(*WEIGHTS)
    persons = pair.people([(0, 0), (1, 0), (0, 1)], form.shape)

    pair.run(form, persons, ["p0"], sides=(Bank, Curious))
    guessed = _weights_from(Curious.seen)
    assert all(abs(one) > 1 << 60 for one in guessed), guessed

    monkeypatch.setattr(forms, "masks", lambda seed, batch, *, shape, slots: [0] * slots)
    pair.run(form, persons, ["p0"], sides=(Bank, Curious))
    assert _weights_from(Curious.seen) == list(WEIGHTS)


class Remembering(Agency):
    """Keeps the ciphertexts that it sent and that came back, and its key."""

    seen: dict[str, Any] = {}

    def _opened(self, crew: Any, public: keys.PublicKey, reply: bytes, frame: range) -> list[int]:
        self.seen.update(public=public, reply=vectors.read(public, reply, count=len(frame)), frame=frame, crew=crew)
        return super()._opened(crew, public, reply, frame)


def _weights_that_fit(seen: dict[str, Any], sent: bytes, guesses: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Try every guess: is the noise that came back that of one's own ciphertexts to the power of these weights?"""
    public, owner, count = seen["public"], seen["crew"]._work._owner, len(seen["frame"])
    columns = vectors.read(public, sent, count=2 * count)

    def bare(ciphertext: mpz) -> mpz:
        return ciphertext * gmpy2.invert(1 + owner.decrypt(ciphertext) * public.n, public.n_square) % public.n_square

    wanted, first, second = bare(seen["reply"][0]), bare(columns[0]), bare(columns[count])
    return [
        (v, w)
        for v, w in guesses
        if gmpy2.powmod(first, v, public.n_square) * gmpy2.powmod(second, w, public.n_square) % public.n_square
        == wanted
    ]


def test_an_agency_cannot_try_weights_on_its_noise_and_without_fresh_noise_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    form = _linear(*WEIGHTS)
    persons = pair.people([(n, 2 * n) for n in range(20)], form.shape)
    guesses = [(v, w) for v in range(-10, 11) for w in range(-10, 11)]

    done = pair.run(form, persons, ["p0"], sides=(Bank, Remembering))
    assert _weights_that_fit(Remembering.seen, done.sent[1][1], guesses) == []

    monkeypatch.setattr(noise.Wide, "draw", lambda self: mpz(1))
    done = pair.run(form, persons, ["p0"], sides=(Bank, Remembering))
    assert _weights_that_fit(Remembering.seen, done.sent[1][1], guesses) == [WEIGHTS]


def test_what_the_bank_sends_is_as_long_and_as_many_whomever_it_asks_for() -> None:
    form = _linear(*WEIGHTS)
    persons = pair.people([(n, n) for n in range(30)], form.shape, denied=[5])
    asked: tuple[list[str], ...] = ([], ["p0"], ["p5", "p6"], [f"nobody{n}" for n in range(pair.SLOTS)])

    runs = [pair.run(form, persons, one) for one in asked]

    assert len({tuple(len(data) for data in done.sent[0]) for done in runs}) == 1
    points = [done.sent[0][-2] for done in runs]
    assert len(set(points)) == len(points)


# --- a hostile bank -----------------------------------------------------------------------------------------


def _reading(values: tuple[int, int]) -> int | None:
    """What a bank learns of a person whose two values it weighs 1 and 2^20, against what it said of its card."""
    honest = _linear(1, 1, high=500)
    form = forms.Form(honest.shape, (1, 1 << 20), 0, 0)
    found = pair.run(form, pair.people([values], form.shape), ["p0"]).found["p0"]
    return found.total if found else None


def test_a_bank_with_other_weights_reads_ten_bits_and_without_the_cut_every_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _reading((123, 456)) == _reading((123, 77)) == 123, "nothing beyond the bits that it said"

    monkeypatch.setattr(forms.Shape, "total_bits", property(lambda self: 60))
    total = _reading((123, 456))
    assert total is not None
    assert divmod(total, 1 << 20) == (456, 123)


def _answers(seeds: list[bytes], *, exact: int, bits: int) -> list[int]:
    rounded = [forms.rounding(seed, card="c", person="p", values=[1], bits=bits) for seed in seeds]
    return [exact + one for one in rounded]


def test_asking_again_does_not_refine_a_score_and_with_fresh_rounding_it_would() -> None:
    bits, exact, seeds = 20, 600 << 20 | 777_777, [bytes([n]) * 32 for n in range(50)]

    assert len(set(_answers([pair.SEED] * 50, exact=exact, bits=bits))) == 1
    several = _answers(seeds, exact=exact, bits=bits)
    low, high = max(several) - (1 << bits) + 1, min(several)
    assert low <= exact <= high
    assert high - low < 1 << bits - 3, "within an eighth of a point"


def test_rounding_is_drawn_anew_when_the_row_or_the_card_changes() -> None:
    drawn = {
        forms.rounding(pair.SEED, card=card, person=person, values=values, bits=24)
        for card in ("a", "b")
        for person in ("p", "q")
        for values in ([1, 2], [12], [1, 3])
    }

    assert len(drawn) == 12
    assert forms.rounding(pair.SEED, card="a", person="p", values=[1], bits=0) == 0


class Greedy(Bank):
    """Asks for one more than it said."""

    def _outputs(self, persons: Any, key: bytes) -> list[bytes]:
        self._slots += 1
        return super()._outputs(persons, key)


class Junk(Bank):
    """Sends what is no point of the group."""

    def _outputs(self, persons: Any, key: bytes) -> list[bytes]:
        self._mesh.exchange({1: b"\xff" * ristretto.SIZE * self._slots})
        raise AssertionError


@pytest.mark.parametrize("bank", [Greedy, Junk])
def test_a_bank_that_asks_for_more_or_for_junk_ends_the_run(bank: type[Bank]) -> None:
    form = _linear(*WEIGHTS)

    done = pair.run(form, pair.people([(1, 1)], form.shape), ["p0"], sides=(bank, Agency))

    assert isinstance(done.outcomes[1], EngineRefused)
    assert done.outcomes[1].code == "JOB_DIFFERS"


# --- an agency that breaks things ---------------------------------------------------------------------------


class Torn(Agency):
    """Sends columns that are no ciphertexts."""

    def _plaintexts(self, people: Any, order: Any, plaintext_bits: int) -> list[list[int]]:
        found = super()._plaintexts(people, order, plaintext_bits)
        mesh = self._mesh
        width = self._bits // 4

        class Spoiling:
            def exchange(self, outgoing: dict[int, bytes]) -> dict[int, bytes]:
                return mesh.exchange({0: bytes(width) + outgoing[0][width:]})

        self._mesh = Spoiling()  # type: ignore[assignment]
        return found


def test_what_is_no_ciphertext_ends_the_run() -> None:
    form = _linear(*WEIGHTS)

    done = pair.run(form, pair.people([(1, 1)], form.shape), ["p0"], sides=(Bank, Torn))

    assert isinstance(done.outcomes[0], PartInvalid)


class Marking(Agency):
    """Evaluates with another key than that of its table, so that it could tell who was asked for."""

    def answer(self, people: Any) -> None:
        original = oprf.evaluate_blinded
        other = oprf.derive_key(b"x" * 32, b"other", mode=oprf.Mode.VOPRF)
        oprf.evaluate_blinded = lambda key, element: original(other, element)
        try:
            super().answer(people)
        finally:
            oprf.evaluate_blinded = original


def test_an_agency_that_uses_another_key_is_found_out() -> None:
    form = _linear(*WEIGHTS)

    done = pair.run(form, pair.people([(1, 1)], form.shape), ["p0"], sides=(Bank, Marking))

    assert isinstance(done.outcomes[0], EngineRefused)
    assert done.outcomes[0].code == "JOB_DIFFERS"


@pytest.mark.parametrize("entry", [("1", "fffffffffff", "0"), ("9999", "1", "0"), ("x",), ("-1", "1", "0")])
def test_a_damaged_entry_is_told_to_the_bank_and_ends_no_run(entry: tuple[str, ...]) -> None:
    class Selective(Agency):
        """Spoils one person's entry, to see whether that person is asked for."""

        def _records(self, people: Any, order: Any, masked: Any) -> Any:
            return {**super()._records(people, order, masked), "p0": [entry]}

    form = _linear(*WEIGHTS)
    persons = pair.people([(1, 1), (2, 2)], form.shape)

    runs = [pair.run(form, persons, [asked], sides=(Bank, Selective)) for asked in ("p0", "p1")]

    assert runs[0].found == {"p0": Found(None, is_damaged=True)}
    assert runs[1].found == {"p1": Found(8)}
    assert [len(data) for data in runs[0].sent[0]] == [len(data) for data in runs[1].sent[0]]
    row = paired.answer(0, runs[0].found["p0"], own=0, shift=0)
    assert paired.document("1", [row])["counts"] == {"scored": 0, "no_record": 0, "denied_consent": 0, "damaged": 1}


def test_an_entry_that_was_changed_on_the_way_is_damaged(tmp_path: Path) -> None:
    key = oprf.derive_key(b"k" * 32, b"", mode=oprf.Mode.VOPRF)
    path = tmp_path / "t"
    encrypted_table.write(path, {"p": [("1", "2", "0")]}, key=key, noise=b"n" * 32, work_dir=tmp_path)
    output = oprf.evaluate(key, b"p", mode=oprf.Mode.VOPRF)
    data = bytearray(path.read_bytes())
    for place in range(encrypted_table.TAG, len(data), encrypted_table.ENTRY):
        data[place] ^= 1
    path.write_bytes(data)

    form = _linear(*WEIGHTS)
    bank = Bank(
        None,  # type: ignore[arg-type]
        form,
        rows=1024,
        slots=64,
        work_dir=tmp_path,
        progress=lambda *_: None,
        bits=512,
    )
    with encrypted_table.Reader(path) as reader:
        assert bank._open(reader, output) == Found(None, is_damaged=True)
