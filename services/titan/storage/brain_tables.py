"""Brain's tables. The revisions under ``migrations/versions/brain`` make them; a test holds both together."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

HEAD = "brain_0001"
metadata = MetaData()

# SQLite counts only an INTEGER by itself, of 64 bits there.
_COUNTED = BigInteger().with_variant(Integer, "sqlite")

# One row a decision, append-only: a second write of an intent changes nothing. ``record`` is the Decision message with
# its guards; the other columns are for finding it.
decisions = Table(
    "decisions",
    metadata,
    Column("sequence", _COUNTED, primary_key=True, autoincrement=True),
    Column("intent_id", String(64), nullable=False, unique=True),
    Column("phase_id", String(32), nullable=False),
    Column("symbol", String(40), nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("reason", String(40), nullable=False),
    Column("policy_hash", String(80), nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("market_time_ns", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Index("decisions_by_phase", "phase_id", "sequence"),
)

# Brain's state over restarts: JSON by name ("allocation", "risk_level").
brain_state = Table(
    "brain_state",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
