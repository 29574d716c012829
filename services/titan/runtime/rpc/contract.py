"""Every method of the contract as a typed constant; ``tests/unit/runtime/rpc/test_contract.py`` compares the protos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from titan.v1 import brain_pb2 as b
from titan.v1 import execution_pb2 as e
from titan.v1 import market_pb2 as m
from titan.v1 import venue_pb2 as v

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)


@dataclass(frozen=True)
class Method(Generic[Req, Resp]):
    """One method: ``service`` is the role that serves it, as the contract spells it."""

    service: str
    name: str
    request: type[Req]
    response: type[Resp]
    streaming: bool = False

    @property
    def path(self) -> str:
        """The HTTP/2 path of the method."""
        return f"/titan.v1.{self.service}/{self.name}"

    @property
    def label(self) -> str:
        """``Service.Method``, as in messages and the topology."""
        return f"{self.service}.{self.name}"


MARKETDATA_SUBSCRIBE = Method("MarketData", "Subscribe", m.SubscribeRequest, m.SubscribeResponse, streaming=True)
MARKETDATA_GET_MARKET = Method("MarketData", "GetMarket", m.GetMarketRequest, m.GetMarketResponse)

BRAIN_SUBMIT = Method("Brain", "Submit", b.SubmitRequest, b.SubmitResponse, streaming=True)
BRAIN_SET_POSTURE = Method("Brain", "SetPosture", b.SetPostureRequest, b.SetPostureResponse)
BRAIN_SET_CEILING = Method("Brain", "SetCeiling", b.SetCeilingRequest, b.SetCeilingResponse)
BRAIN_GET_BRAIN = Method("Brain", "GetBrain", b.GetBrainRequest, b.GetBrainResponse)
BRAIN_LIST_DECISIONS = Method("Brain", "ListDecisions", b.ListDecisionsRequest, b.ListDecisionsResponse)
BRAIN_EXPLAIN_DECISION = Method("Brain", "ExplainDecision", b.ExplainDecisionRequest, b.ExplainDecisionResponse)

EXECUTION_PLACE = Method("Execution", "Place", e.PlaceRequest, e.PlaceResponse, streaming=True)
EXECUTION_TIGHTEN = Method("Execution", "Tighten", e.TightenRequest, e.TightenResponse)
EXECUTION_REBASE_PEAK = Method("Execution", "RebasePeak", e.RebasePeakRequest, e.RebasePeakResponse)
EXECUTION_GET_EXECUTION = Method("Execution", "GetExecution", e.GetExecutionRequest, e.GetExecutionResponse)
EXECUTION_LIST_ORDERS = Method("Execution", "ListOrders", e.ListOrdersRequest, e.ListOrdersResponse)
EXECUTION_LIST_FILLS = Method("Execution", "ListFills", e.ListFillsRequest, e.ListFillsResponse)
EXECUTION_LIST_POSITIONS = Method("Execution", "ListPositions", e.ListPositionsRequest, e.ListPositionsResponse)
EXECUTION_GET_EQUITY = Method("Execution", "GetEquity", e.GetEquityRequest, e.GetEquityResponse)

PAPERVENUE_TRADE = Method("PaperVenue", "Trade", v.TradeRequest, v.TradeResponse, streaming=True)
PAPERVENUE_GET_VENUE_ORDER = Method("PaperVenue", "GetVenueOrder", v.GetVenueOrderRequest, v.GetVenueOrderResponse)
PAPERVENUE_LIST_OPEN_ORDERS = Method("PaperVenue", "ListOpenOrders", v.ListOpenOrdersRequest, v.ListOpenOrdersResponse)
PAPERVENUE_LIST_VENUE_TRADES = Method(
    "PaperVenue", "ListVenueTrades", v.ListVenueTradesRequest, v.ListVenueTradesResponse
)
PAPERVENUE_GET_ACCOUNT = Method("PaperVenue", "GetAccount", v.GetAccountRequest, v.GetAccountResponse)
PAPERVENUE_TRANSFER = Method("PaperVenue", "Transfer", v.TransferRequest, v.TransferResponse)

METHODS: tuple[Method[Any, Any], ...] = tuple(value for value in list(globals().values()) if isinstance(value, Method))
