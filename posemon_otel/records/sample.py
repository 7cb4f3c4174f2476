"""A month of invented history, so that a new dashboard has something to show. Marked, and taken away as one piece."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection, Engine, delete, select

from posemon_otel.records import clean, merge, writes
from posemon_otel.records.columns import as_utc
from posemon_otel.records.database import writing
from posemon_otel.records.results import SampleSummary
from posemon_otel.records.rows import GenerationRow, PoseRow, pose_row_id
from posemon_otel.records.sample_data import (
    CAUSES,
    LIBRARY,
    MODELS,
    OUTAGES,
    USUAL_FAILURES,
    WHOLE_FAILURES,
    Cause,
    LibraryPose,
)
from posemon_otel.records.tables import (
    generated_poses,
    generation_facts,
    pose_categories,
    pose_facts,
    pose_generations,
    pose_library,
    sample_generations,
    users,
)
from posemon_otel.semconv import errors
from posemon_otel.semconv.operations import COMPLETED, FAILED, PARTIAL, PENDING

__all__ = ["DAYS", "ENDS_BEFORE", "LIBRARY", "LibraryPose", "add_library", "remove_sample", "write_sample"]

CREDITS_A_POSE = 30
CREDITS_BACKGROUND = 10
DAYS = 30
ENDS_BEFORE = timedelta(minutes=2)
"""Nothing of it happens within this time before now, so that what happens from now on can be told apart."""

_USER_PREFIX = "sample-user-"
_MEAN_PER_HOUR = 6.0


def add_library(engine: Engine, poses: Sequence[LibraryPose]) -> None:
    """Inserts public poses and their categories; what is there already stays.

    Raises:
        DatabaseError: The database is away or not ours.
    """
    with writing(engine) as connection:
        _insert_library(connection, poses, clean.now())


def write_sample(
    engine: Engine,
    *,
    now: datetime | None = None,
    days: int = DAYS,
    seed: int = 1,
    library: Sequence[LibraryPose] = LIBRARY,
) -> SampleSummary:
    """Writes the sample history, in place of an earlier one; all of it or nothing.

    Args:
        engine: Our own database, upgraded.
        now: It ends ``ENDS_BEFORE`` this; the present by default.
        days: Its length.
        seed: The same seed and time make the same history.
        library: The poses that it uses; those that are not there are inserted.

    Raises:
        DatabaseError: The database is away or not ours.
    """
    end = (clean.now() if now is None else as_utc(now)) - ENDS_BEFORE
    start = end - timedelta(days=days)
    random = Random(seed)  # noqa: S311 - invented history, no secrets
    people = _people(start)
    made = list(_history(random, start, end, [person["id"] for person in people], library))
    poses = [pose for _, of_it in made for pose in of_it]
    with writing(engine) as connection:
        _remove(connection)
        _insert_library(connection, library, start)
        writes.insert_new(connection, users, people)
        writes.insert_new(connection, pose_generations, [_only(columns, _GENERATION) for columns, _ in made])
        writes.insert_new(connection, generation_facts, [_only(columns, _FACTS) for columns, _ in made])
        writes.insert_new(connection, sample_generations, [{"generation_id": columns["id"]} for columns, _ in made])
        writes.insert_new(connection, generated_poses, [writes.pose_values(pose) for pose in poses])
        writes.insert_new(
            connection,
            pose_facts,
            [{"pose_id": row.id, "latest": merge.pose_key(row), **writes.pose_fact_values(row)} for row in poses],
        )
    return SampleSummary(
        generations=len(made),
        poses=len(poses),
        users=len(people),
        by_status=dict(Counter(columns["status"] for columns, _ in made)),
        start=min((columns["createdAt"] for columns, _ in made), default=start),
        end=max((columns["completedAt"] or columns["createdAt"] for columns, _ in made), default=start),
    )


def remove_sample(engine: Engine) -> None:
    """Takes the sample history away; the pose library stays.

    Raises:
        DatabaseError: The database is away or not ours.
    """
    with writing(engine) as connection:
        _remove(connection)


def _remove(connection: Connection) -> None:
    marked = select(sample_generations.c.generation_id)
    of_marked = select(generated_poses.c.id).where(generated_poses.c.generationId.in_(marked))
    connection.execute(delete(pose_facts).where(pose_facts.c.pose_id.in_(of_marked)))
    connection.execute(delete(generated_poses).where(generated_poses.c.generationId.in_(marked)))
    connection.execute(delete(generation_facts).where(generation_facts.c.generation_id.in_(marked)))
    connection.execute(delete(pose_generations).where(pose_generations.c.id.in_(marked)))
    connection.execute(delete(sample_generations))
    connection.execute(delete(users).where(users.c.id.startswith(_USER_PREFIX)))


_GENERATION = {"id": "id", **{name: name for name in writes.GENERATION_COLUMNS}}
_FACTS = {"generation_id": "id", **{name: name for name in writes.FACT_COLUMNS}}


def _only(columns: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {name: columns.get(source) for name, source in names.items()}


def _insert_library(connection: Connection, poses: Sequence[LibraryPose], now: datetime) -> None:
    times = {"createdAt": now, "updatedAt": now}
    categories = [
        {"id": name, "name": name, "displayName": name.capitalize(), "slug": name, **times}
        for name in sorted({pose.category for pose in poses})
    ]
    writes.insert_new(connection, pose_categories, categories)
    rows = [{"id": pose.id, "name": pose.name, "categoryId": pose.category, **times} for pose in poses]
    writes.insert_new(connection, pose_library, rows)


def _people(created_at: datetime) -> list[dict[str, Any]]:
    names = ("Ada", "Bo", "Chen", "Dina", "Emil", "Fatou", "Goran", "Hana", "Ines", "Jun", "Kofi", "Lena")
    return [
        {
            "id": f"{_USER_PREFIX}{number:02}",
            "email": f"{name.lower()}@sample.invalid",
            "password": "!",  # the hash of nothing: nobody signs in with it
            "name": name,
            "role": "user",
            "createdAt": created_at,
            "updatedAt": created_at,
        }
        for number, name in enumerate(names, 1)
    ]


def _history(
    random: Random, start: datetime, end: datetime, people: Sequence[str], library: Sequence[LibraryPose]
) -> Iterator[tuple[dict[str, Any], list[PoseRow]]]:
    """Arrivals as a Poisson process whose rate follows day, night and week."""
    at, number = start, 0
    busiest = _MEAN_PER_HOUR * 2
    while True:
        at += timedelta(hours=random.expovariate(busiest))
        if at >= end:
            return
        if random.random() * busiest > _rate(at):
            continue
        number += 1
        columns, poses = _generation(random, f"sample-{number:05}", at, end, people, library)
        if columns["completedAt"] is None or columns["completedAt"] < end:
            yield columns, poses


def _rate(at: datetime) -> float:
    hour = at.hour + at.minute / 60
    daylight = 1 - 0.8 * math.cos(2 * math.pi * (hour - 4) / 24)  # least at 4 h, most at 16 h
    return _MEAN_PER_HOUR * daylight * (0.65 if at.weekday() >= 5 else 1.1)


def _cause(random: Random, at: datetime, end: datetime) -> Cause | None:
    ago = (end - at) / timedelta(days=1)
    for days_ago, hours, share, index in OUTAGES:
        if days_ago - hours / 24 < ago <= days_ago and random.random() < share:
            return CAUSES[index]
    return _any_cause(random) if random.random() < USUAL_FAILURES else None


def _any_cause(random: Random) -> Cause:
    return random.choices(CAUSES, [cause.weight for cause in CAUSES])[0]


def _generation(
    random: Random,
    generation_id: str,
    created_at: datetime,
    end: datetime,
    people: Sequence[str],
    library: Sequence[LibraryPose],
) -> tuple[dict[str, Any], list[PoseRow]]:
    user = random.choices(people, [1 / (rank + 1) for rank in range(len(people))])[0]
    model = random.choices(MODELS, [model.weight for model in MODELS])[0]
    expected = random.choices((1, 2, 3, 4, 6, 8), (24, 20, 14, 24, 10, 8))[0]
    price = CREDITS_A_POSE + (CREDITS_BACKGROUND if random.random() < 0.25 else 0)
    blank = {"id": generation_id, **merge.blank(created_at, begun_here=False)}
    if random.random() < 0.0015 and end - created_at > timedelta(days=2):
        # Asked for and never taken up, as it happens when a queue is emptied by hand.
        asked = GenerationRow(generation_id, PENDING, terminal=False, user_id=user, expected_poses=expected, attempt=0)
        return merge.merge(blank, asked), []
    started_at = at = created_at + timedelta(seconds=random.expovariate(1 / 6))
    poses: list[PoseRow] = []
    causes: list[Cause] = []
    shared = _any_cause(random) if random.random() < WHOLE_FAILURES else None
    for index, picked in enumerate(random.choices(library, range(len(library), 0, -1), k=expected)):
        seconds = round(random.lognormvariate(math.log(model.seconds), 0.25), 3)
        cause = shared or _cause(random, at, end)
        if cause is not None:
            causes.append(cause)
            seconds = 120.0 if cause.reason == errors.TIMEOUT else round(seconds * random.random(), 3)
        poses.append(
            PoseRow(
                id=pose_row_id(generation_id, index),
                generation_id=generation_id,
                status=COMPLETED if cause is None else FAILED,
                pose_library_id=picked.id,
                name=picked.name,
                error_type=cause and cause.type.value,
                error_reason=cause and cause.reason,
                error_message=cause and cause.message,
                generation_time=seconds,
                seed=random.getrandbits(32),
                controlnet_weight=0.75,
                created_at=at,
            )
        )
        at += timedelta(seconds=seconds)
    done, lost = expected - len(causes), len(causes)
    most = Counter(causes).most_common(1)[0][0] if causes else None
    took = (at - started_at).total_seconds()
    row = GenerationRow(
        id=generation_id,
        status=COMPLETED if not lost else PARTIAL if done else FAILED,
        terminal=True,
        user_id=user,
        expected_poses=expected,
        poses_completed=done,
        poses_failed=lost,
        credits_charged=price * expected,
        credits_refunded=price * sum(errors.refundable(cause.type, cause.reason) for cause in causes),
        error_type=most and most.type.value,
        error_reason=most and most.reason,
        error_message=most and most.message,
        started_at=started_at,
        completed_at=at,
        avg_generation_time=round(took / done, 3) if done else None,
        total_processing_time=round(took, 3),
        model=model.name,
        provider=model.provider,
    )
    return merge.merge(blank, row), poses
