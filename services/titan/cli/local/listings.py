"""``orders``, ``fills``, ``positions`` and ``equity``: Execution's account, as Execution reports it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from titan.cli.local.client import call_stack
from titan.cli.local.state import State
from titan.cli.output import (
    Column,
    Output,
    age,
    clock,
    document,
    number,
    percent,
    print_document,
    print_table,
    short_id,
    time_of_day,
    usdt,
    word,
)

if TYPE_CHECKING:
    from titan.v1 import execution_pb2 as e
    from titan.v1 import order_pb2 as o

ORDER_COLUMNS = (
    Column("TIME"),
    Column("INTENT"),
    Column("ROLE"),
    Column("SYMBOL"),
    Column("SIDE"),
    Column("FILLED/TOTAL", right=True),
    Column("PRICE", right=True),
    Column("STATE", wrap=True),
)
FILL_COLUMNS = (
    Column("TIME"),
    Column("INTENT"),
    Column("ROLE"),
    Column("SYMBOL"),
    Column("SIDE"),
    Column("QUANTITY", right=True),
    Column("PRICE", right=True),
    Column("FEE (USDT)", right=True),
    Column("PNL (USDT)", right=True),
)
POSITION_COLUMNS = (
    Column("SYMBOL"),
    Column("QUANTITY", right=True),
    Column("ENTRY", right=True),
    Column("MARK", right=True),
    Column("PNL (USDT)", right=True),
    Column("STOP", right=True),
    Column("STOP QTY", right=True),
    Column("TARGET", right=True),
    Column("HELD BY", wrap=True),
)
EQUITY_COLUMNS = (Column("ACCOUNT"), Column("VALUE", right=True, wrap=True))


def show(message: Message, output: Output, table: Callable[[], None]) -> None:
    """Print ``message`` as JSON or YAML, or call ``table`` for the table format."""
    if output is Output.TABLE:
        table()
    else:
        print_document(document(message), output)


def orders(state: State, output: Output, limit: int, working_only: bool) -> None:
    """List orders, newest first."""
    from titan.runtime.rpc.contract import EXECUTION_LIST_ORDERS
    from titan.v1 import execution_pb2 as e

    request = e.ListOrdersRequest(limit=limit, working_only=working_only)
    response = call_stack(state, "execution", EXECUTION_LIST_ORDERS, request)
    empty = "no working orders" if working_only else "no orders yet"
    show(response, output, lambda: print_table(ORDER_COLUMNS, order_rows(response.orders), empty=empty))


def fills(state: State, output: Output, limit: int) -> None:
    """List fills, newest first."""
    from titan.runtime.rpc.contract import EXECUTION_LIST_FILLS
    from titan.v1 import execution_pb2 as e

    response = call_stack(state, "execution", EXECUTION_LIST_FILLS, e.ListFillsRequest(limit=limit))
    show(response, output, lambda: print_table(FILL_COLUMNS, fill_rows(response.fills), empty="no fills yet"))


def positions(state: State, output: Output) -> None:
    """List open positions."""
    from titan.runtime.rpc.contract import EXECUTION_LIST_POSITIONS
    from titan.v1 import execution_pb2 as e

    response = call_stack(state, "execution", EXECUTION_LIST_POSITIONS, e.ListPositionsRequest())
    rows = position_rows(response.positions)
    show(response, output, lambda: print_table(POSITION_COLUMNS, rows, empty="no open positions"))


def equity(state: State, output: Output) -> None:
    """Show the account's equity and its parts."""
    from titan.runtime.rpc.contract import EXECUTION_GET_EQUITY
    from titan.v1 import execution_pb2 as e

    response = call_stack(state, "execution", EXECUTION_GET_EQUITY, e.GetEquityRequest())
    show(response, output, lambda: print_table(EQUITY_COLUMNS, equity_rows(response), empty="unknown"))


