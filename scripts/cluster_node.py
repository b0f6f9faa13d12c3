"""Start and stop the Ray of one cluster, and no other Ray of its machines, as `ray stop` would.

On each machine, as cluster.yaml does:

    python scripts/cluster_node.py start ray start --head    ends an earlier node of this cluster first
    python scripts/cluster_node.py stop

On your own machine, in place of `ray down`, which does not reach the workers:

    python scripts/cluster_node.py stop-all cluster.yaml

Every process of the node inherits a random text in its environment, by which it is found again: a number of a
process or a session may belong to another program by then.
"""

import argparse
import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

MARK = "SOCIAL_JEPA_CLUSTER_NODE"  # environment variable of every process of the node
MARK_FILE = Path(__file__).resolve().parents[1] / ".cluster-node"  # its value while the node is up
TRIES = 3  # of starting Ray
STOP_TIMEOUT = 10.0  # seconds between SIGTERM and SIGKILL
KILL_TIMEOUT = 60.0  # seconds after SIGKILL; the kernel of a crowded machine takes its time
# as Ray's launcher, which has installed everything on these machines over SSH
SSH_OPTIONS = ("-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR")
SSH_OPTIONS += ("-oBatchMode=yes", "-oConnectTimeout=10")
STOP_COMMAND = "cd ~/social-jepa && .venv/bin/python scripts/cluster_node.py stop"


def start(command: Sequence[str], mark_file: Path = MARK_FILE) -> int:
    """End an earlier node, run a command that starts Ray in the background, and return its exit status.

    A command that fails is tried again: Ray's launcher never does, and a slow machine would not join.
    """
    for _ in range(TRIES):
        stop(mark_file)
        mark = secrets.token_hex(16)
        mark_file.write_text(mark, encoding="utf-8")
        # a session of its own: workers write their title over their environment, their session finds them
        status = subprocess.run(
            command, env={**os.environ, MARK: mark}, stdin=subprocess.DEVNULL, start_new_session=True
        ).returncode
        if status == 0:
            return 0
    stop(mark_file)
    return status


def stop(mark_file: Path = MARK_FILE) -> int:
    """End every process of the node; return how many there were. A second call ends none."""
    try:
        mark = mark_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0
    found = _end(mark, psutil.Process.terminate, STOP_TIMEOUT)
    found |= _end(mark, psutil.Process.kill, KILL_TIMEOUT)
    if left := processes_of(mark):
        raise SystemExit(f"process {left[0].pid} of the cluster does not end: {left[0].name()}")
    mark_file.unlink()
    return len(found)


def _end(mark: str, signal: Callable[[psutil.Process], None], seconds: float) -> set[int]:
    """Send a signal to the processes of a node until none is left or time is up; return their numbers."""
    signaled: set[int] = set()
    deadline = time.monotonic() + seconds
    while (left := processes_of(mark)) and time.monotonic() < deadline:
        for process in left:
            if process.pid not in signaled:
                with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                    signal(process)
                signaled.add(process.pid)
        time.sleep(0.05)
    return signaled


def processes_of(mark: str) -> list[psutil.Process]:
    """Return the processes that carry a mark, and those in the sessions of these."""
    alive = [each for each in psutil.process_iter(["status"]) if each.info["status"] != psutil.STATUS_ZOMBIE]
    marked = [each for each in alive if _read(lambda p: p.environ().get(MARK), each) == mark]
    sessions = {_read(_session, each) for each in marked} - {None, os.getsid(0)}
    return [each for each in alive if each in marked or _read(_session, each) in sessions]


def _session(process: psutil.Process) -> int:
    return os.getsid(process.pid)


def _read(get: Callable[[psutil.Process], Any], process: psutil.Process) -> Any:
    try:
        return get(process)
    except (psutil.Error, OSError):  # it has ended, or belongs to another user
        return None


def stop_all(cluster_file: Path) -> int:
    """Stop the nodes of a cluster over SSH, the head first, which would start workers again.

    Returns:
        1 if a machine could not be reached or did not stop, else 0.
    """
    import yaml

    cluster = yaml.safe_load(cluster_file.read_text(encoding="utf-8"))
    status = 0
    for host in (cluster["provider"]["head_ip"], *cluster["provider"]["worker_ips"]):
        done = subprocess.run(ssh_command(cluster["auth"], host), capture_output=True, encoding="utf-8")
        print(f"{host}: {(done.stdout or done.stderr).strip()}")
        status |= done.returncode != 0
    return status


def ssh_command(auth: dict[str, str], host: str) -> list[str]:
    """Return the command that stops the node of a machine, with the user and the key of cluster.yaml."""
    key = ["-i", str(Path(auth["ssh_private_key"]).expanduser())] if "ssh_private_key" in auth else []
    return ["ssh", *SSH_OPTIONS, *key, f"{auth['ssh_user']}@{host}", STOP_COMMAND]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description="Start and stop the Ray of one cluster, and no other one.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("start", help="end an earlier node, then run COMMAND").add_argument(
        "command", nargs=argparse.REMAINDER, metavar="COMMAND"
    )
    verbs.add_parser("stop", help="end the node of this machine")
    verbs.add_parser("stop-all", help="end the nodes of all machines").add_argument("cluster", type=Path)
    options = parser.parse_args(arguments)
    if options.verb == "start":
        return start(options.command)
    if options.verb == "stop-all":
        return stop_all(options.cluster)
    count = stop()
    print(f"{count} processes of the cluster ended" if count else "no node of the cluster was up")
    return 0


if __name__ == "__main__":
    sys.exit(main())
