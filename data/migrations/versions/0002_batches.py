"""Batches, plans, rehearsals, cancellations, notes on errors, and an audit that nothing changes."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _index(name: str, table: str, columns: list[Any], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("canceled_by", sa.Text()),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("order", sa.Text(), nullable=False),
        sa.Column("rate", sa.Float()),
        sa.Column("canary", sa.Integer()),
        sa.Column("stop_failures", sa.Integer()),
        sa.Column("stop_share", sa.Float()),
        sa.Column("queued_to", sa.Integer()),
        sa.Column("whole", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("resumed_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    _index("batches_open", "batches", ["id"], "finished_at IS NULL")
    op.create_table(
        "batch_jobs",
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer()),
        sa.Column("revision_id", sa.Integer()),
        sa.Column("code", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"]),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.ForeignKeyConstraint(["revision_id"], ["revisions.id"]),
        sa.PrimaryKeyConstraint("batch_id", "job_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "plans",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "rehearsals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.ForeignKeyConstraint(["revision_id"], ["revisions.id"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("rehearsals_by_job", "rehearsals", ["job_id", "id"])
    op.create_table(
        "error_notes",
        sa.Column("error_group", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("noted_by", sa.Text(), nullable=False),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("error_group"),
    )
    op.add_column("jobs", sa.Column("object_key", sa.Text()))
    _index("jobs_by_object", "jobs", ["recipe_id", "object_key", "id"], "object_key IS NOT NULL")
    op.add_column("objects", sa.Column("changed_at", sa.BigInteger()))
    op.add_column("versions", sa.Column("batch_id", sa.Integer(), sa.ForeignKey("batches.id")), inline_references=True)
    op.add_column("versions", sa.Column("waits", sa.Boolean(), server_default=sa.text("0"), nullable=False))
    op.add_column("versions", sa.Column("canceled_by", sa.Text()))
    op.add_column("versions", sa.Column("canceled_at", sa.BigInteger()))
    op.drop_index("versions_queued", "versions")
    _index("versions_queued", "versions", ["recipe_id", sa.literal_column("priority DESC"), "id"],
           "status = 'queued' AND waits IS 0")
    _index("versions_by_batch", "versions", ["batch_id", "status", "waits", "recipe_id", "job_id"],
           "batch_id IS NOT NULL")
    _index("versions_by_error", "versions", ["error_group", "recipe_id", "finished_at", "latest", "id"],
           "error_group IS NOT NULL")
    _index("latest_by_group", "versions", ["error_group", "job_id", "recipe_id"],
           "latest IS 1 AND error_group IS NOT NULL")
    _index("versions_canceled", "versions", ["id"], "status = 'running' AND canceled_at IS NOT NULL")
    _calls_by_attempt()
    for name, change in (
        ("update", "UPDATE ON audit"),
        ("delete", "DELETE ON audit"),
        # REPLACE deletes what is in its way without a word to the trigger before.
        ("replace", "INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)"),
    ):
        op.execute(
            f"CREATE TRIGGER audit_no_{name} BEFORE {change} "
            "BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END"
        )


def _calls_by_attempt() -> None:
    op.create_table(
        "calls_by_attempt",
        sa.Column("parent_version_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("child_version_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["child_version_id"], ["versions.id"]),
        sa.ForeignKeyConstraint(["parent_version_id"], ["versions.id"]),
        sa.PrimaryKeyConstraint("parent_version_id", "path", "attempt"),
        sa.UniqueConstraint("child_version_id"),
        sqlite_with_rowid=False,
    )
    columns = "parent_version_id, path, child_version_id"
    op.execute(f"INSERT INTO calls_by_attempt ({columns}) SELECT {columns} FROM calls")
    op.drop_table("calls")
    op.rename_table("calls_by_attempt", "calls")