def order_rows(orders: Sequence[o.Order]) -> list[tuple[str, ...]]:
    """Make cells of :data:`ORDER_COLUMNS`; PRICE is the average of the fills, else the limit or trigger price."""
    from titan.v1 import common_pb2 as c
    from titan.v1 import order_pb2 as o

    return [
        (
            time_of_day(order.updated_ns),
            short_id(order.intent_id),
            word(o.OrderRole, order.order_role, "ORDER_ROLE_"),
            order.symbol,
            word(c.Side, order.side, "SIDE_"),
            f"{number(order.filled_quantity or '0')}/{number(order.quantity)}",
            _order_price(order),
            _order_state(order),
        )
        for order in orders
    ]


def _order_price(order: o.Order) -> str:
    waits_for = [price for price in (order.limit_price, order.trigger_price) if price not in ("", "0")]
    if order.average_price not in ("", "0"):
        return number(order.average_price, 4)
    return number(waits_for[0], 4) if waits_for else "market"


def _order_state(order: o.Order) -> str:
    from titan.v1 import common_pb2 as c
    from titan.v1 import order_pb2 as o

    state = word(o.OrderState, order.state, "ORDER_STATE_")
    reason = word(c.Reason, order.reason, "REASON_")
    return state if reason in ("OK", "UNSPECIFIED") else f"{state}: {reason}"


def fill_rows(fills: Sequence[o.Fill]) -> list[tuple[str, ...]]:
    """Make cells of :data:`FILL_COLUMNS`; PNL is the realized one, before fees."""
    from titan.v1 import common_pb2 as c
    from titan.v1 import order_pb2 as o

    return [
        (
            time_of_day(fill.event_time_ns),
            short_id(fill.intent_id),
            word(o.OrderRole, fill.order_role, "ORDER_ROLE_"),
            fill.symbol,
            word(c.Side, fill.side, "SIDE_"),
            number(fill.quantity),
            number(fill.price, 4),
            number(fill.fee, 4),
            number(fill.realized_pnl, 4),
        )
        for fill in fills
    ]


def position_rows(positions: Sequence[o.Position]) -> list[tuple[str, ...]]:
    """Make cells of :data:`POSITION_COLUMNS`; PNL is unrealized, STOP QTY the quantity that a working stop closes."""
    return [
        (
            position.symbol,
            number(position.quantity),
            number(position.average_entry_price, 4),
            number(position.mark_price, 4),
            number(position.unrealized_pnl, 4),
            number(position.stop_price, 4),
            number(position.stop_quantity),
            number(position.target_price, 4),
            ", ".join(share.phase_id for share in position.shares),
        )
        for position in positions
    ]


def equity_rows(response: e.GetEquityResponse) -> list[tuple[str, str]]:
    """Make names and values with units; where equity is unknown, only the reason."""
    account = response.equity
    if not account.known:
        return [("equity", f"unknown: {account.reason}")]
    return [
        ("equity", usdt(account.equity, 4)),
        ("at prices printed twice", usdt(account.confirmed_equity, 4)),
        ("cash", usdt(account.cash, 4)),
        ("unrealized PNL", usdt(account.unrealized_pnl, 4)),
        ("realized PNL, before fees", usdt(account.realized_pnl, 4)),
        ("fees", usdt(account.fees, 4)),
        ("equity at the start of the day", usdt(account.day_start_equity, 4)),
        ("highest equity", usdt(account.high_water_mark, 4)),
        ("drawdown from it", percent(account.drawdown)),
        ("margin used", usdt(account.margin_used, 4)),
        ("deposits less withdrawals", usdt(account.net_deposits, 4)),
        ("round trips", str(response.round_trips)),
        ("ledger", "balanced" if response.ledger_balanced else "NOT BALANCED"),
        ("as of", f"{clock(account.market_time_ns)} UTC"),
        ("oldest price in it", _price_age(account)),
    ]


def _price_age(account: o.Equity) -> str:
    return age(account.oldest_mark_ns, account.market_time_ns) if account.oldest_mark_ns else "none is needed"
