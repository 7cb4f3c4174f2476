"""The tables: the production database's, as Prisma lays them out, and those that are only ours.

Names and columns of the first group are the application's (camelCase, text ids). In our own database what a worker may
not know is nullable, nothing is a foreign key and a pose's variation is not unique: rows arrive in any order, and none
may be refused because of its neighbours. What Prisma's tables have no column for stands in tables of our own, so that
one set of queries reads both databases.
"""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, MetaData, Table, Text, false, true

from posemon_otel.records.columns import Double, TextList, UtcTime

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    Column("password", Text, nullable=False),
    Column("name", Text),
    Column("role", Text, nullable=False, server_default="user"),
    Column("accountType", Text, nullable=False, server_default="payg"),
    Column("subscriptionTier", Text, nullable=False, server_default="free"),
    Column("createdAt", UtcTime),
    Column("updatedAt", UtcTime),
)
Index("users_role_idx", users.c.role)

pose_categories = Table(
    "pose_categories",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("displayName", Text),
    Column("description", Text),
    Column("slug", Text),
    Column("parentId", Text),
    Column("isActive", Boolean, nullable=False, server_default=true()),
    Column("createdAt", UtcTime),
    Column("updatedAt", UtcTime),
)

pose_library = Table(
    "pose_library",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("categoryId", Text),
    Column("previewImageUrl", Text),
    Column("referenceImageUrl", Text),
    Column("controlnetImageUrl", Text),
    Column("difficulty", Text, server_default="medium"),
    Column("tags", TextList),
    Column("usageCount", Integer, nullable=False, server_default="0"),
    Column("favoriteCount", Integer, nullable=False, server_default="0"),
    Column("isPublic", Boolean, nullable=False, server_default=true()),
    Column("isFeatured", Boolean, nullable=False, server_default=false()),
    Column("createdAt", UtcTime),
    Column("updatedAt", UtcTime),
)

pose_generations = Table(
    "pose_generations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("projectId", Text),
    Column("userId", Text),
    Column("generationType", Text),
    Column("textPrompt", Text),
    Column("avatarId", Text),
    Column("avatarAttributes", Text),
    Column("batchSize", Integer),
    Column("totalExpectedPoses", Integer),
    Column("useBackgroundChanger", Boolean),
    Column("exportFormats", TextList),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("progress", Integer, nullable=False, server_default="0"),
    Column("posesCompleted", Integer, nullable=False, server_default="0"),
    Column("posesFailed", Integer, nullable=False, server_default="0"),
    Column("creditCharged", Integer, nullable=False, server_default="0"),
    Column("creditRefunded", Integer, nullable=False, server_default="0"),
    Column("queueJobId", Text),
    Column("errorMessage", Text),
    Column("createdAt", UtcTime, nullable=False),
    Column("startedAt", UtcTime),
    Column("completedAt", UtcTime),
    Column("avgGenerationTime", Double),
    Column("totalProcessingTime", Double),
    Column("recoveryAttempts", Integer, nullable=False, server_default="0"),
    Column("lastRecoveryAt", UtcTime),
)
Index("pose_generations_userId_createdAt_idx", pose_generations.c.userId, pose_generations.c.createdAt.desc())
Index("pose_generations_status_createdAt_idx", pose_generations.c.status, pose_generations.c.createdAt)
Index("pose_generations_status_startedAt_idx", pose_generations.c.status, pose_generations.c.startedAt)

generated_poses = Table(
    "generated_poses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("generationId", Text, nullable=False),
    Column("poseLibraryId", Text),
    Column("outputImageUrl", Text),
    Column("thumbnailUrl", Text),
    Column("promptUsed", Text),
    Column("seedUsed", BigInteger),
    Column("controlnetWeight", Double),
    Column("generationTime", Double),
    Column("status", Text, nullable=False, server_default="completed"),
    Column("errorMessage", Text),
    Column("variationKey", Text),
    Column("createdAt", UtcTime),
)
Index("generated_poses_generationId_idx", generated_poses.c.generationId)
Index("generated_poses_poseLibraryId_idx", generated_poses.c.poseLibraryId)

generation_facts = Table(
    "generation_facts",
    metadata,
    Column("generation_id", Text, primary_key=True),
    Column("latest", Text, nullable=False),  # order key of the newest row seen: what is older is ignored
    Column("settled", Text),  # order key of the newest last word, an interruption not being one
    Column("settled_status", Text),  # its status, which an interruption of a later attempt brings back
    Column("begun_here", Boolean, nullable=False),  # no application had inserted it: its createdAt is our guess
    Column("attempt", Integer, nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("error_type", Text),
    Column("error_reason", Text),
    Column("trace_id", Text),
    Column("model", Text),
    Column("provider", Text),
)

pose_facts = Table(
    "pose_facts",
    metadata,
    Column("pose_id", Text, primary_key=True),
    Column("latest", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("name", Text),
    Column("error_type", Text),
    Column("error_reason", Text),
)

generation_events = Table(
    "generation_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("generation_id", Text),
    Column("user_id", Text),
    Column("at", UtcTime, nullable=False),
    Column("metadata", JSON, nullable=False),
)
Index("generation_events_generation_id_at_idx", generation_events.c.generation_id, generation_events.c.at)
Index("generation_events_at_idx", generation_events.c.at)

sample_generations = Table("sample_generations", metadata, Column("generation_id", Text, primary_key=True))
