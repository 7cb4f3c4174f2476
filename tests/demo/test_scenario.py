import itertools
from collections import Counter

import pytest

from posemon_otel.demo.faults import Failure
from posemon_otel.demo.flux_api import DEFAULT_MODEL, ImageRequest
from posemon_otel.demo.poses import POSES
from posemon_otel.demo.scenario import (
    ATTEMPTS,
    EXPECTED,
    Script,
    expected_errors,
    expected_statuses,
    scenario,
    trickle,
)
from posemon_otel.semconv.errors import VALID_REASONS


def request(seed):
    return ImageRequest(DEFAULT_MODEL, "", POSES["waving"], 64, 64, seed, None, {})


@pytest.mark.parametrize("generations", [1, 2, 3, 4, 7, 20, 137])
def test_as_many_are_played_as_asked_for(generations):
    planned = scenario(generations)
    assert len(planned.orders) == generations
    assert bool(planned.incident) == (generations >= 4)
    assert len(planned.incident) == len(planned.recovery)


def test_no_two_orders_share_an_id_or_a_seed():
    orders = [*scenario(60).orders, *itertools.islice(trickle(60), 30)]
    ids = Counter(order.id for order in orders)
    seeds = Counter(pose.seed for order in orders for pose in order.poses)
    variations = Counter((order.id, pose.variation) for order in orders for pose in order.poses)
    assert {*ids.values(), *seeds.values(), *variations.values()} == {1}


def test_the_same_number_makes_the_same_scenario():
    assert scenario(33) == scenario(33)


def test_expected_names_are_such_as_classification_can_yield():
    assert all(reason in VALID_REASONS[kind] for kind, reason in EXPECTED.values())


def test_twenty_generations_end_in_every_way():
    orders = scenario(20).orders
    assert expected_statuses(orders) == {"completed": 8, "partial": 8, "failed": 4}
    assert expected_errors(orders) == {"FLUX_API_ERROR": 10, "TIMEOUT_ERROR": 2, "NETWORK_ERROR": 1}


def test_all_of_an_incident_fail_and_all_after_it_succeed():
    planned = scenario(40)
    assert {order.status for order in planned.incident} == {"failed"}
    assert {order.status for order in planned.recovery} == {"completed"}
    assert {pose.failure for order in planned.incident for pose in order.poses} == {Failure.UNAVAILABLE}


def test_what_fails_in_fewer_tries_than_there_are_is_rendered_in_the_end():
    retried = [order for order in scenario(20).orders if any(0 < pose.times < ATTEMPTS for pose in order.poses)]
    assert [(order.status, order.failures) for order in retried] == [("completed", ())]


def test_a_script_fails_each_request_as_often_as_planned_in_any_order():
    planned = scenario(20)
    poses = [pose for order in planned.calm for pose in order.poses]
    script = Script(planned.orders)
    for pose in reversed(poses):
        answers = [script(request(pose.seed)) for _ in range(ATTEMPTS + 1)]
        assert answers == [pose.failure] * pose.times + [None] * (ATTEMPTS + 1 - pose.times)
    assert script(request(999_999)) is None


def test_the_outage_is_not_the_scripts_business():
    planned = scenario(20)
    script = Script(planned.orders)
    assert {script(request(pose.seed)) for order in planned.incident for pose in order.poses} == {None}
