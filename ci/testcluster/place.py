"""The parts of this machine that one node takes and gives back: network namespace, cgroups, mounts, settings.

Each node has a number, and by that a name, addresses and a folder below ``/run/titan`` which says whose it is. So a
node whose owner was killed is found and removed by the next one, wherever its files are.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from testcluster.processes import ClusterError, start_time

STATES = Path("/run/titan")
CGROUPS = Path("/sys/fs/cgroup")
_SHIM_SOCKETS = Path("/run/containerd/s")
_DEVICES = Path("/var/lib/kubelet/device-plugins")
_CNI_RESULTS = Path("/var/lib/cni/results")
_LOG_LINKS = Path("/var/log/containers")
# Made by kubelet and containerd wherever their files are; taken away again where nothing is in them.
_FOLDERS = (
    *("/var/lib/kubelet/device-plugins", "/var/lib/kubelet", "/var/log/containers", "/run/containerd/s"),
    *("/run/containerd", "/var/lib/cni/results", "/var/lib/cni", "/run/netns"),
)
# Of the whole machine, and set by a kubelet that finds them otherwise.
_SYSCTLS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
_MOST_NODES = 32
_GONE_WITHIN_S = 20.0


@dataclass(frozen=True)
class Place:
    """The place of one node.

    Parameters
    ----------
    number
        Which of this machine's nodes it is, from 0.
    folder
        Where its files are.
    """

    number: int
    folder: Path

    @property
    def name(self) -> str:
        """The name of its network namespace, its cgroup and its link."""
        return f"titan{self.number}"

    @property
    def host_address(self) -> str:
        """The address at which the node reaches this machine."""
        return f"10.213.{self.number}.1"

    @property
    def address(self) -> str:
        """The address at which this machine and the pods reach the node."""
        return f"10.213.{self.number}.2"

    @property
    def state(self) -> Path:
        """The folder of sockets and pods' file systems: a short path, on a file system that ends with the machine."""
        return STATES / self.name

    @property
    def enter(self) -> tuple[str, ...]:
        """Command before a program that runs in the node's network: ``ip netns exec`` would hide the cgroups."""
        return ("nsenter", f"--net=/run/netns/{self.name}")

    @property
    def cgroup_paths(self) -> list[Path]:
        """Its cgroup in each hierarchy that a kubelet uses."""
        if (CGROUPS / "cgroup.controllers").exists():
            return [CGROUPS / self.name]
        return [kind / self.name for kind in sorted(CGROUPS.iterdir()) if kind.is_dir() and not kind.is_symlink()]

    def make(self) -> None:
        """Network namespace with a link to this machine, and cgroups.

        Raises
        ------
        ClusterError
            A command failed; the message is what it said.
        """
        inside, outside = f"{self.name}n", f"{self.name}h"
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", self.name)
        _run("ip", "addr", "add", f"{self.host_address}/30", "dev", outside)
        _run("ip", "link", "set", outside, "up")
        for command in (
            ("ip", "addr", "add", f"{self.address}/30", "dev", inside),
            ("ip", "link", "set", inside, "up"),
            ("ip", "link", "set", "lo", "up"),
            # A kubelet and a proxy want one, and services' addresses are routed before they are translated.
            ("ip", "route", "add", "default", "via", self.host_address),
            ("sh", "-ec", "echo 1 > /proc/sys/net/ipv4/ip_forward"),
            # Else answers between two pods, which are on one bridge, pass the translation of services by.
            ("sh", "-ec", "echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables"),
        ):
            _run(*self.enter, *command)
        for path in self.cgroup_paths:
            path.mkdir(exist_ok=True)
            if path.parent.name == "cpuset":
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (path / file).write_text((path.parent / file).read_text())

    def end(self) -> list[str]:
        """End its processes and unmount; return the ended programs. Its files can be removed then."""
        ended = self._end_processes()
        for target in reversed(self._mounts()):
            _run("umount", "--lazy", target)
        return ended

    def remove(self) -> list[str]:
        """End and remove all of it; return what was still running, by program."""
        ended = self.end()
        # Before its namespace, which takes the link with it at some later moment.
        if Path(f"/sys/class/net/{self.name}h").exists():
            _run("ip", "link", "delete", f"{self.name}h")
        if Path(f"/run/netns/{self.name}").exists():
            _run("ip", "netns", "delete", self.name)
        for path in self.cgroup_paths:
            for child, _, _ in os.walk(path, topdown=False):
                _remove_cgroup(Path(child))
        self._remove_traces()
        with suppress(FileNotFoundError):
            for name, value in json.loads((self.state / "sysctls").read_text()).items():
                Path("/proc/sys", name).write_text(value)
        shutil.rmtree(self.state, ignore_errors=True)
        return ended

    def left(self) -> list[str]:
        """Return its remains on this machine; none after ``remove``."""
        found = [f"process {pid} {program}" for pid, program in self._processes().items()]
        found += [f"mount {target}" for target in self._mounts()]
        paths = [self.state, Path(f"/run/netns/{self.name}"), Path(f"/sys/class/net/{self.name}h"), *self.cgroup_paths]
        return found + [str(path) for path in [*paths, *self._traces()] if path.exists() or path.is_symlink()]

    def _end_processes(self) -> list[str]:
        ended: dict[int, str] = {}
        deadline = time.monotonic() + _GONE_WITHIN_S
        while found := self._processes():
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name}: not ended within {_GONE_WITHIN_S:.0f} s: {found}")
            for pid, program in found.items():
                ended[pid] = program
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        return sorted(ended.values())

    def _processes(self) -> dict[int, str]:
        pids: set[int] = set()
        if Path(f"/run/netns/{self.name}").exists():
            pids |= {int(line) for line in _run("ip", "netns", "pids", self.name).split()}
        for path in self.cgroup_paths:
            for file in path.rglob("cgroup.procs"):
                with suppress(OSError):
                    pids |= {int(line) for line in file.read_text().split()}
        mark = f"{self.state}/".encode()
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                # Shims, which nobody's end ends.
                arguments = file.read_bytes()
                if b"containerd-shim" in arguments.partition(b"\0")[0] and mark in arguments:
                    pids.add(int(file.parent.name))
        return {pid: _program(pid) for pid in sorted(pids) if pid != os.getpid() and start_time(pid)}

    def _mounts(self) -> list[str]:
        roots = (f"{self.state}/", f"{self.folder}/")
        targets = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        # The kernel writes a space as \040.
        return [path for path in (target.replace("\\040", " ") for target in targets) if path.startswith(roots)]

    def _traces(self) -> list[Path]:
        links = [link for link in _LOG_LINKS.glob("*") if str(link.readlink()).startswith(f"{self.folder}/")]
        results = [result for result in _CNI_RESULTS.glob("*") if f'"{self.state}/' in result.read_text()]
        return [*links, *results]

    def _remove_traces(self) -> None:
        for path in self._traces():
            path.unlink()
        for path in [*_SHIM_SOCKETS.glob("*"), *_DEVICES.glob("kubelet.sock")]:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink()
        if not (_DEVICES / "kubelet.sock").exists():
            (_DEVICES / "kubelet_internal_checkpoint").unlink(missing_ok=True)
        for folder in _FOLDERS:
            # Not empty: another node's, or the machine's own.
            with suppress(OSError):
                Path(folder).rmdir()


