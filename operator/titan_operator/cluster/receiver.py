"""kopf as a receiver of events, nothing else: no handler of ours patches, posts or keeps state through it.

It runs in a thread with an event loop of its own. When kopf ends it cancels every later task of its loop, also tasks of
others, and in the main thread it handles the process's signals. Both belong to the controller.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

# kopf imports the official clients, where they are installed, for their types alone: 15 MB of the operator's memory. So
# they are hidden while kopf is imported, and only then.
_hidden = [name for name in ("kubernetes", "kubernetes_asyncio", "pykube") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_hidden))  # type: ignore[arg-type]
import kopf  # noqa: E402

for _name in _hidden:
    del sys.modules[_name]

from titan_operator.api.names import OPERATOR  # noqa: E402
from titan_operator.cluster.client import Object  # noqa: E402
from titan_operator.cluster.credentials import Connection, kopf_fields  # noqa: E402
from titan_operator.cluster.resource_kinds import Kind  # noqa: E402

# Kind; ADDED, MODIFIED or DELETED, empty for objects that existed when the watch began; the object. Called in the
# controller's loop.
Deliver = Callable[[Kind, str, Object], None]
# Returns the coroutine of a run, given the flag that stops it and the flag that it sets once started.
Start = Callable[[threading.Event, threading.Event], Coroutine[Any, Any, None]]

# Seconds after which the server ends a watch.
_STREAM_S = 300


def kopf_receiver(
    connection: Connection,
    watched: Mapping[Kind, str],
    namespaces: Sequence[str],
    deliver: Deliver,
    *,
    silence_s: float,
) -> Start:
    """Return a function that runs kopf for these kinds.

    Parameters
    ----------
    connection
        Server and identity; its token is read again whenever the server refuses the last one.
    watched
        Kinds, each with a label selector (empty: all objects).
    namespaces
        Namespaces to watch; kinds of the whole cluster are watched besides.
    deliver
        Called in the event loop that calls this function.
    silence_s
        A watch without any event or bookmark for so long reconnects, in seconds: it may be half-open. The server sends
        a bookmark each minute.
    """
    registry = kopf.OperatorRegistry()
    loop = asyncio.get_running_loop()

    def observe(kind: Kind) -> None:
        group, _, version = kind.group_version.rpartition("/")

        async def handler(event: Mapping[str, Any], **_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(deliver, kind, event["type"] or "", event["object"])

        kopf.on.event(group=group, version=version, plural=kind.plural, id=kind.name, registry=registry)(handler)

    for kind in watched:
        observe(kind)

    async def login(**_: object) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(**kopf_fields(connection))

    kopf.on.login(registry=registry, id="connection", errors=kopf.ErrorsMode.PERMANENT)(login)

    def settings() -> kopf.OperatorSettings:
        chosen = kopf.OperatorSettings()
        # The kinds are known, and watching CRDs and namespaces would take rights over the whole cluster.
        chosen.scanning.disabled = True
        chosen.posting.enabled = False
        chosen.peering.standalone = True
        # kopf would kill the whole process from inside a thread.
        chosen.process.ultimate_exiting_timeout = None
        chosen.networking.request_timeout = 30
        chosen.networking.connect_timeout = 5
        chosen.watching.server_timeout = _STREAM_S
        chosen.watching.inactivity_timeout = silence_s
        for kind, labels in watched.items():
            if labels:
                group, _, version = kind.group_version.rpartition("/")
                chosen.watching.label_selectors[group, version, kind.plural] = labels
        return chosen

    def start(stop: threading.Event, ready: threading.Event) -> Coroutine[Any, Any, None]:
        return kopf.operator(
            registry=registry,
            settings=settings(),
            # Used for peering only, which is off. Without it kopf reads the user's name, and an image's user has none.
            identity=cast(Any, OPERATOR),
            namespaces=list(namespaces),
            stop_flag=stop,
            ready_flag=ready,
        )

    return start
