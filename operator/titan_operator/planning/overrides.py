"""Pure: apply the flags of ``titan up`` to the resources, before planning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from titan.domain.policy_rules import IntegerRule, RuleError
from titan_operator.api.field_types import FILES
from titan_operator.api.parameters import MarketdataParameters, SpeedRule
from titan_operator.api.resources import MarketdataSpec, Resource, TitanPhase

_SEED = IntegerRule(0, 2**53 - 1, "")
_DURATION = IntegerRule(1, 10**9, "")


class OverrideError(ValueError):
    """A flag is not allowed; the message is one sentence that names it."""


@dataclass(frozen=True)
class Overrides:
    """Flags of ``titan up``; a flag that is not set changes nothing.

    ``market_files`` are recordings (paths): they make the source a replay. ``seed`` is for the simulated market.
    ``speed`` is ``max`` or a multiple of real time; ``duration_s`` ends the market after so many seconds of its time.
    """

    market_files: tuple[str, ...] = ()
    seed: int | None = None
    speed: str | None = None
    duration_s: int | None = None


def apply_overrides(resources: Sequence[Resource], flags: Overrides) -> list[Resource]:
    """Return the resources with the flags applied.

    Raises
    ------
    OverrideError
        When a value is not allowed, flags contradict each other, or there is no market to change.
    """
    if flags == Overrides():
        return list(resources)
    if flags.market_files and flags.seed is not None:
        raise OverrideError(f"--seed: {flags.seed} with --market; allowed is a seed for the simulated market only")
    _read("--market", FILES.read, list(flags.market_files), None)
    if not any(_is_market(resource) for resource in resources):
        raise OverrideError("--market, --seed, --speed: no TitanPhase of role marketdata is given to change")
    return [_changed(resource, flags) if isinstance(resource, TitanPhase) else resource for resource in resources]


def _is_market(resource: Resource) -> bool:
    return isinstance(resource, TitanPhase) and isinstance(resource.spec, MarketdataSpec)


def _changed(phase: TitanPhase, flags: Overrides) -> TitanPhase:
    spec = phase.spec
    if not isinstance(spec, MarketdataSpec):
        return phase
    now = spec.parameters
    wanted: dict[str, object] = {
        "source": "replay" if flags.market_files else now.source,
        "stepMs": now.step_ms,
        "speed": _read("--speed", SpeedRule().read, flags.speed, now.speed),
        "durationS": _read("--duration", _DURATION.read, flags.duration_s, now.duration_s),
    }
    if wanted["source"] == "simulated":
        wanted["seed"] = _read("--seed", _SEED.read, flags.seed, now.seed)
    elif flags.seed is not None:
        raise OverrideError(f"--seed: {flags.seed} with a replay; allowed is a seed for the simulated market only")
    else:
        wanted["files"] = list(flags.market_files or now.files)
    parameters = MarketdataParameters.model_validate(wanted)
    return phase.model_copy(update={"spec": spec.model_copy(update={"parameters": parameters})})


def _read(flag: str, read: Callable[[object], object], value: object, default: object) -> object:
    if value is None:
        return default
    try:
        return read(value)
    except RuleError as error:
        raise OverrideError(f"{flag}: {error}") from error
