"""The plan: who decides, in which order, and that a seed repeats."""

import threading
from collections import Counter

import pytest

from posemon_otel.demo.faults import Failure, Plan


def test_an_outage_goes_before_the_list_the_list_before_the_rule_the_rule_before_the_rates():
    plan = Plan({Failure.DROP: 1.0}, rule={"odd": Failure.AUTH}.get)
    plan.fail_next(Failure.HANG, None)
    with plan.outage():
        assert plan.decide("odd") is Failure.UNAVAILABLE
    assert [plan.decide(request) for request in ("odd", "odd", "odd", "even")] == [
        Failure.HANG,
        None,
        Failure.AUTH,
        Failure.DROP,
    ]


def test_an_outage_ends_with_its_block_also_when_that_raises():
    plan = Plan()
    with pytest.raises(KeyError), plan.outage(Failure.MODEL_LOADING):
        raise KeyError
    assert plan.decide("any") is None


def test_clear_takes_everything_back():
    plan = Plan({Failure.DROP: 1.0}, rule=lambda _: Failure.AUTH)
    plan.fail_next(Failure.HANG)
    plan.begin_outage()
    plan.clear()
    assert plan.decide("any") is None


def test_a_seed_gives_the_same_draws_and_the_rates_their_shares():
    def draws(seed):
        plan = Plan({Failure.DROP: 0.3, Failure.AUTH: 0.1}, seed=seed)
        return [plan.decide(None) for _ in range(2000)]

    assert draws(5) == draws(5)
    assert draws(5) != draws(6)
    shares = Counter(draws(5))
    assert shares[Failure.DROP] / 2000 == pytest.approx(0.3, abs=0.04)
    assert shares[Failure.AUTH] / 2000 == pytest.approx(0.1, abs=0.03)


def test_a_draw_belongs_to_the_nth_request_whatever_decided_before():
    plain, listed = (Plan({Failure.DROP: 0.5}, seed=1) for _ in range(2))
    listed.fail_next(*[Failure.AUTH] * 10)
    assert [plain.decide(None) for _ in range(50)][10:] == [listed.decide(None) for _ in range(50)][10:]


def test_rates_may_change_while_requests_come():
    plan = Plan()
    plan.set_rates({Failure.DROP: 1.0})
    assert plan.decide(None) is Failure.DROP


@pytest.mark.parametrize("rates", [{Failure.DROP: -0.1}, {Failure.DROP: 0.6, Failure.AUTH: 0.5}])
def test_impossible_rates_are_refused(rates):
    with pytest.raises(ValueError, match="sum to at most 1"):
        Plan(rates)
    with pytest.raises(ValueError, match="sum to at most 1"):
        Plan().set_rates(rates)


def test_a_rule_may_call_the_plan_that_asks_it():
    plan = Plan(rule=lambda _: plan.fail_next(Failure.AUTH))
    assert [plan.decide(None), plan.decide(None)] == [None, Failure.AUTH]


def test_each_of_a_list_is_taken_once_by_many_threads():
    plan = Plan()
    plan.fail_next(*[Failure.AUTH] * 300)
    taken = Counter()
    lock = threading.Lock()

    def take():
        mine = [plan.decide(None) for _ in range(100)]
        with lock:
            taken.update(mine)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert taken == {Failure.AUTH: 300, None: 100}
