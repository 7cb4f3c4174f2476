"""Random histories, with the gaps and oddities of real tables, and what a reader of every row says about them."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from random import Random

from sqlalchemy import insert

from posemon_otel import records
from posemon_otel.records import tables
from posemon_otel.records.messages import classify_message

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
PRISMA = (
    tables.users,
    tables.pose_categories,
    tables.pose_library,
    tables.pose_generations,
    tables.generated_poses,
)
MESSAGES = (
    None,
    "",
    "  ",
    "Request timed out calling the FLUX API",
    "FLUX API returned 500",
    "S3 upload failed: api error",
    "Not enough credits",
    "something odd",
    "ECONNRESET",
)
TYPES = (None, None, "FLUX_API_ERROR", "STORAGE_ERROR", "CONTROLNET_ERROR")


class History:
    """Rows as they stand in the tables, as dictionaries."""

    def __init__(self, seed, *, ours, generations=300):
        random = Random(seed)
        self.ours = ours
        self.categories = [
            {"id": f"c{n}", "name": f"cat {n}", "displayName": f"Cat {n}", "slug": f"cat-{n}"} for n in range(3)
        ]
        self.library = [
            {
                "id": f"p{n:02}",
                "name": random.choice(("kick", "Jump", "sit", "spin")),
                "categoryId": random.choice(("c0", "c1", "c2")),
                "usageCount": random.choice((0, 3, 3, 17)),
                "isPublic": random.random() < 0.8,
            }
            for n in range(12)
        ]
        self.users = [
            {"id": f"u{n}", "email": f"u{n}@example.com", "password": "x", "name": f"User {n}"} for n in range(6)
        ]
        self.generations, self.poses, self.facts, self.pose_facts = [], [], [], []
        for number in range(generations):
            self._generation(random, f"g{number:04}")

    def _generation(self, random, key):
        # Milliseconds and many equal times: edges of periods are met exactly.
        created = NOON - timedelta(
            milliseconds=random.choice((random.randrange(72 * 3600) * 1000, random.randrange(10**8)))
        )
        status = random.choice(
            ("completed", "completed", "completed", "failed", "partial", "pending", "processing", "cancelled")
        )
        started = created + timedelta(seconds=random.randrange(100)) if random.random() < 0.8 else None
        ended = status in ("completed", "failed", "partial") and random.random() < 0.9
        completed = (started or created) + timedelta(milliseconds=random.randrange(-5000, 200_000)) if ended else None
        done = random.randrange(5) if status in ("completed", "partial") else 0
        self.generations.append(
            {
                "id": key,
                "projectId": "project",
                "userId": random.choice(("u0", "u1", "u2", "u3", "u10", "U4")),
                "generationType": "GALLERY_REFERENCE",
                "batchSize": 4,
                "totalExpectedPoses": 4,
                "status": status,
                "posesCompleted": done,
                "posesFailed": random.choice((0, 0, 1)),
                "creditCharged": random.choice((0, 30, 120)),
                "creditRefunded": random.choice((0, 0, 30)),
                "errorMessage": random.choice(MESSAGES),
                "createdAt": created,
                "startedAt": started,
                "completedAt": completed,
                "avgGenerationTime": random.choice((None, None, random.randrange(9000) / 100)),
            }
        )
        for index in range(random.randrange(4)):
            pose = f"{key}-{index}"
            self.poses.append(
                {
                    "id": pose,
                    "generationId": key,
                    "poseLibraryId": random.choice((None, *(row["id"] for row in self.library))),
                    "outputImageUrl": "o",
                    "thumbnailUrl": "t",
                    "promptUsed": "p",
                    "controlnetWeight": 0.75,
                    "status": random.choice(("completed", "failed", "failed")),
                    "errorMessage": random.choice(MESSAGES),
                    "createdAt": created,
                }
            )
            if self.ours and random.random() < 0.7:
                self.pose_facts.append(
                    {"pose_id": pose, "latest": "", "attempt": 1, "error_type": random.choice(TYPES)}
                )
        if self.ours and random.random() < 0.8:
            fact = {"generation_id": key, "latest": "", "begun_here": False, "attempt": 1, "interrupted": False}
            self.facts.append({**fact, "error_type": random.choice(TYPES)})

    def insert(self, engine):
        """Puts the rows into empty tables."""
        stamps = {"createdAt": NOON, "updatedAt": NOON}
        with records.writing(engine) as connection:
            connection.execute(insert(tables.users), [{**row, **stamps} for row in self.users])
            # In Prisma's tables a generation belongs to a user that is there.
            more = sorted({row["userId"] for row in self.generations} - {row["id"] for row in self.users})
            for user in more:
                row = {"id": user, "email": f"{user}@more.example.com", "password": "x", "name": None, **stamps}
                connection.execute(insert(tables.users), row)
            connection.execute(insert(tables.pose_categories), [{**row, **stamps} for row in self.categories])
            named = [{**row, "name": f"{row['name']} {row['id']}", **stamps} for row in self.library]
            images = {"previewImageUrl": "p", "referenceImageUrl": "r", "controlnetImageUrl": "c"}
            connection.execute(insert(tables.pose_library), [{**row, **images} for row in named])
            connection.execute(insert(tables.pose_generations), self.generations)
            connection.execute(insert(tables.generated_poses), self.poses)
            if self.ours:
                connection.execute(insert(tables.generation_facts), self.facts)
                connection.execute(insert(tables.pose_facts), self.pose_facts)

    def status(self, row):
        if self.ours and row["status"] == "completed" and row["posesFailed"] > 0:
            return "partial"
        return row["status"]

    def within(self, start, end):
        return [
            row for row in self.generations if (start is None or row["createdAt"] >= start) and row["createdAt"] < end
        ]

    def system(self, start, end):
        """The numbers of SystemMetrics, by name."""
        rows = self.within(start, end)
        counts = Counter(self.status(row) for row in rows)
        times = []
        for row in rows:
            if self.status(row) != "completed":
                continue
            if row["avgGenerationTime"] is not None:
                times.append(row["avgGenerationTime"])
            elif (
                row["posesCompleted"]
                and row["startedAt"]
                and row["completedAt"]
                and row["completedAt"] >= row["startedAt"]
            ):
                times.append((row["completedAt"] - row["startedAt"]).total_seconds() / row["posesCompleted"])
        total = len(rows)
        settled = counts["completed"] + counts["failed"] + counts["partial"]
        poses = sum(row["posesCompleted"] for row in rows)
        charged, refunded = (sum(row[name] for row in rows) for name in ("creditCharged", "creditRefunded"))
        return {
            "total_generations": total,
            "active_generations": sum(row["status"] == "processing" for row in self.generations),
            "completed_generations": counts["completed"],
            "failed_generations": counts["failed"],
            "partial_generations": counts["partial"],
            "pending_generations": counts["pending"],
            "avg_generation_time": sum(times) / len(times) if times else None,
            "avg_poses_per_generation": round(poses / total, 2) if total else 0,
            "success_rate": round(100 * counts["completed"] / total, 2) if total else 0,
            "settled_success_rate": round(100 * counts["completed"] / settled, 2) if settled else None,
            "total_poses_generated": poses,
            "total_credits_spent": charged,
            "total_credits_refunded": refunded,
            "refund_rate": round(100 * refunded / charged, 2) if charged else 0,
        }

    def top_users(self, limit, start, end):
        """(id, generations, poses, success rate) of the first users."""
        by_user = defaultdict(list)
        for row in self.within(start, end):
            by_user[row["userId"]].append(row)
        users = [
            (
                user,
                len(rows),
                sum(row["posesCompleted"] for row in rows),
                round(100 * sum(self.status(row) == "completed" for row in rows) / len(rows), 2),
            )
            for user, rows in by_user.items()
        ]
        return sorted(users, key=lambda user: (-user[1], user[0]))[:limit]

    def popular(self, limit):
        """(id, uses, category) of the first public poses."""
        uses = Counter(pose["poseLibraryId"] for pose in self.poses)
        category = {row["id"]: row["name"] for row in self.categories}
        poses = [
            (
                row["id"],
                uses[row["id"]] if self.ours else row["usageCount"],
                category[row["categoryId"]],
                f"{row['name']} {row['id']}",
            )
            for row in self.library
            if row["isPublic"]
        ]
        return [pose[:3] for pose in sorted(poses, key=lambda pose: (-pose[1], pose[3], pose[0]))[:limit]]

    def error_types(self, row):
        """The types that one generation counts for."""
        own = {fact["generation_id"]: fact["error_type"] for fact in self.facts}.get(row["id"])
        of_pose = {fact["pose_id"]: fact["error_type"] for fact in self.pose_facts}
        blank = not (row["errorMessage"] or "").strip()
        types = {
            of_pose.get(pose["id"]) or str(classify_message(pose["errorMessage"]))
            for pose in self.poses
            if pose["generationId"] == row["id"]
            and pose["status"] == "failed"
            and (of_pose.get(pose["id"]) or (pose["errorMessage"] or "").strip())
        }
        itself = {own or str(classify_message(row["errorMessage"]))}
        if self.status(row) == "failed":
            return itself if own or not blank else types or itself
        return types or itself if self.status(row) == "partial" else set()

    def errors(self, start, end):
        """Type: (count, last)."""
        found = defaultdict(list)
        for row in self.within(start, end):
            for error_type in self.error_types(row):
                found[error_type].append(row["completedAt"] or row["startedAt"] or row["createdAt"])
        return {error_type: (len(times), max(times)) for error_type, times in found.items()}


def assert_numbers_agree(engine, history):
    """Every number of the service against the reader of every row, over many periods."""
    service = records.MetricsService(engine)
    edge = history.generations[7]["createdAt"]
    periods = [
        (None, NOON),
        (NOON - timedelta(hours=1), NOON),
        (NOON - timedelta(hours=24), NOON),
        (edge, NOON),
        (edge, edge + timedelta(milliseconds=1)),
        (NOON - timedelta(hours=50), edge),
        (NOON + timedelta(days=1), NOON + timedelta(days=2)),
    ]
    for start, end in periods:
        answer = service.get_system_metrics(start, end)
        expected = history.system(start, end)
        average = expected.pop("avg_generation_time")
        assert {name: getattr(answer, name) for name in expected} == expected
        assert (answer.avg_generation_time is None) == (average is None)
        assert average is None or abs(answer.avg_generation_time - average) < 0.002
        assert (answer.start_time, answer.end_time) == (start, end)
        strange = sum(row["status"] == "cancelled" for row in history.within(start, end))
        assert [str(strange) in line and "'cancelled'" in line for line in answer.warnings] == (
            [True] if strange else []
        )

        users = service.get_top_users(4, start, end).users
        assert [(u.user_id, u.generation_count, u.total_poses, u.success_rate) for u in users] == history.top_users(
            4, start, end
        )

        errors = service.get_error_analysis(start, end).errors
        naive = history.errors(start, end)
        assert {e.error_type: (e.count, e.last_occurred) for e in errors} == naive
        assert [(-e.count, e.error_type) for e in errors] == sorted((-e.count, e.error_type) for e in errors)
        total = sum(count for count, _ in naive.values())
        assert all(e.share == round(100 * e.count / total, 2) for e in errors)
        if start is not None:
            _assert_series_agrees(service, history, start, end)
    for limit in (1, 5, 100):
        poses = service.get_popular_poses(limit).poses
        assert [(p.pose_id, p.usage_count, p.category) for p in poses] == history.popular(limit)
    _assert_latest_agree(service, history)


def _assert_series_agrees(service, history, start, end):
    series = service.timeseries(start, end, timedelta(hours=6))
    assert series.interval_seconds == 6 * 3600
    starts = [bucket.start for bucket in series.buckets]
    assert starts == [starts[0] + timedelta(hours=6) * n for n in range(len(starts))]
    assert starts[0] <= start < starts[0] + timedelta(hours=6)
    assert starts[-1] < end <= starts[-1] + timedelta(hours=6)
    for bucket in series.buckets:
        low, high = max(bucket.start, start), min(bucket.start + timedelta(hours=6), end)
        rows = history.within(low, high)
        counts = Counter(history.status(row) for row in rows)
        assert bucket.total == len(rows)
        assert {status: count for status, count in bucket.by_status.items() if count} == dict(counts)
        assert bucket.errors == {kind: count for kind, (count, _) in history.errors(low, high).items()}


def _assert_latest_agree(service, history):
    newest = sorted(history.generations, key=lambda row: (row["createdAt"], row["id"]), reverse=True)
    for status in (None, "completed", "partial", "failed", "cancelled", "nonsense"):
        wanted = [row for row in newest if status is None or history.status(row) == status][:15]
        answers = service.latest_generations(15, status=status)
        assert [answer.id for answer in answers] == [row["id"] for row in wanted]
        for answer, row in zip(answers, wanted, strict=True):
            assert answer.status == history.status(row)
            assert (answer.created_at, answer.started_at, answer.completed_at) == (
                row["createdAt"],
                row["startedAt"],
                row["completedAt"],
            )
            types = history.error_types(row)
            assert answer.error_type in types if types else answer.error_type is None
    of_user = service.latest_generations(3, user_id="u10")
    assert [answer.id for answer in of_user] == [row["id"] for row in newest if row["userId"] == "u10"][:3]
