"""Orders, fills, ledger, round trips and positions: projections of Execution's journal."""

import sqlalchemy as sa
from alembic import op

revision = "execution_0001"
down_revision = None
branch_labels = None
depends_on = None

_DECIMAL = sa.String(48)


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "orders",
        sa.Column("client_order_id", sa.String(36), primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("intent_id", sa.String(80), nullable=False),
        sa.Column("phase_id", sa.String(32), nullable=False),
        sa.Column("leg", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("symbol", sa.String(40), nullable=False),
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("type", sa.String(24), nullable=False),
        sa.Column("time_in_force", sa.String(16), nullable=False),
        sa.Column("quantity", _DECIMAL, nullable=False),
        sa.Column("limit_price", _DECIMAL, nullable=False),
        sa.Column("trigger_price", _DECIMAL, nullable=False),
        sa.Column("reduce_only", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("filled_quantity", _DECIMAL, nullable=False),
        sa.Column("average_price", _DECIMAL, nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("policy_hash", sa.String(80), nullable=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("updated_ns", sa.BigInteger, nullable=False),
        sa.Column("venue_order_id", sa.String(64), nullable=False),
    )
    op.create_index("orders_by_intent", "orders", ["intent_id"])
    op.create_table(
        "fills",
        sa.Column("symbol", sa.String(40), primary_key=True),
        sa.Column("trade_id", sa.String(64), primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("client_order_id", sa.String(36), nullable=False),
        sa.Column("intent_id", sa.String(80), nullable=False),
        sa.Column("phase_id", sa.String(32), nullable=False),
        sa.Column("leg", sa.String(16), nullable=False),
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("quantity", _DECIMAL, nullable=False),
        sa.Column("price", _DECIMAL, nullable=False),
        sa.Column("fee", _DECIMAL, nullable=False),
        sa.Column("fee_currency", sa.String(16), nullable=False),
        sa.Column("maker", sa.Boolean, nullable=False),
        sa.Column("event_time_ns", sa.BigInteger, nullable=False),
        sa.Column("realized_pnl", _DECIMAL, nullable=False),
        sa.Column("policy_hash", sa.String(80), nullable=False),
    )
    op.create_index("fills_by_intent", "fills", ["intent_id"])
    op.create_table(
        "ledger",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("reference", sa.String(120), nullable=False),
        sa.Column("account", sa.String(24), nullable=False),
        sa.Column("currency", sa.String(16), nullable=False),
        sa.Column("amount", _DECIMAL, nullable=False),
        sa.Column("market_time_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "round_trips",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("intent_id", sa.String(80), nullable=False),
        sa.Column("phase_id", sa.String(32), nullable=False),
        sa.Column("setup", sa.String(64), nullable=False),
        sa.Column("symbol", sa.String(40), nullable=False),
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("quantity", _DECIMAL, nullable=False),
        sa.Column("entry_price", _DECIMAL, nullable=False),
        sa.Column("exit_price", _DECIMAL, nullable=False),
        sa.Column("realized_pnl", _DECIMAL, nullable=False),
        sa.Column("fees", _DECIMAL, nullable=False),
        sa.Column("opened_ns", sa.BigInteger, nullable=False),
        sa.Column("closed_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "positions",
        sa.Column("phase_id", sa.String(32), primary_key=True),
        sa.Column("symbol", sa.String(40), primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("quantity", _DECIMAL, nullable=False),
        sa.Column("average_entry_price", _DECIMAL, nullable=False),
        sa.Column("opened_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "projection",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop all tables: the journal makes them again."""
    op.drop_table("projection")
    op.drop_table("positions")
    op.drop_table("round_trips")
    op.drop_table("ledger")
    op.drop_table("fills")
    op.drop_table("orders")
