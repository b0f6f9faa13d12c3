"""Signing keys of agents: ed25519 (RFC 8032), made and checked by libsodium through PyNaCl."""

import hashlib
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from agents.common.files import write_atomically
from agents.common.hexadecimal import hex_bytes

logger = logging.getLogger(__name__)

KEY_FILE = "identity.key"  # in an agent's folder
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
KEY_ID_BYTES = 8


@dataclass(eq=False, repr=False)
class KeyFileError(ValueError):
    """A key file that cannot be used.

    Attributes:
        path: The file.
        reason: Why not, and what to do.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"the key file {self.path} {self.reason}"


class Identity:
    """The key pair of an agent; the private half never leaves this object and its file.

    Attributes:
        public_key: 32 bytes.
        key_id: First eight bytes of the SHA-256 of the public key.
    """

    def __init__(self, seed: bytes) -> None:
        """Derive the key pair from 32 random bytes."""
        self._key = SigningKey(seed)
        self.public_key = bytes(self._key.verify_key)
        self.key_id = key_id_of(self.public_key)

    def __repr__(self) -> str:
        """Return the fingerprint of the public key; the private one is never printed."""
        return f"Identity({fingerprint(self.public_key)})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: Ray would send the private key to another process."""
        raise TypeError("an identity holds a private key and is never sent to another process")

    @classmethod
    def generate(cls) -> "Identity":
        """Return a new random identity."""
        return cls(os.urandom(32))

    @classmethod
    def load(cls, path: Path) -> "Identity":
        """Read a key file.

        Raises:
            KeyFileError: It is missing, damaged, or other users may read it.
        """
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(256)
        except OSError as error:
            raise KeyFileError(path, f"cannot be read: {error.strerror}") from error
        if stat.S_IMODE(mode) & 0o077:
            raise KeyFileError(path, "may be read by other users: set its mode to 0600 (chmod 600)")
        seed = hex_bytes(text.decode("ascii", "replace").strip(), 32)
        if not seed:
            raise KeyFileError(path, "is damaged: it should hold 64 hexadecimal digits")
        return cls(seed)

    def save(self, path: Path) -> None:
        """Write a key file that only this user may read.

        Raises:
            OSError: It cannot be written.
        """
        write_atomically(path, bytes(self._key).hex().encode() + b"\n", 0o600)

    @classmethod
    def load_or_create(cls, path: Path) -> "Identity":
        """Read a key file, or write a new one if there is none.

        Raises:
            KeyFileError: There is one that cannot be used.
            OSError: A new one cannot be written.
        """
        if path.exists():
            return cls.load(path)
        identity = cls.generate()
        identity.save(path)
        return identity

    def sign(self, data: bytes) -> bytes:
        """Return the signature of data, 64 bytes; the same at every call."""
        return self._key.sign(data).signature


def key_id_of(public_key: bytes) -> bytes:
    """Return the id of a public key: the first eight bytes of its SHA-256."""
    return hashlib.sha256(public_key).digest()[:KEY_ID_BYTES]


def fingerprint(public_key: bytes) -> str:
    """Return a public key's SHA-256 as people compare it, in groups of four hexadecimal digits."""
    text = hashlib.sha256(public_key).hexdigest()[:32]
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def is_signed(public_key: bytes, data: bytes, signature: bytes) -> bool:
    """Return whether a signature of data was made with the private half of a public key.

    libsodium refuses keys and signatures of small order, and every second encoding of a signature.
    """
    try:
        VerifyKey(public_key).verify(data, signature)
    except (BadSignatureError, ValueError, TypeError):  # nacl's length errors derive from the latter two
        return False
    return True


def load_identity(folder: Path) -> Identity:
    """Return the identity in an agent's folder.

    Where it cannot be read or written, the process makes a new one: its supervisor, which all agents of a Ray
    trust, tells them its public key.
    """
    try:
        return Identity.load_or_create(folder / KEY_FILE)
    except (KeyFileError, OSError) as error:
        logger.warning("a new signing key is used, which is not kept: %s", error)
        return Identity.generate()
