"""Execution's tables: projections of its journal. The revisions under ``migrations/versions/execution`` make them.

Decimals are stored as canonical text: SQLite has no exact decimal, and a float would be another number. ``sequence`` is
the journal's; a row is written again only by a later one.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text

HEAD = "execution_0001"
metadata = MetaData()

_DECIMAL = String(48)

# One row an order: its last state.
orders = Table(
    "orders",
    metadata,
    Column("client_order_id", String(36), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("intent_id", String(80), nullable=False),
    Column("phase_id", String(32), nullable=False),
    Column("leg", String(16), key="order_role", nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("symbol", String(40), nullable=False),
    Column("side", String(8), nullable=False),
    Column("type", String(24), nullable=False),
    Column("time_in_force", String(16), nullable=False),
    Column("quantity", _DECIMAL, nullable=False),
    Column("limit_price", _DECIMAL, nullable=False),
    Column("trigger_price", _DECIMAL, nullable=False),
    Column("reduce_only", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("filled_quantity", _DECIMAL, nullable=False),
    Column("average_price", _DECIMAL, nullable=False),
    Column("reason", String(40), nullable=False),
    Column("message", Text, nullable=False),
    Column("policy_hash", String(80), nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("venue_order_id", String(64), nullable=False),
    Index("orders_by_intent", "intent_id"),
)

fills = Table(
    "fills",
    metadata,
    Column("symbol", String(40), primary_key=True),
    Column("trade_id", String(64), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("client_order_id", String(36), nullable=False),
    Column("intent_id", String(80), nullable=False),
    Column("phase_id", String(32), nullable=False),
    Column("leg", String(16), key="order_role", nullable=False),
    Column("side", String(8), nullable=False),
    Column("quantity", _DECIMAL, nullable=False),
    Column("price", _DECIMAL, nullable=False),
    Column("fee", _DECIMAL, nullable=False),
    Column("fee_currency", String(16), nullable=False),
    Column("maker", Boolean, nullable=False),
    Column("event_time_ns", BigInteger, nullable=False),
    Column("realized_pnl", _DECIMAL, nullable=False),
    Column("policy_hash", String(80), nullable=False),
    Index("fills_by_intent", "intent_id"),
)

# Double entry: the amounts of one sequence sum to zero in each currency.
ledger = Table(
    "ledger",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("reference", String(120), nullable=False),
    Column("account", String(24), nullable=False),
    Column("currency", String(16), nullable=False),
    Column("amount", _DECIMAL, nullable=False),
    Column("market_time_ns", BigInteger, nullable=False),
)

round_trips = Table(
    "round_trips",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("intent_id", String(80), nullable=False),
    Column("phase_id", String(32), nullable=False),
    Column("setup", String(64), nullable=False),
    Column("symbol", String(40), nullable=False),
    Column("side", String(8), nullable=False),
    Column("quantity", _DECIMAL, nullable=False),
    Column("entry_price", _DECIMAL, nullable=False),
    Column("exit_price", _DECIMAL, nullable=False),
    Column("realized_pnl", _DECIMAL, nullable=False),
    Column("fees", _DECIMAL, nullable=False),
    Column("opened_ns", BigInteger, nullable=False),
    Column("closed_ns", BigInteger, nullable=False),
)

# A phase's share of a position as of ``sequence``; quantity "0" is flat.
positions = Table(
    "positions",
    metadata,
    Column("phase_id", String(32), primary_key=True),
    Column("symbol", String(40), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("quantity", _DECIMAL, nullable=False),
    Column("average_entry_price", _DECIMAL, nullable=False),
    Column("opened_ns", BigInteger, nullable=False),
)

# One row: how far the tables are.
projection = Table(
    "projection",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)
