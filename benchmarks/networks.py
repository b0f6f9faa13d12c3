"""Several networks on one machine, joined by a bridge: namespaces whose links can be cut and made bad.

This needs root. Processes in a network have the machine's disk and CPUs, and no way out of these networks.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.harness import BenchmarkError

NETEM = "netem delay {delay:g}ms loss {loss:g}%"  # the kernel's emulation of a bad network


class Networks:
    """Some networks, numbered from 1, with one address each."""

    def __init__(self, count: int) -> None:
        """Choose names; `start` makes the networks."""
        self.count, self._number = count, os.getpid() % 10_000
        self._bridge = f"sjb{self._number}"

    def name(self, number: int) -> str:
        """Return the name of a network's namespace."""
        return f"sjn{self._number}-{number}"

    def address(self, number: int) -> str:
        """Return the address of the only machine in a network."""
        return f"10.78.{self._number % 250}.{number}"

    def _link(self, number: int) -> str:
        return f"sjl{self._number}-{number}"

    def start(self) -> None:
        """Make the networks.

        Raises:
            BenchmarkError: This needs root and iproute2, or the kernel has no network namespaces.
        """
        if os.geteuid() != 0:
            raise BenchmarkError("network namespaces need root: run it with sudo, or in a container")
        if not shutil.which("ip"):
            raise BenchmarkError("network namespaces need `ip`: apt-get install iproute2")
        run("ip", f"link add {self._bridge} type bridge")
        run("ip", f"link set {self._bridge} up")
        for number in range(1, self.count + 1):
            name, link = self.name(number), self._link(number)
            run("ip", f"netns add {name}")
            run("ip", f"link add {link} type veth peer name eth0 netns {name}")
            run("ip", f"link set {link} master {self._bridge} up")
            run("ip", f"-n {name} addr add {self.address(number)}/24 dev eth0")
            run("ip", f"-n {name} link set eth0 up")
            run("ip", f"-n {name} link set lo up")

    def stop(self) -> None:
        """Remove the networks; what still runs there is the caller's to end."""
        for number in range(1, self.count + 1):
            run("ip", f"link del {self._link(number)}", check=False)
            run("ip", f"netns del {self.name(number)}", check=False)
        run("ip", f"link del {self._bridge}", check=False)

    def make_bad(self, delay: float, loss: float) -> bool:
        """Delay what each network sends, in ms, lose a share, in percent; return whether the kernel can."""
        text = NETEM.format(delay=delay, loss=loss)
        return all(
            run("ip", f"netns exec {self.name(number)} tc qdisc add dev eth0 root {text}", check=False)
            for number in range(1, self.count + 1)
        )

    @contextlib.contextmanager
    def cut(self, number: int) -> Iterator[None]:
        """Cut the link of a network; it is restored on exit."""
        run("ip", f"link set {self._link(number)} down")
        try:
            yield
        finally:
            run("ip", f"link set {self._link(number)} up")

    def spawn(self, number: int, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Return a process that runs in a network, in a session of its own."""
        words = ["ip", "netns", "exec", self.name(number), *command]
        return subprocess.Popen(words, start_new_session=True, **options)


@contextlib.contextmanager
def networks_up(count: int) -> Iterator[Networks]:
    """Make some networks; they are removed on exit."""
    networks = Networks(count)
    try:
        networks.start()
        yield networks
    finally:
        networks.stop()


def run(program: str, words: str, check: bool = True) -> bool:
    """Run a command and return whether it succeeded.

    Raises:
        BenchmarkError: It did not, and `check` is true.
    """
    done = subprocess.run([program, *words.split()], capture_output=True, encoding="utf-8")
    if check and done.returncode:
        raise BenchmarkError(f"{program} {words}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.returncode == 0
