"""The production database's tables, and ours beside them."""

import sqlalchemy as sa
from alembic import op

from posemon_otel.records.columns import Double, TextList, UtcTime

revision = "posemon_0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "generated_poses",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("generationId", sa.Text(), nullable=False),
        sa.Column("poseLibraryId", sa.Text()),
        sa.Column("outputImageUrl", sa.Text()),
        sa.Column("thumbnailUrl", sa.Text()),
        sa.Column("promptUsed", sa.Text()),
        sa.Column("seedUsed", sa.BigInteger()),
        sa.Column("controlnetWeight", Double),
        sa.Column("generationTime", Double),
        sa.Column("status", sa.Text(), server_default="completed", nullable=False),
        sa.Column("errorMessage", sa.Text()),
        sa.Column("variationKey", sa.Text()),
        sa.Column("createdAt", UtcTime()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("generated_poses_generationId_idx", "generated_poses", ["generationId"])
    op.create_index("generated_poses_poseLibraryId_idx", "generated_poses", ["poseLibraryId"])
    op.create_table(
        "generation_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("generation_id", sa.Text()),
        sa.Column("user_id", sa.Text()),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("generation_events_at_idx", "generation_events", ["at"])
    op.create_index("generation_events_generation_id_at_idx", "generation_events", ["generation_id", "at"])
    op.create_table(
        "generation_facts",
        sa.Column("generation_id", sa.Text(), nullable=False),
        sa.Column("latest", sa.Text(), nullable=False),
        sa.Column("settled", sa.Text()),
        sa.Column("settled_status", sa.Text()),
        sa.Column("begun_here", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("interrupted", sa.Boolean(), nullable=False),
        sa.Column("error_type", sa.Text()),
        sa.Column("error_reason", sa.Text()),
        sa.Column("trace_id", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("provider", sa.Text()),
        sa.PrimaryKeyConstraint("generation_id"),
    )
    op.create_table(
        "pose_categories",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("displayName", sa.Text()),
        sa.Column("description", sa.Text()),
        sa.Column("slug", sa.Text()),
        sa.Column("parentId", sa.Text()),
        sa.Column("isActive", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("createdAt", UtcTime()),
        sa.Column("updatedAt", UtcTime()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "pose_facts",
        sa.Column("pose_id", sa.Text(), nullable=False),
        sa.Column("latest", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("error_type", sa.Text()),
        sa.Column("error_reason", sa.Text()),
        sa.PrimaryKeyConstraint("pose_id"),
    )
    op.create_table(
        "pose_generations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("projectId", sa.Text()),
        sa.Column("userId", sa.Text()),
        sa.Column("generationType", sa.Text()),
        sa.Column("textPrompt", sa.Text()),
        sa.Column("avatarId", sa.Text()),
        sa.Column("avatarAttributes", sa.Text()),
        sa.Column("batchSize", sa.Integer()),
        sa.Column("totalExpectedPoses", sa.Integer()),
        sa.Column("useBackgroundChanger", sa.Boolean()),
        sa.Column("exportFormats", TextList),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("progress", sa.Integer(), server_default="0", nullable=False),
        sa.Column("posesCompleted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("posesFailed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("creditCharged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("creditRefunded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queueJobId", sa.Text()),
        sa.Column("errorMessage", sa.Text()),
        sa.Column("createdAt", UtcTime(), nullable=False),
        sa.Column("startedAt", UtcTime()),
        sa.Column("completedAt", UtcTime()),
        sa.Column("avgGenerationTime", Double),
        sa.Column("totalProcessingTime", Double),
        sa.Column("recoveryAttempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lastRecoveryAt", UtcTime()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("pose_generations_status_createdAt_idx", "pose_generations", ["status", "createdAt"])
    op.create_index("pose_generations_status_startedAt_idx", "pose_generations", ["status", "startedAt"])
    op.create_index(
        "pose_generations_userId_createdAt_idx", "pose_generations", ["userId", sa.literal_column('"createdAt" DESC')]
    )
    op.create_table(
        "pose_library",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("categoryId", sa.Text()),
        sa.Column("previewImageUrl", sa.Text()),
        sa.Column("referenceImageUrl", sa.Text()),
        sa.Column("controlnetImageUrl", sa.Text()),
        sa.Column("difficulty", sa.Text(), server_default="medium"),
        sa.Column("tags", TextList),
        sa.Column("usageCount", sa.Integer(), server_default="0", nullable=False),
        sa.Column("favoriteCount", sa.Integer(), server_default="0", nullable=False),
        sa.Column("isPublic", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("isFeatured", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("createdAt", UtcTime()),
        sa.Column("updatedAt", UtcTime()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "sample_generations",
        sa.Column("generation_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("generation_id"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("role", sa.Text(), server_default="user", nullable=False),
        sa.Column("accountType", sa.Text(), server_default="payg", nullable=False),
        sa.Column("subscriptionTier", sa.Text(), server_default="free", nullable=False),
        sa.Column("createdAt", UtcTime()),
        sa.Column("updatedAt", UtcTime()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )
    op.create_index("users_role_idx", "users", ["role"])
