"""A status as the API server takes it."""

from __future__ import annotations

import pytest

from titan_operator.api.status import MESSAGE_LONGEST, PostureStatus, RiskPolicyStatus, bounded, status_document


def test_a_status_holds_what_is_known_in_the_servers_spelling() -> None:
    status = RiskPolicyStatus(observed_generation=3, posture=PostureStatus(in_force="HALTED"), equity="200")
    assert status_document(status) == {"observedGeneration": 3, "posture": {"inForce": "HALTED"}, "equity": "200"}


@pytest.mark.parametrize("length", [1, MESSAGE_LONGEST, MESSAGE_LONGEST + 1, 100_000])
def test_a_message_fits_into_a_status(length: int) -> None:
    text = "a" * (length - 1) + "b"
    assert len(bounded(text)) <= MESSAGE_LONGEST
    assert (bounded(text) == text) is (length <= MESSAGE_LONGEST)
    assert bounded(text).endswith("b")
