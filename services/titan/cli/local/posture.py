"""``arm``, ``halt`` and ``flatten``: acts of a person on the posture."""

from __future__ import annotations

import getpass
import os
import uuid
from typing import TYPE_CHECKING

from titan.cli.errors import Refused, Unreachable
from titan.cli.local.client import StackClient, with_stack
from titan.cli.local.state import State
from titan.cli.output import Output, document, print_document, say, tell, word

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b
    from titan.v1 import common_pb2 as c
    from titan.v1 import execution_pb2 as e

# Flattening waits for the venue.
_TIMEOUT_S = 30.0


def person() -> str:
    """Who acts: the name that the machine knows this user by."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def arm(state: State, output: Output, reason: str) -> None:
    """Ask Brain to arm; refused with every precondition that does not hold."""
    from titan.v1 import common_pb2 as c

    response = with_stack(state, lambda client: set_posture(client, c.POSTURE_ARMED, person(), reason))
    _answer(response, output)


def tighten(state: State, output: Output, posture: c.Posture, reason: str) -> None:
    """Lower the posture through Brain; where Brain is away, directly at Execution."""

    async def act(client: StackClient) -> b.SetPostureResponse | e.TightenResponse:
        try:
            return await set_posture(client, posture, person(), reason)
        except Unreachable as error:
            tell(f"titan: {error}; asking execution itself")
            return await _tighten_execution(client, posture, reason)

    response = with_stack(state, act)
    from titan.v1 import brain_pb2 as b

    if isinstance(response, b.SetPostureResponse):
        _answer(response, output)
    else:
        _answer_execution(response, output)


async def set_posture(
    client: StackClient, posture: c.Posture, by: str, reason: str, *, only_if_never_set: bool = False
) -> b.SetPostureResponse:
    """Make one act at Brain, with a nonce of its own."""
    from titan.runtime.rpc.contract import BRAIN_SET_POSTURE
    from titan.v1 import brain_pb2 as b

    request = b.SetPostureRequest(
        posture=posture, by=by, reason=reason, nonce=str(uuid.uuid4()), only_if_never_set=only_if_never_set
    )
    return await client.call("brain", BRAIN_SET_POSTURE, request, _TIMEOUT_S)


async def _tighten_execution(client: StackClient, posture: c.Posture, reason: str) -> e.TightenResponse:
    from titan.runtime.rpc.contract import EXECUTION_TIGHTEN
    from titan.v1 import execution_pb2 as e

    request = e.TightenRequest(posture=posture, by=person(), reason=reason)
    return await client.call("execution", EXECUTION_TIGHTEN, request, _TIMEOUT_S)


def sentence(response: b.SetPostureResponse) -> str:
    """What came of an act at Brain."""
    from titan.v1 import common_pb2 as c

    if not response.done:
        why = "; ".join(response.preconditions) or response.message
        return f"{word(c.Reason, response.reason, 'REASON_')}: {why}"
    posture = word(c.Posture, response.posture.in_force, "POSTURE_")
    if not response.acknowledged_by:
        return f"{posture} at brain; execution has not acknowledged it yet"
    return (
        f"{posture}, acknowledged by {response.acknowledged_by}: "
        f"{response.working_orders} working orders, {response.open_positions} open positions"
    )


def _answer(response: b.SetPostureResponse, output: Output) -> None:
    if output is not Output.TABLE:
        print_document(document(response), output)
    elif response.done:
        say(sentence(response))
    if not response.done:
        raise Refused(sentence(response))


def _answer_execution(response: e.TightenResponse, output: Output) -> None:
    from titan.v1 import common_pb2 as c

    result = response.result
    if output is not Output.TABLE:
        print_document(document(response), output)
    elif result.done:
        posture = word(c.Posture, result.in_force, "POSTURE_")
        say(
            f"{posture} at execution itself: "
            f"{result.working_orders} working orders, {result.open_positions} open positions"
        )
    if not result.done:
        raise Refused(f"{word(c.Reason, result.reason, 'REASON_')}: {result.message}")
