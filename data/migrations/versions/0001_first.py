"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _index(name: str, table: str, columns: list[Any], where: Any, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "recipes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started", sa.Boolean(), nullable=False),
        sa.Column("problems", sa.Text()),
        sa.Column("present", sa.Boolean(), server_default=sa.text("1"), nullable=False),
        sa.Column("since", sa.Text()),
        sa.Column("first_started_at", sa.BigInteger()),
        sa.Column("polled_at", sa.BigInteger()),
        sa.Column("next_poll_at", sa.BigInteger()),
        sa.Column("poll_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("warning", sa.Text()),
        sa.Column("cursor", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recipe_id", sa.Integer(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("trigger_expired_at", sa.BigInteger()),
        sa.Column("trigger_expired_by", sa.Text()),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipes.id"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_by_event_key", "jobs", ["event_key", "id", "recipe_id"])
    op.create_index("jobs_by_recipe", "jobs", ["recipe_id", "id"])
    op.create_index("jobs_by_title", "jobs", ["title", "id", "recipe_id"])
    op.create_table(
        "objects",
        sa.Column("recipe_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Integer(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("mark", sa.Text()),
        sa.Column("stamp", sa.Text()),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipes.id"]),
        sa.PrimaryKeyConstraint("recipe_id", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recipe_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipes.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("recipe_id", "number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "event_keys",
        sa.Column("recipe_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipes.id"]),
        sa.PrimaryKeyConstraint("recipe_id", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "payloads",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_table(
        "holds",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("held_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("recipe_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("latest", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("revision_id", sa.Integer()),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("event", sa.Text()),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("recoveries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("progress", sa.Integer(), server_default="0", nullable=False),
        sa.Column("serial_key", sa.Text()),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("duration_ms", sa.Integer()),
        sa.Column("error_message", sa.Text()),
        sa.Column("error_kind", sa.Text()),
        sa.Column("error_step", sa.Text()),
        sa.Column("error_status", sa.Integer()),
        sa.Column("error_group", sa.Text()),
        sa.Column("report", sa.Text()),
        sa.Column("warnings", sa.Text()),
        sa.Column("expired", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipes.id"]),
        sa.ForeignKeyConstraint(["revision_id"], ["revisions.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id", "number"),
        sqlite_autoincrement=True,
    )
    _index("first_by_started", "versions", ["started_at", "job_id", "recipe_id"], sa.text("number = 1"))
    _index("latest_by_duration", "versions", ["status", "duration_ms", "job_id", "recipe_id"], sa.text("latest IS 1"))
    _index("latest_by_error", "versions", ["status", "error_message", "job_id", "recipe_id"], sa.text("latest IS 1"))
    _index("latest_by_finished", "versions", ["status", "finished_at", "job_id", "recipe_id"], sa.text("latest IS 1"))
    _index("latest_by_number", "versions", ["status", "number", "job_id", "recipe_id"], sa.text("latest IS 1"))
    _index("latest_by_started", "versions", ["status", "started_at", "job_id", "recipe_id"], sa.text("latest IS 1"))
    _index("latest_by_status", "versions", ["status", "job_id", "recipe_id"], sa.text("latest IS 1"))
    _index("one_latest_version", "versions", ["job_id"], sa.text("latest IS 1"), unique=True)
    _index("one_open_version", "versions", ["job_id"],
           sa.text("status IN ('queued', 'running', 'in_doubt')"), unique=True)
    _index("one_running_per_key", "versions", ["serial_key"],
           sa.text("status = 'running' AND serial_key IS NOT NULL"), unique=True)
    _index("versions_due", "versions", ["recipe_id", "status", "finished_at", "job_id"],
           sa.text("latest IS 1 AND expired IS 0 AND finished_at IS NOT NULL"))
    _index("versions_queued", "versions", ["recipe_id", sa.literal_column("priority DESC"), "id"],
           sa.text("status = 'queued'"))
    _index("versions_running", "versions", ["owner"], sa.text("status = 'running'"))
    _index("versions_by_revision", "versions", ["revision_id", "id"], sa.text("revision_id IS NOT NULL"))
    op.create_table(
        "calls",
        sa.Column("parent_version_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("child_version_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["child_version_id"], ["versions.id"]),
        sa.ForeignKeyConstraint(["parent_version_id"], ["versions.id"]),
        sa.PrimaryKeyConstraint("parent_version_id", "path"),
        sa.UniqueConstraint("child_version_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "steps",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text()),
        sa.Column("effect", sa.Text()),
        sa.Column("on_doubt", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text()),
        sa.Column("index", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("input", sa.Text()),
        sa.Column("output", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("duration_ms", sa.Integer()),
        sa.Column("resolved_by", sa.Text()),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"]),
        sa.PrimaryKeyConstraint("version_id", "path"),
    )
