"""``paper deposit`` and ``paper withdraw``: a person's play money at the paper venue."""

from __future__ import annotations

import uuid
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from titan.cli.errors import BadInput, Refused
from titan.cli.local.client import call_stack
from titan.cli.local.state import State
from titan.cli.output import Output, document, print_document, print_text, usdt
from titan.domain.numbers import ZERO, format_decimal

if TYPE_CHECKING:
    from titan.v1 import venue_pb2 as v

_PLACES = -8


def read_amount(text: str) -> Decimal:
    """Read an amount of USDT as people write it.

    Raises
    ------
    BadInput
        For anything but a positive number with at most eight places.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = ZERO
    exponent = amount.normalize().as_tuple().exponent
    if not (amount.is_finite() and amount > ZERO and isinstance(exponent, int) and exponent >= _PLACES):
        raise BadInput(f"AMOUNT: {text!r} is not allowed; allowed is an amount of USDT above 0, like 100 or 12.5")
    return amount


def transfer(state: State, output: Output, amount: Decimal) -> None:
    """Deposit a positive amount of USDT at the paper venue, or withdraw a negative one.

    Raises
    ------
    Refused
        When the venue refuses: a withdrawal above what is free.
    """
    from titan.runtime.rpc.contract import PAPERVENUE_TRANSFER
    from titan.v1 import venue_pb2 as v

    request = v.TransferRequest(transfer_id=str(uuid.uuid4()), amount=format_decimal(amount))
    response = call_stack(state, "papervenue", PAPERVENUE_TRANSFER, request)
    if output is not Output.TABLE:
        print_document(document(response), output)
    elif response.done:
        print_text(transfer_sentence(amount, response))
    if not response.done:
        raise Refused(response.message)


def transfer_sentence(amount: Decimal, response: v.TransferResponse) -> str:
    """Describe a transfer that was made."""
    verb = "deposited" if amount > ZERO else "withdrew"
    total = f"deposits less withdrawals are {usdt(response.deposits, 8)}, cash is {usdt(response.cash, 8)}"
    return f"{verb} {usdt(format_decimal(abs(amount)), 8)}: {total}; equity follows within seconds"
