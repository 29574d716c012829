"""A long-lived client stream that reconnects for ever: the edges of the order path and the market feed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic

from titan.runtime.pki.identity import RELOAD_PERIOD_S
from titan.runtime.rpc.client import ClientStream, RpcChannel
from titan.runtime.rpc.contract import Method, Req, Resp
from titan.runtime.rpc.errors import RpcError
from titan.runtime.telemetry.logs import Log

_FIRST_BACKOFF_S = 0.02
_LONGEST_BACKOFF_S = 0.5
# Time in which a peer may send its remaining messages.
_FINISH_S = 1.0


def end_process_if_broken(task: asyncio.Task[None]) -> None:
    """Call the loop's exception handler when a task of ours ended by a defect: the process ends (runtime.process)."""
    if not task.cancelled() and (error := task.exception()) is not None:
        message = f"{task.get_name()} broke ({type(error).__name__}): {error}"
        task.get_loop().call_exception_handler({"message": message, "exception": error, "ends_process": True})


class Link(Generic[Req, Resp]):
    """Keeps one stream open.

    A replaced certificate is presented at once: the new connection is made first, then the stream is ended in good
    order (messages of both sides arrive) and opened on the new one.

    ``on_connect`` returns the first messages of each new stream; ``on_message`` is called in order, on the event loop,
    without a hand-off; ``on_lost`` is called with the reason for which a stream ended. Nothing is queued while the peer
    is away: ``on_connect`` sends the state that the peer needs again.
    """

    def __init__(
        self,
        channel: RpcChannel,
        method: Method[Req, Resp],
        on_connect: Callable[[], Iterable[Req]],
        on_message: Callable[[Resp], None],
        on_lost: Callable[[str], None],
        log: Log,
    ) -> None:
        self._channel = channel
        self._method = method
        self._on_connect = on_connect
        self._on_message = on_message
        self._on_lost = on_lost
        self._log = log.bind(peer=channel.role, method=method.label)
        self._stream: ClientStream[Req, Resp] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._renewing = False
        # Set when the peer refuses the stream: the pause before the next one.
        self._refused_s = 0.0
        # Which of the channel's connections the stream is on.
        self._generation = 0
        self.failure: BaseException | None = None

    @property
    def connected(self) -> bool:
        """Whether the stream is up."""
        return self._stream is not None and not self._renewing

    def start(self) -> None:
        """Connect, and reconnect until :meth:`stop`."""
        loop, label = asyncio.get_running_loop(), self._method.label
        self._tasks = [
            loop.create_task(self._run(), name=f"link {label}"),
            loop.create_task(self._follow_certificate(), name=f"certificate of link {label}"),
        ]
        for task in self._tasks:
            task.add_done_callback(end_process_if_broken)

    async def stop(self) -> None:
        """End the stream and the attempts; posted messages are sent first."""
        if self._stream is not None:
            try:
                async with asyncio.timeout(1.0):
                    await self._stream.flush()
            except TimeoutError:
                self._log.warning("messages were not sent before the stop", pending=self._stream.pending)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._channel.close()

    def post(self, message: Req) -> bool:
        """Send ``message`` if connected; return whether it was sent."""
        if self._stream is None or self._renewing:
            return False
        self._stream.post(message)
        return True

    def refused(self, retry_s: float) -> None:
        """Connect again after ``retry_s``: the peer said in a message that it refuses this stream, and ends it.

        The attempts that follow are not logged until one is accepted: the receiver of the message reports the cause.
        """
        self._refused_s = retry_s

    async def _follow_certificate(self) -> None:
        reported = ""
        while True:
            await asyncio.sleep(RELOAD_PERIOD_S)
            problem = ""
            try:
                if self._stream is not None and self._channel.outdated:
                    await self._channel.renew()
            except RpcError as error:
                # The present stream stays: a new connection cannot be made now.
                problem = str(error)
            problem = problem or self._channel.identity_problem
            if problem and problem != reported:
                self._log.warning("certificate not in use yet", reason=problem)
            reported = problem
            stream = self._stream
            if stream is not None and self._generation != self._channel.generation:
                self._renewing = True
                await stream.finish(_FINISH_S)

    async def _run(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        reported = ""
        quiet = False
        while True:
            stream = self._channel.open(self._method)
            self._generation = self._channel.generation
            connected = accepted = False
            self._refused_s = 0.0
            reason = "the peer ended the stream"
            try:
                await stream.wait_connected()
                for message in self._on_connect():
                    stream.post(message)
                self._stream, connected = stream, True
                if not quiet:
                    self._log.info("connected")
                async for response in stream:
                    self._on_message(response)
                    if not accepted and not self._refused_s:
                        # Only now: a peer that refuses each stream would be asked without a pause.
                        accepted, backoff_s, reported = True, _FIRST_BACKOFF_S, ""
                        if quiet:
                            quiet = False
                            self._log.info("connected")
            except RpcError as error:
                reason = str(error)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                # A defect in our own handler: never swallowed, or the process would go on without this peer.
                self.failure = error
                self._log.exception("handler failed")
                raise
            finally:
                renewed, self._renewing = self._renewing, False
                self._stream = None
                stream.close()
            if renewed:
                self._log.info("certificate replaced: reconnecting")
                self._on_lost("certificate replaced")
                continue
            if self._refused_s:
                quiet = True
                self._on_lost("refused by the peer")
                await asyncio.sleep(self._refused_s)
                continue
            if connected:
                if accepted or reason != reported:
                    reported = reason
                    self._log.warning("connection lost", reason=reason)
                self._on_lost(reason)
            elif reason != reported:
                reported = reason
                self._log.info("not reached yet", reason=reason)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
