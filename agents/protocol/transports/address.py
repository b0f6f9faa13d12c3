"""Addresses of peers, as people write them."""

import ipaddress
from dataclasses import dataclass


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
        if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
            raise PeerAddressError(text)
        return cls(host, int(port))

    @property
    def is_unspecified(self) -> bool:
        """Whether the host stands for all addresses of a machine, as 0.0.0.0 does."""
        found = _ip(self.host)
        return found is not None and found.is_unspecified

    @property
    def is_loopback(self) -> bool:
        """Whether the host is the machine itself, whichever machine that is."""
        found = _ip(self.host)
        return self.host == "localhost" if found is None else found.is_loopback

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the numbers of a host that is written as numbers; None for a name."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
