"""Random tables and hostile owners: the sum is the plain one, few are not told, junk and replays end the run."""

import hashlib

import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.engines import identifiers, private_join, ristretto
from compute.engines.errors import PartInvalid
from compute.engines.matched_sum import MatchedSum, Question
from compute.engines.paillier import keys, noise, vectors
from compute.engines.paillier.packing import PackingOverflow
from compute.engines.private_join import Join
from tests.factories.matched import TEST_BITS, Lost, run, table

IDS = [f"person-{number}" for number in range(60)]
KEY = hashlib.sha256(b"a job").digest()


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_random_tables_add_up_to_the_plain_sum_or_to_nothing(data):
    drawn = st.lists(st.sampled_from(IDS), unique=True, min_size=1)
    listed, valued = data.draw(drawn), data.draw(drawn)
    numbers = [data.draw(st.integers(-999, 999)) for _ in valued]

    found = run(table(listed), table(valued, {"base": numbers})).opened()

    both = [number for one, number in zip(valued, numbers, strict=True) if one in set(listed)]
    rests = (len(listed) - len(both), len(valued) - len(both))
    is_told = len(both) >= 10 and all(rest == 0 or rest >= 10 for rest in rests)
    assert found == ([len(both), sum(both), sum(n * n for n in both)] if is_told else [0, 0, 0])


@given(rows=st.tuples(st.integers(0, 60), st.integers(0, 60)), data=st.data())
def test_what_is_told_never_leaves_fewer_than_k_by_a_difference(rows, data):
    matched = data.draw(st.integers(0, min(rows)))

    if Question([], rows, 10).may_tell(matched):
        assert all(few == 0 or few >= 10 for few in (matched, *(total - matched for total in rows)))
        assert matched


def test_every_withheld_run_sends_the_same_and_opens_to_the_same():
    """Nobody, one, nine in both, or five who are not: same messages in size and number, same result, same part size."""
    overlaps = (0, 1, 9, 25)
    runs = [run(table(IDS[:30]), table(IDS[30 - n : 60 - n], {"base": [7] * 30})) for n in overlaps]

    assert all(found.opened() == [0, 0, 0] for found in runs)
    assert len({tuple(len(data) for side in found.sent for data in side) for found in runs}) == 1


def test_a_list_of_a_few_is_not_even_matched(monkeypatch):
    """Nothing could be told; and how many of three named persons the other has, their asker would learn for itself."""
    listed, valued = table(IDS[:3]), table(IDS, {"base": [5] * 60})
    learned = []
    may_tell = Question.may_tell

    def watched(question, matched):
        learned.append(matched)
        return may_tell(question, matched)

    monkeypatch.setattr(Question, "may_tell", watched)

    assert run(listed, valued).opened() == [0, 0, 0]
    assert learned == []
    monkeypatch.setattr(Question, "is_hopeless", False)
    assert run(listed, valued).opened() == [0, 0, 0]
    assert learned == [3, 3]  # the sister: both owners know


def test_without_the_gate_three_persons_would_be_told(monkeypatch):
    listed, valued = table(IDS[:20]), table(IDS[17:40], {"base": [5] * 23})

    assert run(listed, valued).opened() == [0, 0, 0]
    monkeypatch.setattr(Question, "may_tell", lambda self, matched: True)
    assert run(listed, valued).opened() == [3, 15, 75]


def test_one_owner_alone_cannot_let_a_small_match_through():
    class Lenient(Join):
        """Tells everything; the other owner does not."""

        def look_up(self, table):
            self._question = type("Anything", (Question,), {"may_tell": lambda self, matched: True})(
                self._question.values, self._question.rows, self._question.k
            )
            return super().look_up(table)

    found = run(table(IDS[:20]), table(IDS[17:40], {"base": [5] * 23}), sides=(Lenient, Join))

    try:
        opened = found.opened()
    except PackingOverflow:
        return  # a uniform number: nearly always no sum at all
    assert opened != [3, 15, 75]


# --- what goes over the wire ----------------------------------------------------------------------------------


def points_of(data):
    return {data[place : place + 32] for place in range(0, len(data), 32)}


def guesses(scalar):
    """The points that a peer, who knows the job's key and every identifier there is, can compute with a scalar."""
    return {
        ristretto.multiply(scalar, ristretto.hash_to_group(one, domain=private_join._DOMAIN))
        for one in identifiers.keyed(IDS, KEY)
    }


def test_a_peer_who_enumerates_all_identifiers_finds_nobody(monkeypatch):
    secret = ristretto.random_scalar()
    found = run(table(IDS[:20]), table(IDS[5:45], {"base": [1] * 40}), job_key=KEY)
    assert not points_of(found.sent[0][0]) & guesses(secret)

    # The sister: were the scalar known, or none at all, everybody would be found.
    monkeypatch.setattr(ristretto, "random_scalar", lambda: secret)
    found = run(table(IDS[:20]), table(IDS[5:45], {"base": [1] * 40}), job_key=KEY)
    assert len(points_of(found.sent[0][0]) & guesses(secret)) == 20


def test_the_points_of_two_jobs_have_nothing_in_common():
    sides = table(IDS[:20]), table(IDS[5:45], {"base": [1] * 40})
    first, second = run(*sides, job_key=KEY), run(*sides, job_key=KEY)

    assert not points_of(first.sent[0][0]) & points_of(second.sent[0][0])


