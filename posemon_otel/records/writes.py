"""Upserts into our own database: whole batches, in one transaction, as often as one likes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from posemon_otel.records import clean, merge
from posemon_otel.records.database import DatabaseError, address_of, is_postgres, writing
from posemon_otel.records.migrations import state_of
from posemon_otel.records.rows import EventRow, GenerationRow, PoseRow
from posemon_otel.records.tables import (
    generated_poses,
    generation_events,
    generation_facts,
    pose_facts,
    pose_generations,
    users,
)
from posemon_otel.semconv.operations import PENDING

_CHUNK = 500

GENERATION_COLUMNS = (
    "userId",
    "totalExpectedPoses",
    "status",
    "progress",
    "posesCompleted",
    "posesFailed",
    "creditCharged",
    "creditRefunded",
    "errorMessage",
    "createdAt",
    "startedAt",
    "completedAt",
    "avgGenerationTime",
    "totalProcessingTime",
)
"""The columns of ``pose_generations`` that we write; the others are the application's."""

FACT_COLUMNS = tuple(column.name for column in generation_facts.columns if column.name != "generation_id")
"""The columns of ``generation_facts`` beside its key."""


class RecordWriter:
    """Writes rows into posemon's own database.

    Delivery is at least once and in no order, so writing a batch again changes nothing, an older attempt never
    overwrites a newer one, and the word about an interrupted attempt never overwrites a real one (see ``merge``). What
    an application inserted before (prompt, project, its own creation time) stays.
    """

    def __init__(self, engine: Engine) -> None:
        """Opens nothing yet.

        Args:
            engine: From ``connect``; its tables must be there (``upgrade``).
        """
        self._engine = engine
        self._checked = False

    @property
    def address(self) -> str:
        """Where it writes, without credentials."""
        return address_of(self._engine)

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._engine.dispose()

    def write(
        self,
        generations: Iterable[GenerationRow] = (),
        poses: Iterable[PoseRow] = (),
        events: Iterable[EventRow] = (),
    ) -> None:
        """Writes a batch, all of it or nothing.

        Args:
            generations: In any order, with duplicates.
            poses: Likewise; their generations may come later.
            events: Likewise.

        Raises:
            DatabaseError: The database is away or not ours; the batch may be tried again.
        """
        with writing(self._engine) as connection:
            if not self._checked:
                state = state_of(connection)
                if not state.current:
                    raise DatabaseError(f"POSEMON_DATABASE_URL: expected posemon's own database, but {state.problem}")
            _write_generations(connection, list(generations))
            _write_poses(connection, list(poses))
            in_order = sorted(events, key=lambda row: row.id)  # as with ids everywhere: two writers must not cross
            insert_new(connection, generation_events, [event_values(row) for row in in_order])
        self._checked = True


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts what is not there yet; what is there stays as it is."""
    if rows:
        insert = postgresql.insert(table) if is_postgres(connection) else sqlite.insert(table)
        connection.execute(insert.on_conflict_do_nothing(), rows)


def event_values(row: EventRow) -> dict[str, Any]:
    """The columns of an event."""
    return {
        "id": clean.required_text(row.id),
        "type": clean.required_text(row.type),
        "generation_id": clean.cleaned_text(row.generation_id),
        "user_id": clean.cleaned_text(row.user_id),
        "at": row.at,
        "metadata": clean.json_value(row.metadata),
    }


def add_user(
    engine: Engine, user_id: str, *, email: str, password_hash: str, name: str | None = None, role: str = "user"
) -> None:
    """Makes a user of our own database, or sets everything about one.

    Args:
        engine: Our own database.
        user_id: The user.
        email: Their address; must be nobody else's.
        password_hash: bcrypt's text; anything else lets nobody in.
        name: Their name.
        role: ``user`` or ``admin``.

    Raises:
        DatabaseError: The database is away or not ours, or the address belongs to another user.
    """
    now = clean.now()
    values = {"email": email, "password": password_hash, "name": name, "role": role, "updatedAt": now}
    with writing(engine) as connection:
        insert_new(connection, users, [{"id": user_id, "createdAt": now, **values}])
        found = connection.execute(update(users).where(users.c.id == user_id).values(values))
        if not found.rowcount:
            raise DatabaseError(f"users: expected an e-mail address of its own for {user_id}, got one that is taken")


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]


def _write_generations(connection: Connection, rows: list[GenerationRow]) -> None:
    by_id: dict[str, list[GenerationRow]] = {}
    for row in rows:
        by_id.setdefault(clean.required_text(row.id), []).append(row)
    for ids in _chunks(sorted(by_id)):  # sorted: two writers lock in one order
        _begin_generations(connection, {key: by_id[key] for key in ids})
        changed = []
        for known in _known_generations(connection, ids):
            merged: Mapping[str, Any] = known
            for row in by_id[known["id"]]:
                merged = merge.merge(merged, row)
            if merged != known:
                changed.append({"key": known["id"], **merged})
        _update(connection, pose_generations, "id", GENERATION_COLUMNS, changed)
        _update(connection, generation_facts, "generation_id", FACT_COLUMNS, changed)


def _begin_generations(connection: Connection, by_id: Mapping[str, list[GenerationRow]]) -> None:
    """Makes sure that there is a row to lock and to merge into."""
    there = set(
        connection.execute(select(pose_generations.c.id).where(pose_generations.c.id.in_(list(by_id)))).scalars()
    )
    now = clean.now()
    insert_new(
        connection,
        pose_generations,
        [
            {"id": key, "status": PENDING, "createdAt": rows[0].started_at or rows[0].completed_at or now}
            for key, rows in by_id.items()
            if key not in there
        ],
    )
    insert_new(
        connection,
        generation_facts,
        [
            {"generation_id": key, "latest": "", "begun_here": key not in there, "attempt": 0, "interrupted": False}
            for key in by_id
        ],
    )


def _known_generations(connection: Connection, ids: list[str]) -> list[dict[str, Any]]:
    query = (
        select(pose_generations.c.id, *(pose_generations.c[name] for name in GENERATION_COLUMNS))
        .add_columns(*(generation_facts.c[name] for name in FACT_COLUMNS))
        .join(generation_facts, generation_facts.c.generation_id == pose_generations.c.id)
        .where(pose_generations.c.id.in_(ids))
        .order_by(pose_generations.c.id)
        .with_for_update()
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _update(
    connection: Connection, table: Table, key: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    if rows:
        # "value of x", so that a parameter is not taken for the column itself
        statement = (
            update(table)
            .where(table.c[key] == bindparam("the_key"))
            .values({name: bindparam(f"new_{name}") for name in names})
        )
        connection.execute(
            statement, [{"the_key": row["key"], **{f"new_{name}": row[name] for name in names}} for row in rows]
        )


def _write_poses(connection: Connection, rows: list[PoseRow]) -> None:
    newest: dict[str, tuple[str, PoseRow]] = {}
    for row in rows:
        key, found = merge.pose_key(row), newest.get(clean.required_text(row.id))
        if found is None or key > found[0]:
            newest[clean.required_text(row.id)] = (key, row)
    for ids in _chunks(sorted(newest)):
        insert_new(connection, generated_poses, [pose_values(newest[pose_id][1]) for pose_id in ids])
        insert_new(connection, pose_facts, [{"pose_id": pose_id, "latest": "", "attempt": 0} for pose_id in ids])
        query = (
            select(pose_facts.c.pose_id, pose_facts.c.latest)
            .where(pose_facts.c.pose_id.in_(ids))
            .order_by(pose_facts.c.pose_id)
            .with_for_update()
        )
        changed = []
        for pose_id, latest in connection.execute(query).all():
            key, row = newest[pose_id]
            if key > latest:
                changed.append({"key": pose_id, "latest": key, **pose_values(row), **pose_fact_values(row)})
        columns = [name for name in pose_values(rows[0]) if name != "id"]
        _update(connection, generated_poses, "id", columns, changed)
        _update(connection, pose_facts, "pose_id", ["latest", *pose_fact_values(rows[0])], changed)


def pose_values(row: PoseRow) -> dict[str, Any]:
    """The columns of a pose that we write; the others are the application's."""
    return {
        "id": clean.required_text(row.id),
        "generationId": clean.required_text(row.generation_id),
        "poseLibraryId": clean.cleaned_text(row.pose_library_id),
        "outputImageUrl": clean.cleaned_text(row.output_image_url),
        "thumbnailUrl": clean.cleaned_text(row.thumbnail_url),
        "seedUsed": clean.big(row.seed),
        "controlnetWeight": clean.real(row.controlnet_weight),
        "generationTime": clean.real(row.generation_time),
        "status": clean.required_text(row.status),
        "errorMessage": clean.cleaned_text(row.error_message),
        "variationKey": clean.cleaned_text(row.variation_key),
        "createdAt": row.created_at,
    }


def pose_fact_values(row: PoseRow) -> dict[str, Any]:
    """The columns that ``generated_poses`` lacks."""
    return {
        "attempt": clean.count(row.attempt),
        "name": clean.cleaned_text(row.name),
        "error_type": clean.cleaned_text(row.error_type),
        "error_reason": clean.cleaned_text(row.error_reason),
    }
