"""Several hosts on one machine: each has its own network, processes, /tmp, home folder and SSH server.

This needs root. The home folder has the same path on every host and another content, as on machines that
share no disk. There is no way out of these networks, so that the hosts install from a folder of wheels.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import BenchmarkError, log

ROOT = Path(__file__).resolve().parents[1]
TOOLS = {"ip": "iproute2", "sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync"}
WHEELS = "SOCIAL_JEPA_WHEELS"  # environment variable: a folder that `pip download` filled; else it is filled
BRIDGE, NETWORK = "sj-bridge", "10.77.0"
SSH_OPTIONS = (
    "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=10"
)  # fmt: skip
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Runs in a host's namespaces; the arguments are its folder, the common home, sshd and the key.
BOOT = """
set -e
mount --make-rprivate /
mount --bind "$1/home" "$2"; mount --bind "$1/tmp" /tmp; mount --bind "$1/passwd" /etc/passwd
exec "$3" -D -o PidFile=none -o UsePAM=no -o PermitRootLogin=yes -o StrictModes=no -o HostKey="$4" \
  -o AuthorizedKeysFile="$4.pub" -f /dev/null
"""


class Hosts:
    """Some hosts, numbered from 1, in a folder that is removed with them.

    Attributes:
        folder: Everything that they write, below one path.
        home: Their home folder's path.
        key: Private SSH key of every host.
    """

    def __init__(self, folder: Path, count: int) -> None:
        """Remember the folder; `start` makes the hosts."""
        self.folder, self.count = folder, count
        self.home, self.key = folder / "home", folder / "key"
        self._servers: list[subprocess.Popen[bytes]] = []

    def address(self, number: int) -> str:
        """Return the address of a host."""
        return f"{NETWORK}.{number}"

    def start(self) -> None:
        """Make the hosts and start their SSH servers.

        Raises:
            BenchmarkError: This needs root and some Debian packages.
        """
        check_tools()
        self.home.mkdir(parents=True)
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        Path("/run/sshd").mkdir(exist_ok=True)
        _ip(
            f"link add {BRIDGE} type bridge",
            f"link set {BRIDGE} up",
            f"addr add {NETWORK}.254/24 dev {BRIDGE}",
        )
        for number in range(1, self.count + 1):
            self._start_host(number)
        for number in range(1, self.count + 1):
            self._wait_for_ssh(number)

    def _start_host(self, number: int) -> None:
        name, own = f"sj-host{number}", self.folder / str(number)
        for part in ("home", "tmp"):
            (own / part).mkdir(parents=True)
        (own / "tmp").chmod(0o1777)
        (own / "home" / ".bashrc").write_text(self._bashrc(), encoding="utf-8")
        (own / "home" / ".ray").mkdir()
        users = Path("/etc/passwd").read_text(encoding="utf-8")
        moved = re.sub(r"^(root:.*:)[^:]*(:[^:]*)$", rf"\g<1>{self.home}\g<2>", users, flags=re.MULTILINE)
        (own / "passwd").write_text(moved, encoding="utf-8")
        _ip(
            f"netns add {name}", f"link add sj-v{number} type veth peer name eth0 netns {name}",
            f"link set sj-v{number} master {BRIDGE} up",
            f"-n {name} addr add {self.address(number)}/24 dev eth0",
            f"-n {name} link set eth0 up", f"-n {name} link set lo up",
            f"-n {name} route add default via {NETWORK}.254",
        )  # fmt: skip
        command = ["ip", "netns", "exec", name, "unshare", "-m", "-p", "-f", "--mount-proc"]
        command += ["bash", "-c", BOOT, "-"]
        sshd = shutil.which("sshd", path=SYSTEM_PATH) or "sshd"
        with (own / "sshd.log").open("wb") as file:
            self._servers.append(
                subprocess.Popen(
                    [*command, str(own), str(self.home), sshd, str(self.key)],
                    stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
                )
            )  # fmt: skip

    def _bashrc(self) -> str:
        wheels = os.environ.get(WHEELS, self.folder / "wheels")
        python = Path(sys.base_prefix) / "bin"
        return (
            f"export PATH={python}:{SYSTEM_PATH} PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_NO_COMPILE=1 "
            f"PIP_FIND_LINKS={wheels}\n"
        )

    def _wait_for_ssh(self, number: int) -> None:
        deadline = time.monotonic() + 60
        while self.shell(number, "true", check=False).returncode:
            if time.monotonic() > deadline:
                text = (self.folder / str(number) / "sshd.log").read_text(encoding="utf-8")
                raise BenchmarkError(f"host {number} has no SSH server: {text}")
            time.sleep(0.2)

    def shell(
        self, number: int, command: str, check: bool = True, timeout: float = 1200.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a host's shell, as `ray exec` would.

        Raises:
            BenchmarkError: It failed, and `check` is true.
        """
        options = [f"-o{each}" for each in SSH_OPTIONS]
        ssh = ["ssh", "-i", str(self.key), *options, f"root@{self.address(number)}"]
        script = f"source ~/.bashrc; cd ~; {command}"
        done = subprocess.run([*ssh, script], capture_output=True, encoding="utf-8", timeout=timeout)
        if check and done.returncode:
            raise BenchmarkError(
                f"{command} on host {number}: {(done.stderr or done.stdout).strip()[-2000:]}"
            )
        return done

    @contextlib.contextmanager
    def cut(self, number: int) -> Iterator[None]:
        """Cut a host's link; it is restored on exit."""
        _ip(f"link set sj-v{number} down")
        try:
            yield
        finally:
            _ip(f"link set sj-v{number} up")

    def kill(self, number: int) -> None:
        """End every process of a host at once."""
        for pid in _run("ip", "netns", "pids", f"sj-host{number}", check=False).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def stop(self) -> None:
        """End the hosts and remove everything that they wrote."""
        for number in range(1, self.count + 1):
            self.kill(number)
            _run("ip", "netns", "del", f"sj-host{number}", check=False)
        for server in self._servers:
            server.wait()
        _run("ip", "link", "del", BRIDGE, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def hosts_up(folder: Path, count: int) -> Iterator[Hosts]:
    """Make some hosts in a new folder; they are ended, and the folder is removed, on exit."""
    if folder.exists():
        raise BenchmarkError(f"{folder} exists already: remove it")
    hosts = Hosts(folder, count)
    try:
        hosts.start()
        if not os.environ.get(WHEELS):
            download_wheels(folder / "wheels")
        yield hosts
    finally:
        hosts.stop()


def check_tools() -> None:
    """Raise BenchmarkError unless this process is root's and the tools are installed."""
    if os.geteuid() != 0:
        raise BenchmarkError("network namespaces need root: run it with sudo, or in a container of its own")
    missing = [TOOLS[name] for name in TOOLS if not shutil.which(name, path=f"{SYSTEM_PATH}:{os.defpath}")]
    if missing:
        raise BenchmarkError(f"missing packages: apt-get install {' '.join(missing)}")


def download_wheels(folder: Path) -> None:
    """Fill a folder with the wheels that cluster.yaml installs; torch comes from pip's configured index."""
    log(f"  downloading wheels; {WHEELS}=FOLDER uses a folder that is filled already")
    _run(
        sys.executable, "-m", "pip", "download", "--quiet", "-c", str(ROOT / "constraints.txt"),
        "-d", str(folder), f"{ROOT}[cluster]", "setuptools>=77", "wheel",
    )  # fmt: skip


def cluster_file(hosts: Hosts) -> Path:
    """Return a copy of cluster.yaml with its placeholders filled in, as its user does by hand."""
    text = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
    workers = ", ".join(hosts.address(number) for number in range(2, hosts.count + 1))
    for pattern, value in (
        (r"head_ip: .*", f"head_ip: {hosts.address(1)}"), (r"worker_ips: .*", f"worker_ips: [{workers}]"),
        (r"ssh_user: .*", "ssh_user: root"), (r"# ssh_private_key: .*", f"ssh_private_key: {hosts.key}"),
    ):  # fmt: skip
        text, count = re.subn(pattern, value, text)
        if count != 1:
            raise BenchmarkError(f"cluster.yaml has {count} lines like {pattern}")
    path = hosts.folder / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _ip(*commands: str) -> None:
    for command in commands:
        _run("ip", *command.split())


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if check and done.returncode:
        raise BenchmarkError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def launcher(hosts: Hosts, *command: str, check: bool = True) -> str:
    """Run a command of Ray's launcher on this machine, as its user does; return its output.

    Raises:
        BenchmarkError: It failed, and `check` is true.
    """
    home = hosts.folder / "launcher"
    home.mkdir(exist_ok=True)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    environment = {
        **os.environ, "HOME": str(home), "TMPDIR": str(home), "RAY_TMPDIR": str(home), "PATH": path,
        "RAY_AUTH_MODE": "token",
    }  # fmt: skip
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, cwd=ROOT)
    if check and done.returncode:
        raise BenchmarkError(f"{' '.join(command)}: {(done.stdout + done.stderr).strip()[-2000:]}")
    return done.stdout