def test_the_order_that_comes_back_says_nothing_about_the_order_that_was_sent(monkeypatch):
    scalars = []

    class Watched(Join):
        def give_values(self, table):
            scalars.append(self._scalar)
            return super().give_values(table)

    def kept():
        found = run(table(IDS[:40]), table(IDS, {"base": [1] * 60}), sides=(Join, Watched))
        sent, back = found.sent[0][0], max(found.sent[1][:3], key=len)
        forth = [ristretto.multiply(scalars[-1], sent[place : place + 32]) for place in range(0, len(sent), 32)]
        return sum(one == back[32 * place : 32 * place + 32] for place, one in enumerate(forth))

    assert kept() < 10  # one on average
    monkeypatch.setattr(private_join._random, "shuffle", lambda items: None)
    assert kept() == 40  # the sister: the list owner could tell which of its persons are in both


# --- parties that do not follow -------------------------------------------------------------------------------


class Repeating(Join):
    """Sends its first point in place of its second."""

    def _send_points(self, points):
        super()._send_points([points[0], points[0], *points[2:]])


class NoPoints(Join):
    """Sends bytes that are no points."""

    def _send_points(self, points):
        super()._send_points([b"\xff" * 32, *points[1:]])


class TooFew(Join):
    """Has fewer rows than it said."""

    def _send_points(self, points):
        super()._send_points(points[1:])


class Doubling(Join):
    """Sends one person's row twice, so that it counts twice; another's is left out."""

    def _send_rows(self, owner, points, table):
        super()._send_rows(owner, [points[0], points[0], *points[2:]], table)


class Junk(Join):
    """Sends what is no ciphertext."""

    def _send_rows(self, owner, points, table):
        data = b"".join(points) + bytes(len(points) * owner.public.ciphertext_bytes)
        self._send(data)


class OtherKey(Join):
    """Encrypts under a longer key than the job's."""

    def _send_rows(self, owner, points, table):
        longer = keys.generate(TEST_BITS + 16, small_for_tests=True).public
        ciphertexts = vectors.encrypt([0] * len(points), noise.Full(longer))
        self._send(b"".join(points) + b"".join(int(one).to_bytes(TEST_BITS // 4, "big") for one in below(ciphertexts)))


class NoKey(Join):
    """Sends a key that is too short."""

    def _send(self, data):
        super()._send(data[: TEST_BITS // 16] if len(data) == TEST_BITS * 3 // 8 else data)


class JunkSum(Join):
    """Gives zero for the masked sum."""

    def _send(self, data):
        super()._send(bytes(len(data)) if len(data) == TEST_BITS // 4 else data)


def below(ciphertexts):
    return [one % (mpz(1) << 2 * TEST_BITS) for one in ciphertexts]


LISTED, VALUED = IDS[:20], IDS[:40]


@pytest.mark.parametrize(
    ("sides", "victim"),
    [
        ((Repeating, Join), 1),
        ((NoPoints, Join), 1),
        ((TooFew, Join), 1),
        ((JunkSum, Join), 1),
        ((Join, Repeating), 0),
        ((Join, TooFew), 0),
        ((Join, Doubling), 0),
        ((Join, Junk), 0),
        ((Join, NoKey), 0),
    ],
    ids=lambda value: "-".join(side.__name__ for side in value) if isinstance(value, tuple) else None,
)
def test_a_party_that_does_not_follow_voids_the_run(sides, victim):
    found = run(table(LISTED), table(VALUED, {"base": [3] * 40}), sides=sides)

    assert isinstance(found.outcomes[victim], PartInvalid)
    assert isinstance(found.outcomes[1 - victim], Lost | PartInvalid)
    assert "person-" not in str(found.outcomes[victim])


def test_without_the_check_a_person_sent_twice_counts_twice(monkeypatch):
    """The sister: thirty of the rows match, but two of them are one person's."""
    valued = table(IDS[:30] + [f"elsewhere-{number}" for number in range(15)], {"base": [3] * 45})
    monkeypatch.setattr(private_join, "_check_distinct", lambda points: None)

    found = run(table(IDS), valued, sides=(Join, Doubling))

    assert found.opened() == [30, 90, 270]  # 29 persons


def test_rows_recorded_in_another_job_match_nobody():
    honest = run(table(LISTED), table(VALUED, {"base": [3] * 40}))
    rows = max(honest.sent[1], key=len)

    class Replaying(Join):
        """Sends what a peer sent in another job."""

        def _send_rows(self, owner, points, table):
            self._send(rows)

    found = run(table(LISTED), table(VALUED, {"base": [3] * 40}), sides=(Join, Replaying))

    assert honest.opened()[0] == 20
    if not isinstance(found.outcomes[0], PartInvalid):  # a number may exceed the other key's square
        assert found.opened() == [0, 0, 0]


def test_the_value_owner_sees_a_uniform_number_and_no_origin():
    """The owner knows every noise it drew; the ciphertext it gets back is none that it could put together itself."""
    seen = []

    class Curious(Join):
        def _send_rows(self, owner, points, table):
            self._curious_owner = owner
            super()._send_rows(owner, points, table)

        def _receive(self):
            data = super()._receive()
            if len(data) == TEST_BITS // 4 and hasattr(self, "_curious_owner"):
                seen.append(self._curious_owner.decrypt(mpz(int.from_bytes(data, "big"))))
            return data

    for _ in range(2):
        run(table(LISTED), table(VALUED, {"base": [3] * 40}), sides=(Join, Curious), job_key=KEY)

    assert len(set(seen)) == 2
    assert all(number.bit_length() > TEST_BITS - 40 for number in seen)  # the sum itself has some forty bits


def test_the_estimate_grows_with_the_rows():
    small, large = (MatchedSum().estimate({"values": ["base"]}, rows=[n, n]) for n in (1 << 10, 1 << 20))

    assert large.seconds > 100 * small.seconds
    assert large.bytes_sent > 100 * small.bytes_sent
