"""``arm``, ``halt``, ``flatten`` and ``rebase``: a person's acts on the posture and on the peak."""

from __future__ import annotations

import getpass
import os
import uuid
from typing import TYPE_CHECKING

from titan.cli.errors import BadInput, Refused, Unreachable
from titan.cli.local.client import StackClient, call_stack, with_stack
from titan.cli.local.state import State
from titan.cli.output import Output, counted, document, print_document, print_error, print_text, usdt, word
from titan.domain.acts import reason_problem

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b
    from titan.v1 import common_pb2 as c
    from titan.v1 import execution_pb2 as e

EMPTY_REASON = "--reason: '' is not allowed; a rebase names the reason that its audit needs"
# A flatten waits for the venue.
_TIMEOUT_S = 30.0


def user_name() -> str:
    """Name of this user on the machine, for the record of an act."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def check_reason(reason: str) -> None:
    """Refuse a reason that Brain and Execution would refuse, before anything is sent.

    Raises
    ------
    BadInput
        With the flag and what is allowed.
    """
    if problem := reason_problem(reason, "--reason"):
        raise BadInput(problem)


def arm(state: State, output: Output, reason: str) -> None:
    """Arm through Brain; a refusal names every precondition that does not hold."""
    from titan.v1 import common_pb2 as c

    check_reason(reason)
    response = with_stack(state, lambda client: set_posture(client, c.POSTURE_ARMED, user_name(), reason))
    _print_result(response, output)


def tighten(state: State, output: Output, posture: c.Posture, reason: str) -> None:
    """Lower the posture through Brain; while Brain is away, directly at Execution."""
    check_reason(reason)

    async def act(client: StackClient) -> b.SetPostureResponse | e.TightenResponse:
        try:
            return await set_posture(client, posture, user_name(), reason)
        except Unreachable as error:
            print_error(f"titan: {error}; sending it to execution directly")
            return await _tighten_execution(client, posture, reason)

    response = with_stack(state, act)
    from titan.v1 import brain_pb2 as b

    if isinstance(response, b.SetPostureResponse):
        _print_result(response, output)
    else:
        _print_execution_result(response, output)


def rebase(state: State, output: Output, reason: str) -> None:
    """Set the peak to the present equity through Execution; a refusal names every precondition that does not hold.

    Raises
    ------
    BadInput
        When the reason is empty or not allowed.
    Refused
        When Execution refuses.
    """
    from titan.runtime.rpc.contract import EXECUTION_REBASE_PEAK
    from titan.v1 import execution_pb2 as e

    if not reason.strip():
        raise BadInput(EMPTY_REASON)
    check_reason(reason)
    request = e.RebasePeakRequest(by=user_name(), reason=reason, nonce=str(uuid.uuid4()))
    response = call_stack(state, "execution", EXECUTION_REBASE_PEAK, request, _TIMEOUT_S)
    if output is not Output.TABLE:
        print_document(document(response), output)
    elif response.done:
        print_text(rebase_sentence(response))
    if not response.done:
        raise Refused(rebase_sentence(response))


def rebase_sentence(response: e.RebasePeakResponse) -> str:
    """Describe the outcome of a rebase, and what is left to do."""
    if not response.done:
        return response.message
    before, now = usdt(response.high_water_mark_before, 4), usdt(response.high_water_mark, 4)
    return f"highest equity is {now}, it was {before}; the risk level is left after ten minutes, `titan arm` arms then"


async def set_posture(
    client: StackClient, posture: c.Posture, by: str, reason: str, *, only_if_never_set: bool = False
) -> b.SetPostureResponse:
    """Send one act to Brain, with a new nonce."""
    from titan.runtime.rpc.contract import BRAIN_SET_POSTURE
    from titan.v1 import brain_pb2 as b

    request = b.SetPostureRequest(
        posture=posture, by=by, reason=reason, nonce=str(uuid.uuid4()), only_if_never_set=only_if_never_set
    )
    return await client.call("brain", BRAIN_SET_POSTURE, request, _TIMEOUT_S)


async def _tighten_execution(client: StackClient, posture: c.Posture, reason: str) -> e.TightenResponse:
    from titan.runtime.rpc.contract import EXECUTION_TIGHTEN
    from titan.v1 import execution_pb2 as e

    request = e.TightenRequest(posture=posture, by=user_name(), reason=reason)
    return await client.call("execution", EXECUTION_TIGHTEN, request, _TIMEOUT_S)


def sentence(response: b.SetPostureResponse) -> str:
    """Describe the outcome of an act at Brain."""
    from titan.v1 import common_pb2 as c

    if not response.done:
        why = "; ".join(response.preconditions) or response.message
        return f"{word(c.Reason, response.reason, 'REASON_')}: {why}"
    posture = word(c.Posture, response.posture.in_force, "POSTURE_")
    if not response.acknowledged_by:
        return f"{posture} at brain; execution has not acknowledged it yet"
    return (
        f"{posture}, acknowledged by {response.acknowledged_by}: "
        f"{counted(response.working_orders, 'working order')}, {counted(response.open_positions, 'open position')}"
    )


def kept(posture: b.PostureState) -> str:
    """Describe the posture of an earlier run, which ``titan up`` neither raises nor lowers."""
    from titan.v1 import common_pb2 as c

    latch, by = word(c.Posture, posture.latch, "POSTURE_"), posture.by or "an unknown person"
    if posture.latch < c.POSTURE_ARMED:
        return f'Still {latch} (set by {by}). Run "titan arm" to resume.'
    if posture.ceiling < c.POSTURE_ARMED:
        ceiling = word(c.Posture, posture.ceiling, "POSTURE_")
        return f"Still {ceiling}: the ceiling of the RiskPolicy. The latch is {latch} (set by {by})."
    return f"Resumed: {latch} (set by {by})."


def _print_result(response: b.SetPostureResponse, output: Output) -> None:
    acknowledged = response.done and bool(response.acknowledged_by)
    if output is not Output.TABLE:
        print_document(document(response), output)
    elif acknowledged:
        print_text(sentence(response))
    if not response.done:
        raise Refused(sentence(response))
    if not acknowledged:
        # Execution falls to CLOSE_ONLY without Brain's word, not lower: a script must not go on as if it were halted.
        raise Unreachable(sentence(response))


def _print_execution_result(response: e.TightenResponse, output: Output) -> None:
    from titan.v1 import common_pb2 as c

    result = response.result
    if output is not Output.TABLE:
        print_document(document(response), output)
    elif result.done:
        posture = word(c.Posture, result.in_force, "POSTURE_")
        print_text(
            f"{posture} at execution only: "
            f"{counted(result.working_orders, 'working order')}, {counted(result.open_positions, 'open position')}"
        )
    if not result.done:
        raise Refused(f"{word(c.Reason, result.reason, 'REASON_')}: {result.message}")
