"""Resources that make no stack are refused by a gate, in one sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.stack.plans import ROOT, STACK, read
from support.stack.texts import DEMO, DEMO_HASH, MICRO, MICRO_HASH, in_role, only, refusal, without
from titan_operator.planning.gates import GateReason

MICRO_PIN: Callable[[str], str] = lambda text: text.replace("demo-3e1725d5", "micro-5ae7959c").replace(  # noqa: E731
    DEMO_HASH, MICRO_HASH
)
REFUSED: list[tuple[str, list[str], GateReason, str]] = [
    (
        "two contents under one name",
        [DEMO, STACK, DEMO.replace("posture: ARMED", "posture: HALTED")],
        GateReason.SPEC_VALID,
        "RiskPolicy demo-3e1725d5: given 2 times with different contents; allowed is one",
    ),
    (
        "two of one role",
        [DEMO, STACK, only("brain").replace("name: brain", "name: brain-2")],
        GateReason.SPEC_VALID,
        "role brain: given by brain and brain-2; allowed is one TitanPhase of a role in a stack",
    ),
    (
        "nothing but a policy",
        [DEMO],
        GateReason.ROLES_COMPLETE,
        "the stack lacks marketdata, papervenue, execution, brain, a phase (scavenger); no TitanPhase is given",
    ),
    (
        "no phase",
        [DEMO, without("scavenger")],
        GateReason.ROLES_COMPLETE,
        "the stack lacks a phase (scavenger); given are brain, execution, marketdata, papervenue",
    ),
    (
        "a suspended Brain",
        [DEMO, in_role("brain", "  mode", "  suspend: true\n  mode")],
        GateReason.ROLES_COMPLETE,
        "the stack lacks brain; given are",
    ),
    (
        "two pins",
        [DEMO, MICRO, STACK.replace(only("brain"), MICRO_PIN(only("brain")))],
        GateReason.ONE_POLICY_PER_STACK,
        "policyRef: scavenger pins demo-3e1725d5, brain pins micro-5ae7959c; allowed is one policy for the whole stack",
    ),
    (
        "no policy",
        [STACK],
        GateReason.POLICY_FOUND,
        "TitanPhase execution: spec.policyRef.name: demo-3e1725d5 is not among the resources; no RiskPolicy is given",
    ),
    (
        "another policy",
        [MICRO, STACK],
        GateReason.POLICY_FOUND,
        "spec.policyRef.name: demo-3e1725d5 is not among the resources; given are micro-5ae7959c",
    ),
    (
        "a pin of another hash",
        [DEMO, in_role("brain", DEMO_HASH, MICRO_HASH)],
        GateReason.POLICY_HASH_MATCHES,
        f"TitanPhase brain: spec.policyRef.hash: {MICRO_HASH}; allowed is the hash of demo-3e1725d5, {DEMO_HASH}",
    ),
    (
        "a symbol that the policy does not name",
        [MICRO, MICRO_PIN(STACK.replace("BTC/", "ETH/"))],
        GateReason.SYMBOLS_TRADABLE,
        "TitanPhase scavenger: spec.symbols: ETH/USDT:USDT; allowed are those of micro-5ae7959c: BTC/USDT, BTC/",
    ),
    (
        "two modes",
        [DEMO, in_role("brain", "mode: paper", "mode: live")],
        GateReason.LIVE_APPROVED,
        "spec.mode: brain is live, scavenger is paper; allowed is one mode for the whole stack",
    ),
    (
        "live where the policy says paper",
        [DEMO, STACK.replace("mode: paper", "mode: live")],
        GateReason.LIVE_APPROVED,
        "spec.mode: live is not among the policy's modes; allowed is one of paper",
    ),
    (
        "live without an approval",
        [MICRO, MICRO_PIN(STACK).replace("mode: paper", "mode: live")],
        GateReason.LIVE_APPROVED,
        "spec.mode: live needs rules.liveApproval in the policy",
    ),
    (
        "a market that lacks a symbol of the phase",
        [DEMO, in_role("marketdata", "[BTC/USDT, BTC/USDT:USDT]", "[BTC/USDT:USDT]")],
        GateReason.MARKET_COVERS,
        "TitanPhase marketdata: spec.symbols: BTC/USDT:USDT; TitanPhase scavenger needs BTC/USDT too",
    ),
    (
        "a market of symbols that the venue does not list",
        [DEMO, in_role("marketdata", "[BTC/USDT, ", "[XYZ/USDT, BTC/USDT, ")],
        GateReason.MARKET_COVERS,
        "TitanPhase marketdata: spec.symbols: XYZ/USDT is not listed; allowed are BTC/USDT,",
    ),
    (
        "a replay of nothing",
        [DEMO, (ROOT / "examples" / "replay" / "stack.yaml").read_text()],
        GateReason.MARKET_COVERS,
        "spec.parameters.files: empty; a replay needs recordings: give them here, or with --market FILE",
    ),
    (
        "a step longer than the venue's latency",
        [DEMO, in_role("marketdata", "seed: 1", "seed: 1\n    stepMs: 51")],
        GateReason.MARKET_COVERS,
        "spec.parameters.stepMs: 51; allowed is at most the paper venue's latencyMs, 50",
    ),
]


@pytest.mark.parametrize(("description", "texts", "reason", "sentence"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_gate_refuses_with_its_reason_and_one_sentence(
    description: str, texts: list[str], reason: GateReason, sentence: str
) -> None:
    refused, message = refusal(*texts)
    assert refused is reason
    assert sentence in message
    assert "\n" not in message


def test_a_symbol_that_the_policy_could_never_trade_is_refused() -> None:
    text = MICRO.replace('maxOrderNotional: "250"', 'maxOrderNotional: "50"')
    with pytest.raises(ValueError, match="the rules hash to") as caught:
        read(text)
    actual = str(caught.value).partition("the rules hash to ")[2].partition(",")[0]
    text = text.replace(MICRO_HASH, actual).replace("micro-5ae7959c", f"micro-{actual[7:15]}")
    stack = MICRO_PIN(STACK).replace(MICRO_HASH, actual).replace("micro-5ae7959c", f"micro-{actual[7:15]}")
    reason, message = refusal(text, stack)
    assert reason is GateReason.SYMBOLS_TRADABLE
    assert "BTC/USDT:USDT can never be traded: the venue's least order is 100 USDT" in message
