"""Which records are refused, and which only wait: a backend in memory that tells why, or does not."""

from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posemon_otel.delivery import answers, sieve
from posemon_otel.delivery.answers import Answer, Verdict
from posemon_otel.delivery.sieve import Held, Item, Sieve

FAILS = {
    "tells": Answer(Verdict.REJECTED, "400", "backend"),
    "does not tell": None,
    "falls over": Answer(Verdict.OUTAGE, "ConnectionError", "backend"),
}


class Result(Enum):
    SUCCESS = 0
    FAILURE = 1


class Memory:
    """Takes records that are none of its poison, while it is up; ``max_records`` stands for bytes."""

    def __init__(self, poison=(), tells="tells", max_records=10_000):
        self.poison, self.tells, self.max_records, self.up = set(poison), tells, max_records, True
        self.taken, self.requests = [], 0

    def export(self, records):
        self.requests += 1
        if not self.up:
            if self.tells != "does not tell":
                answers.note(Answer(Verdict.OUTAGE, "503", "backend"))
            return Result.FAILURE
        if len(records) > self.max_records:
            answers.note(Answer(Verdict.REJECTED, "413", "backend", too_large=True))
            return Result.FAILURE
        if self.poison.intersection(records):
            if FAILS[self.tells]:
                answers.note(FAILS[self.tells])
            return Result.FAILURE
        self.taken += records
        return Result.SUCCESS


def batch(records, size=100, begin=0):
    return [Item(begin + number, record, size) for number, record in enumerate(records)]


def given_until_done(backend, count, attempts, more=0):
    """Gives a batch of ``count`` up to ``attempts`` times, with ``more`` new records each time."""
    giver, held, refused = Sieve(backend), Held(), []
    held.add(batch(range(count)), giver.limit)
    for _ in range(attempts):
        if giver.give(held, refused.append):
            return giver, refused, count
        held.add(batch(range(count, count + more), begin=count), giver.limit)
        count += more
    return giver, refused, None


@pytest.mark.parametrize("tells", ["tells", "does not tell"])
def test_one_poison_record_among_500_is_found_at_once_and_the_others_are_sent_once(tells):
    backend = Memory({217}, tells)
    _, refused, done = given_until_done(backend, 500, attempts=1)
    assert done == 500
    assert [one.item.record for one in refused] == [217]
    assert sorted(backend.taken) == [record for record in range(500) if record != 217]
    assert backend.requests < 25
    assert refused[0].answer.status == ("400" if tells == "tells" else "failed")
    assert refused[0].answer.endpoint == ("backend" if tells == "tells" else "Memory")


def test_a_record_that_makes_the_backend_fall_over_is_found_while_others_go_through():
    backend = Memory({3}, "falls over")
    _, refused, done = given_until_done(backend, 10, attempts=40, more=1)
    assert done is not None
    assert [one.item.record for one in refused] == [3]
    assert sorted(backend.taken) == [record for record in range(done) if record != 3]


@pytest.mark.parametrize("tells", FAILS)
def test_in_an_outage_nothing_is_refused_and_requests_are_few(tells):
    backend = Memory(tells=tells)
    backend.up = False
    giver, held, refused = Sieve(backend), Held(), []
    held.add(batch(range(300)), giver.limit)
    for _ in range(30):
        assert giver.give(held, refused.append) is False
    assert refused == []
    assert backend.requests <= 3 * 30
    backend.up = True
    before = backend.requests
    assert giver.give(held, refused.append)
    assert refused == []
    assert sorted(backend.taken) == list(range(300))
    assert backend.requests - before <= 4  # the small parts of the outage are joined again


@pytest.mark.parametrize("tells", FAILS)
def test_a_backend_that_takes_nothing_at_all_costs_nothing(tells):
    """A wrong token, a wrong path: nothing is given up before something has gone through."""
    backend = Memory(range(40), tells)
    _, refused, done = given_until_done(backend, 40, attempts=60)
    assert done is None
    assert refused == []


def test_a_backend_that_turns_to_refusing_everything_does_not_empty_the_journal():
    backend = Memory()
    giver, refused = Sieve(backend), []
    held = Held()
    held.add(batch(range(10)), giver.limit)
    assert giver.give(held, refused.append)
    backend.poison = set(range(10, 1000))
    for begin in range(10, 110, 10):
        held = Held()
        held.add(batch(range(begin, begin + 10)), giver.limit)
        giver.give(held, refused.append)
    assert len(refused) <= 3


def test_what_is_too_large_is_halved_and_the_size_is_remembered():
    backend = Memory(max_records=64)
    giver, refused, done = given_until_done(backend, 512, attempts=1)
    assert done == 512
    assert refused == []
    assert sorted(backend.taken) == list(range(512))
    held = Held()
    sieve_limit = giver.limit
    assert sieve_limit < 512 * 100
    big = batch(range(512), size=1000)
    held.add(big, giver.limit)
    assert max(len(part) for part in held.parts) <= 64
    backend.requests = 0
    assert giver.give(held, refused.append)
    assert backend.requests <= 512 * 1000 // 16_000


def test_parts_are_bounded_in_bytes_and_a_large_record_is_alone():
    held = Held()
    held.add([Item(0, "a", 10), Item(1, "b", sieve.FIRST_LIMIT * 3), Item(2, "c", 10), Item(3, "d", 10)], 100)
    assert [[item.record for item in part] for part in held.parts] == [["a"], ["b"], ["c", "d"]]


def test_a_backend_that_fails_now_and_then_for_no_reason_costs_no_record():
    """It refuses one record, and every third request besides."""

    class Flaps(Memory):
        def export(self, records):
            if self.requests % 3 == 2:
                self.requests += 1
                return Result.FAILURE
            return super().export(records)

    for place in range(40):
        backend = Flaps({place}, "does not tell")
        _, refused, done = given_until_done(backend, 40, attempts=60, more=1)
        assert done is not None
        assert [one.item.record for one in refused] == [place]
        assert sorted(backend.taken) == [record for record in range(done) if record != place]


def test_an_exporter_that_raises_is_one_that_does_not_tell():
    class Raises(Memory):
        def export(self, records):
            if 5 in records:
                raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
            return super().export(records)

    backend = Raises()
    _, refused, done = given_until_done(backend, 20, attempts=1)
    assert done == 20
    assert [(one.item.record, one.answer.status) for one in refused] == [(5, "UnicodeEncodeError")]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_good_records_arrive_and_only_poison_is_refused(data):
    count = data.draw(st.integers(2, 60))
    poison = data.draw(st.sets(st.integers(0, count - 1), max_size=count - 1))
    tells = data.draw(st.sampled_from(["tells", "does not tell"]))
    backend = Memory(poison, tells, max_records=data.draw(st.sampled_from([1, 7, 10_000])))
    downs = data.draw(st.lists(st.booleans(), max_size=6))
    giver, held, refused = Sieve(backend), Held(), []
    held.add(batch(range(count)), giver.limit)
    for down in [*downs, *[False] * 200]:
        backend.up = not down
        if giver.give(held, refused.append):
            break
        held.add(batch([count], begin=count), giver.limit)  # life goes on: what is new proves that the backend lives
        count += 1
    assert not held.parts
    assert {one.item.record for one in refused} == poison
    assert sorted(backend.taken) == sorted(set(range(count)) - poison)
