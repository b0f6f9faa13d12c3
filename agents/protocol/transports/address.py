"""Addresses of peers, as people write them."""

import ipaddress
import re
from dataclasses import dataclass

MAX_HOST = 253  # letters of a host name, without a dot at its end
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")  # of a host name


@dataclass(eq=False, repr=False)
class PeerAddressError(ValueError):
    """A text that is no address.

    Attributes:
        text: What was given.
    """

    text: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.text!r} is not HOST:PORT; write an IPv6 address in brackets, as in [::1]:7000"


@dataclass(frozen=True)
class PeerAddress:
    """A host and a TCP port.

    Attributes:
        host: Name or address; an IPv6 address without brackets.
        port: From 0, which means any free one, to 65535.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "PeerAddress":
        """Return the address in a text, HOST:PORT or [IPV6]:PORT.

        Raises:
            PeerAddressError: It is none.
        """
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise PeerAddressError(text)
        if not (colon and _is_host(host) and port.isascii() and port.isdigit() and int(port) < 65536):
            raise PeerAddressError(text)
        return cls(host, int(port))

    @property
    def is_unspecified(self) -> bool:
        """Whether the host stands for all addresses of a machine, as 0.0.0.0 does."""
        found = _ip(self.host)
        return found is not None and found.is_unspecified

    @property
    def is_loopback(self) -> bool:
        """Whether the host is the machine itself, whichever machine that is.

        Other names may lead there too, and so does an unspecified address: who dials them looks at where the
        connection ends.
        """
        found = _ip(self.host)
        if found is None:
            return self.host.lower().removesuffix(".") == "localhost"
        return found.is_loopback

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_host(text: str) -> bool:
    """Return whether a text is an address of a machine, or a name that the look-up of names takes."""
    if ":" in text or len(text) > MAX_HOST + 1:
        return _ip(text) is not None
    try:
        name = text.encode("idna").decode()
    except UnicodeError:
        return False
    labels = name.removesuffix(".").split(".")
    return len(name.removesuffix(".")) <= MAX_HOST and all(map(_LABEL.fullmatch, labels))


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the numbers of a host that is written as numbers; None for a name."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
