"""Documents of each kind, and the results of reading them."""

from __future__ import annotations

import pytest

from support.stack.plans import POLICIES
from titan_operator.api import ResourceError, TitanPhase, load_resources

POLICY = POLICIES["demo"]
HASH = "sha256:3e1725d5f33bfa455113489a81f23f66d7141ebca05cc3ea20fe6060687b2ab5"
DIGEST = "0" * 64
SCAVENGER = f"""\
apiVersion: titan.trading/v1alpha1
kind: TitanPhase
metadata: {{name: traps}}
spec:
  role: scavenger
  image: titan/titan@sha256:{DIGEST}
  policyRef: {{name: demo-3e1725d5, hash: {HASH}}}
  mode: paper
  symbols: [BTC/USDT:USDT, BTC/USDT]
  margin: {{leverage: "15"}}
  parameters: {{stopBps: "40.5", barMs: 1000, orderType: limit}}
"""
MARKET = f"""\
apiVersion: titan.trading/v1alpha1
kind: TitanPhase
metadata: {{name: market}}
spec:
  role: marketdata
  image: titan/titan@sha256:{DIGEST}
  symbols: [BTC/USDT, BTC/USDT:USDT]
  parameters: {{source: simulated, seed: 7, speed: "2.5", stepMs: 20}}
"""
VENUE = f"""\
apiVersion: titan.trading/v1alpha1
kind: TitanPhase
metadata: {{name: venue}}
spec: {{role: papervenue, image: "titan@sha256:{DIGEST}", parameters: {{initialBalance: "1000"}}}}
"""


def problems_of(text: str) -> tuple[str, ...]:
    """Return the problems of a text that is refused."""
    with pytest.raises(ResourceError) as caught:
        load_resources(text, "stack.yaml")
    return caught.value.problems


def phase(text: str) -> TitanPhase:
    """Read the one TitanPhase of a text."""
    (resource,) = load_resources(text, "stack.yaml")
    assert isinstance(resource, TitanPhase)
    return resource
