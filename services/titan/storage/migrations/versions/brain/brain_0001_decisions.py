"""Decisions with their explain records, and Brain's state."""

import sqlalchemy as sa
from alembic import op

revision = "brain_0001"
down_revision = None
branch_labels = None
depends_on = None

_COUNTED = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "decisions",
        sa.Column("sequence", _COUNTED, primary_key=True, autoincrement=True),
        sa.Column("intent_id", sa.String(64), nullable=False, unique=True),
        sa.Column("phase_id", sa.String(32), nullable=False),
        sa.Column("symbol", sa.String(40), nullable=False),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("policy_hash", sa.String(80), nullable=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("market_time_ns", sa.BigInteger, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
    op.create_index("decisions_by_phase", "decisions", ["phase_id", "sequence"])
    op.create_table(
        "brain_state",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop both tables, with what they hold."""
    op.drop_table("brain_state")
    op.drop_index("decisions_by_phase", "decisions")
    op.drop_table("decisions")
