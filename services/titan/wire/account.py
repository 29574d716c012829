"""What Execution's account holds beside orders and positions: terms, open trips and totals, for Brain's mirror."""

from __future__ import annotations

from collections.abc import Iterable

from titan.domain.account import Account
from titan.domain.enums import OrderRole, Side
from titan.domain.numbers import format_decimal
from titan.domain.positions import Share, TripProgress
from titan.domain.trip_results import DayResult, DayResults, SetupRecord, TripResults
from titan.v1 import execution_pb2 as pb
from titan.wire.fields import enum_number, optional_decimal, read_decimal, read_enum


def entry_terms_to_wire(account: Account) -> list[pb.EntryTerms]:
    """Write what was decided with each working entry."""
    intakes = (
        account.intakes.get(order.intent_id)
        for order in account.working.values()
        if order.order_role is OrderRole.ENTRY
    )
    return [
        pb.EntryTerms(
            intent_id=intake.intent_id,
            stop_price=optional_decimal(intake.stop_price),
            target_price=optional_decimal(intake.target_price),
            setup=intake.setup,
        )
        for intake in intakes
        if intake is not None
    ]


def open_trip_to_wire(share: Share, trip: TripProgress) -> pb.OpenTrip:
    """Write an unfinished round trip."""
    phase_id, symbol = share
    return pb.OpenTrip(
        intent_id=trip.intent_id,
        phase_id=phase_id,
        symbol=symbol,
        setup=trip.setup,
        side=enum_number(trip.side),
        opened_ns=trip.opened_ns,
        entered_quantity=format_decimal(trip.entered_quantity),
        entered_notional=format_decimal(trip.entered_notional),
        left_quantity=format_decimal(trip.left_quantity),
        left_notional=format_decimal(trip.left_notional),
        fees=format_decimal(trip.fees),
        risk=format_decimal(trip.risk),
    )


def open_trip_from_wire(message: pb.OpenTrip) -> tuple[Share, TripProgress]:
    """Read an unfinished round trip.

    Raises
    ------
    ValueError
        For a decimal that is not canonical or a side without a name; names the field.
    """
    trip = TripProgress(
        intent_id=message.intent_id,
        setup=message.setup,
        side=read_enum(Side, message.side, "open_trip.side"),
        opened_ns=message.opened_ns,
        entered_quantity=read_decimal(message.entered_quantity, "open_trip.entered_quantity"),
        entered_notional=read_decimal(message.entered_notional, "open_trip.entered_notional"),
        left_quantity=read_decimal(message.left_quantity, "open_trip.left_quantity"),
        left_notional=read_decimal(message.left_notional, "open_trip.left_notional"),
        fees=read_decimal(message.fees, "open_trip.fees"),
        risk=read_decimal(message.risk, "open_trip.risk"),
    )
    return (message.phase_id, message.symbol), trip


def setup_results_to_wire(results: TripResults) -> list[pb.SetupResults]:
    """Write the totals by phase and setup."""
    return [
        pb.SetupResults(
            phase_id=phase_id,
            setup=setup,
            weight=record.weight,
            weighted_r=record.weighted_r,
            trades=record.trades,
        )
        for (phase_id, setup), record in results.by_setup.items()
    ]


def day_results_to_wire(results: TripResults) -> list[pb.DayResult]:
    """Write each phase's results of its last days with a trip, oldest first: older readers take the last one."""
    return [
        pb.DayResult(phase_id=phase_id, day=one.day, result=format_decimal(one.result), trades=one.trades)
        for phase_id, days in results.by_day.items()
        for one in days.days
    ]


def trip_results_from_wire(by_setup: Iterable[pb.SetupResults], by_day: Iterable[pb.DayResult]) -> TripResults:
    """Read the totals over all finished round trips.

    Raises
    ------
    ValueError
        For a decimal that is not canonical; names the field.
    """
    results = TripResults()
    results.by_setup = {
        (one.phase_id, one.setup): SetupRecord(one.weight, one.weighted_r, one.trades) for one in by_setup
    }
    days: dict[str, list[DayResult]] = {}
    for one in by_day:
        day = DayResult(one.day, read_decimal(one.result, "day_results"), one.trades)
        days.setdefault(one.phase_id, []).append(day)
    results.by_day = {
        phase_id: DayResults(tuple(sorted(found, key=lambda one: one.day))) for phase_id, found in days.items()
    }
    return results
