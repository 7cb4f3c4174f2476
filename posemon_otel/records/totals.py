"""Totals over a period: system metrics, top users, popular poses."""

from datetime import datetime

from sqlalchemy import Connection, FromClause, Integer, case, func, select, true

from posemon_otel.records.results import PopularPose, PopularPoses, SystemMetrics, TopUser, TopUsers
from posemon_otel.records.source import Source, by_name, g, seconds_per_pose, status_of, statuses, within
from posemon_otel.records.tables import generated_poses, pose_categories, pose_generations, pose_library, users
from posemon_otel.semconv.operations import COMPLETED, FAILED, PARTIAL, PENDING, PROCESSING, STATUSES


def percent(part: int, whole: int) -> float | None:
    """With two decimals; ``None`` of nothing."""
    return round(100 * part / whole, 2) if whole else None


def system_metrics(connection: Connection, source: Source, start: datetime | None, end: datetime) -> SystemMetrics:
    """Counts, credits and mean time of the generations created in a period, in one pass."""
    occurring = statuses(connection)
    status = status_of(source)
    timed = case((status == COMPLETED, seconds_per_pose()))
    query = (
        select(
            status.label("shown_status"),
            func.count(),
            func.sum(g.posesCompleted),
            func.sum(g.creditCharged),
            func.sum(g.creditRefunded),
            func.count(timed),
            func.sum(timed),
        )
        .where(within(occurring, start, end))
        .group_by("shown_status")
    )
    groups = {row[0]: row for row in connection.execute(query)}
    counts = {name: int(row[1]) for name, row in groups.items()}
    total = sum(counts.values())
    poses, charged, refunded = (sum(int(row[at] or 0) for row in groups.values()) for at in (2, 3, 4))
    timed_count, timed_sum = groups[COMPLETED][5:7] if COMPLETED in groups else (0, None)
    completed, failed, partial = (counts.get(name, 0) for name in (COMPLETED, FAILED, PARTIAL))
    return SystemMetrics(
        total_generations=total,
        active_generations=connection.execute(
            select(func.count()).select_from(pose_generations).where(g.status == PROCESSING)
        ).scalar_one(),
        completed_generations=completed,
        failed_generations=failed,
        partial_generations=partial,
        pending_generations=counts.get(PENDING, 0),
        avg_generation_time=round(float(timed_sum) / timed_count, 3) if timed_count else None,
        avg_poses_per_generation=round(poses / total, 2) if total else 0.0,
        success_rate=percent(completed, total) or 0.0,
        settled_success_rate=percent(completed, completed + failed + partial),
        total_poses_generated=poses,
        total_credits_spent=charged,
        total_credits_refunded=refunded,
        refund_rate=percent(refunded, charged) or 0.0,
        start_time=start,
        end_time=end,
        warnings=tuple(
            f"{counts[name]} generations have a status that posemon does not know, {name!r}; only the total counts them"
            for name in sorted(set(counts) - set(STATUSES))
        ),
    )


def top_users(
    connection: Connection,
    source: Source,
    limit: int,
    start: datetime | None,
    end: datetime | None,
    *,
    names: bool,
) -> TopUsers:
    """Users by their generations, most first; aggregated before anything is joined."""
    counted = func.count().label("generations")
    completed = func.sum(case((status_of(source) == COMPLETED, 1), else_=0))
    query = (
        select(g.userId, counted, func.sum(g.posesCompleted), completed)
        .where(g.userId.is_not(None))
        .group_by(g.userId)
        .order_by(counted.desc(), by_name(connection, g.userId))
        .limit(limit)
    )
    if end is not None:
        query = query.where(within(statuses(connection), start, end))
    elif start is not None:
        query = query.where(g.status.in_(statuses(connection)), g.createdAt >= start)
    found = connection.execute(query).all()
    people: dict[str, tuple[str | None, str | None]] = {}
    warnings: tuple[str, ...] = ()
    if names and users.name in source.tables:
        u = users.c
        chosen = select(u.id, u.name, u.email).where(u.id.in_([row[0] for row in found]))
        people = {row.id: (row.name, row.email) for row in connection.execute(chosen)}
    elif names:
        warnings = ("names and e-mail addresses: this database has no table users",)
    return TopUsers(
        tuple(
            TopUser(user, count, int(poses or 0), percent(int(done), count) or 0.0, *people.get(user, (None, None)))
            for user, count, poses, done in found
        ),
        warnings,
    )


def popular_poses(connection: Connection, source: Source, limit: int) -> PopularPoses:
    """Public poses by their use: counted where we wrote the poses, else as the application counted."""
    if pose_library.name not in source.tables:
        return PopularPoses(None, ("popular poses: this database has no table pose_library",))
    library = pose_library.c
    rows: FromClause = pose_library
    used = func.coalesce(library.usageCount, 0)
    if source.ours:
        counts = (
            select(generated_poses.c.poseLibraryId.label("pose"), func.count().label("uses"))
            .where(generated_poses.c.poseLibraryId.is_not(None))
            .group_by(generated_poses.c.poseLibraryId)
            .subquery()
        )
        rows = pose_library.outerjoin(counts, counts.c.pose == library.id)
        used = func.coalesce(counts.c.uses, 0, type_=Integer())
    query = (
        select(library.id, library.name, used.label("used"), library.categoryId)
        .select_from(rows)
        .where(library.isPublic.is_(true()))
        .order_by(used.desc(), by_name(connection, library.name), by_name(connection, library.id))
        .limit(limit)
    )
    found = connection.execute(query).all()
    if pose_categories.name not in source.tables:
        warnings: tuple[str, ...] = ("categories: this database has no table pose_categories",)
        categories: dict[str, str] = {}
    else:
        warnings = ()
        c = pose_categories.c
        chosen = select(c.id, c.name).where(c.id.in_([row.categoryId for row in found]))
        categories = {row.id: row.name for row in connection.execute(chosen)}
    return PopularPoses(
        tuple(PopularPose(row.id, row.name, row.used, categories.get(row.categoryId)) for row in found), warnings
    )
