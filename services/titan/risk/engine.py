"""Run the guards over an intent and the risk state, and write the explain record."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from enum import Enum

import msgspec

from titan.domain.decisions import Decision, GuardResult
from titan.domain.enums import Action, OrderRole, PositionEffect, Side, Verdict
from titan.domain.intents import Intent
from titan.domain.notional import notional_price
from titan.domain.numbers import ZERO, floor_to
from titan.domain.reasons import Reason
from titan.risk.evaluation import Evaluation, Outcome, Raw
from titan.risk.guards.checks import takes_back
from titan.risk.guards.table import GUARDS
from titan.risk.limits import Limits
from titan.risk.reservations import Reservation, Terms
from titan.risk.state import RiskState

# Places of the numbers in records: no venue's prices are finer.
_PLACES = Decimal("1e-8")
# Decimals as JSON's numbers, exactly.
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_EXEMPT: Outcome = (Verdict.EXEMPT, Reason.OK, "reducing", "", None)
_NOT_REACHED: Outcome = (Verdict.NOT_REACHED, Reason.OK, "", "", None)


class Assessment(msgspec.Struct, frozen=True, gc=False):
    """The guards' raw outcomes for one intent, before they are written out.

    ``outcomes`` end with a rejection, or hold every guard. ``quantity`` in base units, ``notional`` in quote units.
    """

    evaluation: Evaluation
    outcomes: list[Outcome]
    rejected: bool
    quantity: Decimal
    notional: Decimal
    term: int

    @property
    def approved(self) -> bool:
        """Whether no guard rejected."""
        return not self.rejected

    @property
    def explores(self) -> bool:
        """Whether it is one lot of a setup that guard 8 would refuse."""
        return self.evaluation.explores

    @property
    def thinned(self) -> Decimal | None:
        """The accumulator of guard 20 after this setup; None where it did not act."""
        return self.evaluation.thinned

    @property
    def position_effect(self) -> PositionEffect:
        """What the order does to positions, by the guards."""
        return self.evaluation.position_effect

    @property
    def reference_price(self) -> Decimal:
        """Price at which distances were measured, quote units."""
        return self.evaluation.price

    @property
    def market_time_ns(self) -> int:
        """Time of the assessment on the market clock."""
        return self.evaluation.now_ns

    def explain(self) -> bytes:
        """Write the guards' raw outcomes, JSON, as ``PlaceOrder.explain`` describes them.

        It takes a tenth of the time of :meth:`RiskEngine.record`, which the order on its way does not wait for.
        """
        intent = self.evaluation.intent
        return _ENCODER.encode(
            {
                "guards": self.outcomes,
                "reference_price": self.evaluation.price,
                "setup_score": intent.setup_score,
                "evidence": intent.evidence,
                "explores": self.evaluation.explores,
                "thinned": self.evaluation.thinned,
            }
        )


class RiskEngine:
    """Pure: the same intent, risk state and time give the same decision. :func:`reserve` changes the risk state."""

    __slots__ = ("limits", "term")

    def __init__(self, limits: Limits, term: int) -> None:
        self.limits = limits
        self.term = term

    def decide(self, intent: Intent, risk_state: RiskState, now_ns: int, *, seen: bool = False) -> Decision:
        """Decide on ``intent`` at ``now_ns`` of the market clock, and write it out."""
        assessed = self.consider(intent, risk_state, now_ns, seen=seen)
        return self.record(assessed) if isinstance(assessed, Assessment) else assessed

    def consider(
        self, intent: Intent, risk_state: RiskState, now_ns: int, *, seen: bool = False
    ) -> Assessment | Decision:
        """Assess ``intent`` at ``now_ns`` of the market clock; a decision at once where it does not apply here.

        Parameters
        ----------
        seen
            Whether the intent repeats one that was decided before, whose decision is not at hand.
        """
        symbol = risk_state.symbols.get(intent.symbol)
        if symbol is None:
            listed = ", ".join(sorted(risk_state.symbols)) or "none yet"
            return self.invalid(intent, f"symbol: {intent.symbol} is not listed; allowed are {listed}", now_ns)
        phase = risk_state.phases.get(intent.phase_id)
        if phase is None:
            known = ", ".join(risk_state.phases)
            return self.invalid(intent, f"phase_id: {intent.phase_id!r} is not planned; allowed are {known}", now_ns)
        return self.assess(Evaluation(intent, risk_state, phase, symbol, now_ns, seen))

    def assess(self, evaluation: Evaluation) -> Assessment:
        """Run the guards; the first rejection ends the evaluation."""
        outcomes: list[Outcome] = []
        rejects = Verdict.REJECT
        reducing = PositionEffect.REDUCING
        for guard in GUARDS:
            outcome = guard.check(evaluation)
            outcomes.append(outcome)
            if outcome[0] is rejects:
                return Assessment(evaluation, outcomes, True, ZERO, ZERO, self.term)
            if evaluation.position_effect is reducing and guard.number == 1:
                quantity = evaluation.intent.quantity
                outcomes.extend([_EXEMPT] * (len(GUARDS) - 2))
                return Assessment(
                    evaluation, outcomes, False, quantity, quantity * evaluation.notional_price, self.term
                )
        notional = evaluation.notional
        assert notional is not None  # guard 3 bounds it
        quantity = floor_to(notional / evaluation.notional_price, evaluation.symbol.instrument.quantity_step)
        if evaluation.fits is not None and evaluation.fits.effect(quantity) is reducing:
            # Sized, an OPEN against the phase's own position may take back no more than a part of it.
            evaluation.position_effect = reducing
            outcomes[0] = takes_back(evaluation, quantity)
        return Assessment(evaluation, outcomes, False, quantity, quantity * evaluation.notional_price, self.term)

    def record(self, assessment: Assessment) -> Decision:
        """Write out an assessment as a decision with its explain record."""
        e = assessment.evaluation
        intent = e.intent
        outcomes = assessment.outcomes
        outcomes = outcomes + [_NOT_REACHED] * (len(GUARDS) - len(outcomes))
        results = tuple(
            GuardResult(
                guard.number,
                guard.name,
                write_out(outcome[2]),
                write_out(outcome[3]),
                outcome[0],
                outcome[1],
                None if outcome[4] is None else outcome[4].quantize(_PLACES, ROUND_DOWN),
            )
            for guard, outcome in zip(GUARDS, outcomes, strict=True)
        )
        reason, message, largest = Reason.OK, "", ZERO
        if assessment.rejected:
            last = results[len(assessment.outcomes) - 1]
            reason = last.reason
            message = f"{reason.name}: {last.value}, {last.limit}" if last.limit else f"{reason.name}: {last.value}"
            largest = last.largest_notional or ZERO
        return Decision(
            intent_id=intent.intent_id,
            phase_id=intent.phase_id,
            symbol=intent.symbol,
            side=intent.side,
            action=intent.action,
            position_effect=e.position_effect,
            approved=not assessment.rejected,
            reason=reason,
            message=message,
            guards=results,
            policy_hash=self.limits.policy_hash,
            term=assessment.term,
            event_time_ns=intent.event_time_ns,
            market_time_ns=e.now_ns,
            quantity=assessment.quantity,
            notional=assessment.notional,
            largest_notional=largest,
            reference_price=e.price,
            stop_price=intent.stop_price,
            target_price=intent.target_price,
            setup=intent.setup,
            setup_score=intent.setup_score,
            hops=intent.hops,
            evidence=intent.evidence,
            explores=e.explores,
            thinned=e.thinned,
            not_enforced=self.limits.not_enforced,
        )

    def invalid(self, intent: Intent, sentence: str, now_ns: int) -> Decision:
        """Refuse an intent that can be read but does not apply here."""
        return self.unreadable(
            intent.intent_id,
            intent.phase_id,
            intent.symbol,
            sentence,
            now_ns,
            side=intent.side,
            action=intent.action,
            setup=intent.setup,
            event_time_ns=intent.event_time_ns,
            hops=intent.hops,
        )

    def unreadable(
        self,
        intent_id: str,
        phase_id: str,
        symbol: str,
        sentence: str,
        now_ns: int,
        *,
        side: Side | None = None,
        action: Action | None = None,
        setup: str = "",
        event_time_ns: int = 0,
        hops: tuple[tuple[str, int], ...] = (),
    ) -> Decision:
        """Refuse an intent whose fields are wrong; ``sentence`` names field, value and what is allowed."""
        guards = [GuardResult(0, GUARDS[0].name, "lane=OPENING", "", Verdict.PASS, Reason.OK)]
        guards.append(
            GuardResult(1, GUARDS[1].name, sentence, "readable fields", Verdict.REJECT, Reason.INVALID_INTENT)
        )
        guards += [
            GuardResult(guard.number, guard.name, "", "", Verdict.NOT_REACHED, Reason.OK) for guard in GUARDS[2:]
        ]
        return Decision(
            intent_id=intent_id,
            phase_id=phase_id,
            symbol=symbol,
            side=side,
            action=action,
            position_effect=PositionEffect.OPENING,
            approved=False,
            reason=Reason.INVALID_INTENT,
            message=f"{Reason.INVALID_INTENT.name}: {sentence}",
            guards=tuple(guards),
            policy_hash=self.limits.policy_hash,
            term=self.term,
            event_time_ns=event_time_ns,
            market_time_ns=now_ns,
            setup=setup,
            hops=hops,
            not_enforced=self.limits.not_enforced,
        )


def reserve(risk_state: RiskState, intent: Intent, approved: Assessment | Decision) -> None:
    """Count what was approved as if done. The caller refreshes the risk state afterwards."""
    symbol = risk_state.symbols[intent.symbol]
    opening = approved.position_effect is PositionEffect.OPENING
    price = approved.reference_price
    loss = None
    if opening and intent.stop_price and price:
        loss = abs(price - intent.stop_price) / price + symbol.cost_taker
    held = Reservation(
        intent_id=intent.intent_id,
        phase_id=intent.phase_id,
        symbol=intent.symbol,
        side=intent.side,
        quantity=approved.quantity,
        price=notional_price(intent.side, price, symbol.bid),
        loss_fraction=loss,
        terms=Terms(stop_price=intent.stop_price, target_price=intent.target_price, setup=intent.setup),
        order_role=OrderRole.ENTRY if opening else OrderRole.EXIT,
    )
    if opening:
        risk_state.reservations.entries[intent.intent_id] = held
        risk_state.phases[intent.phase_id].openings_ns.append(approved.market_time_ns)
    else:
        risk_state.reservations.exits[intent.intent_id] = held


def write_out(raw: Raw) -> str:
    """Write out a guard's raw value or limit."""
    if isinstance(raw, str):
        return raw
    template = raw[0]
    assert isinstance(template, str)
    return template.format(*map(_format_argument, raw[1:]))


def _format_argument(value: object) -> object:
    kind = type(value)
    if kind is Decimal:
        text = f"{value:.8f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    if kind is float:
        return f"{value:.6g}"
    return value.name if isinstance(value, Enum) else value
