"""What every transport promises: the same laws for memory, Ray, TCP, TLS, and a wrapper without faults."""

import shutil
import ssl
import subprocess
import threading
import time

import pytest

from agents.protocol.channel import UnreachablePeerError
from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.faults import Faults, FaultyTransport
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.transports.ray_actors import RayTransport
from agents.protocol.transports.tcp import TcpOptions, TcpTransport
from agents.protocol.trust import TrustStore
from agents.protocol.wire import MAX_ENVELOPE_BYTES
from tests.support.keys import local_peer

SECONDS = 60.0


class MemoryNetwork:
    """Two agents in one process."""

    ordered = True

    def __init__(self, folder):
        self.shared, self.inboxes = MemoryTransport(), {"a": [], "b": []}
        self.transports = dict.fromkeys(self.inboxes, self.shared)
        for name, inbox in self.inboxes.items():
            self.shared.listen(name, inbox.append)

    def arrived(self, name, count):
        """Return all arrived envelopes, at least so many."""
        self.shared.run()
        return list(self.inboxes[name])

    def close(self):
        """Nothing is to be closed."""


class WrappedNetwork(MemoryNetwork):
    """The same, through wrappers without faults."""

    def __init__(self, folder):
        super().__init__(folder)
        self.transports = {name: FaultyTransport(self.shared, name, Faults(), 0) for name in self.inboxes}


class Recorder:
    """An actor that keeps what is delivered to it."""

    def __init__(self):
        self.inbox = []

    async def deliver(self, name, data):
        self.inbox.append(data)

    async def read(self):
        return self.inbox


class RayNetwork:
    """Two actors; what they receive is read from them. Ray may start calls of an async actor in any order."""

    ordered = False

    def __init__(self, folder):
        import ray

        self.ray = ray
        self.actors = {name: ray.remote(num_cpus=0)(Recorder).remote() for name in ("a", "b")}
        self.transports = dict.fromkeys(self.actors, RayTransport(self.actors))

    def arrived(self, name, count):
        return wait_for(lambda: self.ray.get(self.actors[name].read.remote()), count)

    def close(self):
        for actor in self.actors.values():
            self.ray.kill(actor)


class TcpNetwork:
    """Two agents on the loopback interface; b dials a."""

    host, server_tls, client_tls, ordered = "127.0.0.1", None, None, True

    def __init__(self, folder):
        self.inboxes, self.transports = {"a": [], "b": []}, {}
        self.open("a", folder, TcpOptions(listen=(PeerAddress(self.host, 0),), server_tls=self.server_tls))
        address = self.transports["a"].addresses[0]
        self.open("b", folder, TcpOptions(connect=(address,), client_tls=self.client_tls))
        wait_for(lambda: self.transports["a"].connected() + self.transports["b"].connected(), 2)

    def open(self, name, folder, options):
        trust = TrustStore(folder / f"{name}.toml", first_use=True)
        self.transports[name] = TcpTransport(local_peer(name), trust, options)
        self.transports[name].start(self.inboxes[name].append)

    def arrived(self, name, count):
        return wait_for(lambda: self.inboxes[name], count)

    def close(self):
        for transport in self.transports.values():
            transport.close()


class Tcp6Network(TcpNetwork):
    """The same over IPv6."""

    host = "::1"


class TlsNetwork(TcpNetwork):
    """The same inside TLS, with a certificate made for this test."""

    def __init__(self, folder):
        key, certificate = folder / "tls.key", folder / "tls.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        self.server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_tls.load_cert_chain(certificate, key)
        self.client_tls = ssl.create_default_context(cafile=certificate)
        super().__init__(folder)


def wait_for(read, count):
    """Return the list that `read` returns once it is so long."""
    until = time.monotonic() + SECONDS
    while len(found := list(read())) < count and time.monotonic() < until:
        time.sleep(0.005)
    return found


NETWORKS = [
    MemoryNetwork, WrappedNetwork, pytest.param(RayNetwork, marks=pytest.mark.ray), TcpNetwork, Tcp6Network,
    pytest.param(TlsNetwork, marks=pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")),
]  # fmt: skip


@pytest.fixture(params=NETWORKS, scope="module")
def network(request, tmp_path_factory):
    if request.param is RayNetwork:
        request.getfixturevalue("ray_local")
    opened = request.param(tmp_path_factory.mktemp("network"))
    yield opened
    opened.close()


def before(network, name):
    """Return how much has arrived so far: a module shares one network."""
    return len(network.arrived(name, 0))


def test_bytes_of_any_content_and_size_arrive_as_they_were_sent(network):
    sent = [b"\0", bytes(range(256)), b"SJPA" * 1000, bytes(3_000_000)]
    start = before(network, "b")
    for data in sent:
        network.transports["a"].send("b", data)
    assert sorted(network.arrived("b", start + len(sent))[start:]) == sorted(sent)


def test_all_envelopes_between_two_agents_arrive_in_order_where_the_transport_keeps_it(network):
    arranged = list if network.ordered else sorted
    start = {name: before(network, name) for name in "ab"}
    for number in range(300):
        network.transports["a"].send("b", b"%d" % number)
        network.transports["b"].send("a", b"-%d" % number)
    for name, sign in (("b", b""), ("a", b"-")):
        found = network.arrived(name, start[name] + 300)[start[name] :]
        assert arranged(found) == arranged([sign + b"%d" % k for k in range(300)])


def test_an_unknown_peer_is_reported_by_its_name(network):
    with pytest.raises(UnreachablePeerError, match="peer c cannot be reached") as caught:
        network.transports["a"].send("c", b"data")
    assert caught.value.peer == "c"


def test_sending_from_many_threads_loses_nothing(network):
    start = before(network, "b")
    threads = [
        threading.Thread(
            target=lambda k=k: [network.transports["a"].send("b", b"%d %d" % (k, n)) for n in range(50)]
        )
        for k in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(network.arrived("b", start + 400)[start:]) == sorted(
        b"%d %d" % (k, n) for k in range(8) for n in range(50)
    )


def test_the_largest_envelope_is_carried(network):
    start = before(network, "b")
    network.transports["a"].send("b", bytes(MAX_ENVELOPE_BYTES))
    assert [len(data) for data in network.arrived("b", start + 1)[start:]] == [MAX_ENVELOPE_BYTES]
