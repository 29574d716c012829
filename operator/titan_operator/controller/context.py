"""Objects that every part of the controller works with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from titan.runtime.telemetry.logs import Log
from titan_operator.admission.image_checks import ImageChecker
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.events import Events
from titan_operator.cluster.lease import OperatorLease
from titan_operator.cluster.watches import WatchTracker
from titan_operator.metrics import OperatorMetrics
from titan_operator.settings import OperatorSettings
from titan_operator.stack.client import StackClient


@dataclass(frozen=True)
class Context:
    """Objects that all stacks of one operator share."""

    cluster: Cluster
    image_checker: ImageChecker
    events: Events
    lease: OperatorLease
    watches: WatchTracker
    metrics: OperatorMetrics
    http: aiohttp.ClientSession
    settings: OperatorSettings
    version: str
    log: Log
    clock: Callable[[], float] = time.monotonic
    connect: Connect = StackClient


# Takes a namespace, the folder of the operator's own certificate in it, and a log; returns a connection to the stack.
Connect = Callable[[str, Path, Log], StackClient]