@contextmanager
def _locked() -> Iterator[None]:
    STATES.mkdir(parents=True, exist_ok=True)
    with (STATES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def claim(folder: Path) -> Place:
    """Take the first free number of this machine for a node whose files are in ``folder``, and make its place.

    Nodes whose owner is gone, and any that has its files in ``folder``, are removed before.

    Raises
    ------
    ClusterError
        All numbers are taken, ``folder`` is a running node's, or the namespace cannot be made.
    """
    with _locked():
        for place, alive in _known():
            if alive and place.folder == folder:
                raise ClusterError(f"{folder}: a node runs there already ({place.name})")
            if not alive:
                place.remove()
        taken = {place.number for place, _ in _known()}
        number = next((number for number in range(_MOST_NODES) if number not in taken), None)
        if number is None:
            raise ClusterError(f"{_MOST_NODES} nodes run on this machine already")
        place = Place(number, folder)
        place.state.mkdir()
        (place.state / "folder").write_text(str(folder))
        (place.state / "sysctls").write_text(
            json.dumps({name: Path("/proc/sys", name).read_text() for name in _SYSCTLS})
        )
        (place.state / "owner").write_text(f"{os.getpid()} {start_time(os.getpid())}")
        try:
            place.make()
        except BaseException:
            place.remove()
            raise
        return place


def of_folder(folder: Path) -> Place:
    """Return the place of the node that runs with its files in ``folder``.

    Raises
    ------
    ClusterError
        None does.
    """
    for place, alive in _known():
        if alive and place.folder == folder:
            return place
    raise ClusterError(f"{folder}: no node runs there")


def remove_dead() -> list[Place]:
    """Remove every node of this machine whose owner is gone."""
    with _locked():
        dead = [place for place, alive in _known() if not alive]
        for place in dead:
            place.remove()
    return dead


def _known() -> list[tuple[Place, bool]]:
    found = []
    for state in sorted(STATES.glob("titan*")):
        folder, owner = (state / name for name in ("folder", "owner"))
        pid, _, started = owner.read_text().partition(" ") if owner.exists() else ("", "", "")
        alive = bool(pid and started) and start_time(int(pid)) == started
        where = Path(folder.read_text()) if folder.exists() else state
        found.append((Place(int(state.name.removeprefix("titan")), where), alive))
    return found


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _remove_cgroup(path: Path) -> None:
    deadline = time.monotonic() + _GONE_WITHIN_S
    while True:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            # The kernel still counts a process that has just ended.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout
