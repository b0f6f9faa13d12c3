"""Whose key is whose, where no supervisor says it: a file of trusted keys, rotation and revocation.

A name is bound to the key of an allow-list, or to the first key that introduces itself under it. Afterwards a
key changes only by a statement that the former key has signed, or by hand. Statements are bound to their
purpose and to the name, so that any agent may pass them on.
"""

import logging
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
import tomli_w
from msgspec import Meta, Struct

from agents.common.files import write_atomically
from agents.common.hexadecimal import hex_bytes
from agents.common.names import is_name
from agents.protocol.identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, fingerprint, is_signed
from agents.protocol.messages import Name

logger = logging.getLogger(__name__)

MAX_NAMES = 256  # that first use may add to a trust file
MAX_STATEMENTS = 16  # of each kind in one introduction
ROTATION = b"social-jepa key rotation\0"
REVOCATION = b"social-jepa key revocation\0"
PublicKey = Annotated[bytes, Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


class KeyRotation(Struct, frozen=True, forbid_unknown_fields=True):
    """Statement that an agent's key is replaced, signed with both.

    Attributes:
        name: Name of the agent.
        old_key: Key that was trusted so far.
        new_key: Key that takes its place.
        old_signature: By the old key: it agrees.
        new_signature: By the new key: it is in the same hands.
    """

    name: Name
    old_key: PublicKey
    new_key: PublicKey
    old_signature: Signature
    new_signature: Signature

    @classmethod
    def make(cls, name: str, old: Identity, new: Identity) -> "KeyRotation":
        """Return the statement for an agent."""
        text = _rotation_text(name, old.public_key, new.public_key)
        return cls(name, old.public_key, new.public_key, old.sign(text), new.sign(text))

    def holds(self) -> bool:
        """Return whether both signatures are valid."""
        text = _rotation_text(self.name, self.old_key, self.new_key)
        return is_signed(self.old_key, text, self.old_signature) and is_signed(
            self.new_key, text, self.new_signature
        )


class KeyRevocation(Struct, frozen=True, forbid_unknown_fields=True):
    """Statement that a key must not be trusted any more, signed with that key.

    Attributes:
        name: Name of the agent.
        key: The key.
        signature: By that key: its holder may end it.
    """

    name: Name
    key: PublicKey
    signature: Signature

    @classmethod
    def make(cls, name: str, identity: Identity) -> "KeyRevocation":
        """Return the statement for an agent."""
        return cls(name, identity.public_key, identity.sign(REVOCATION + name.encode() + b"\0"))

    def holds(self) -> bool:
        """Return whether the signature is valid."""
        return is_signed(self.key, REVOCATION + self.name.encode() + b"\0", self.signature)


def _rotation_text(name: str, old_key: bytes, new_key: bytes) -> bytes:
    return ROTATION + name.encode() + b"\0" + old_key + new_key


@dataclass(frozen=True)
class TrustedKey:
    """What is known about the key of one agent.

    Attributes:
        public_key: The key.
        revoked: Whether it must not be trusted any more.
        revocation: Signature of the statement that revoked it; empty if the file alone says so.
    """

    public_key: bytes
    revoked: bool = False
    revocation: bytes = b""

    def table(self) -> dict[str, object]:
        """Return the table of the trust file."""
        revoked = {"revoked": self.revocation.hex() or True} if self.revoked else {}
        return {"key": self.public_key.hex(), **revoked}


def write_tables(keys: Mapping[str, TrustedKey]) -> str:
    """Return the content of a trust file that holds these keys, sorted by name."""
    return tomli_w.dumps({name: key.table() for name, key in keys.items()})


def _header(name: str) -> str:
    """Return the header of an agent's table: a name with a dot is quoted, or else two nested tables."""
    return tomli_w.dumps({name: {}}).strip()


@dataclass(eq=False, repr=False)
class TrustFileError(ValueError):
    """A trust file that cannot be used.

    Attributes:
        path: The file.
        reason: Why not.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"the trust file {self.path} {self.reason}"


@dataclass(eq=False, repr=False)
class UntrustedKeyError(ValueError):
    """A key that is not trusted for the name that it introduces itself with.

    Attributes:
        name: The name.
        public_key: The key.
        reason: Why not, and what to do if it should be.
    """

    name: str
    public_key: bytes
    reason: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.name} introduces itself with key {fingerprint(self.public_key)}: {self.reason}"


class TrustStore:
    """The trusted keys of other agents, in a file that people can read and edit."""

    def __init__(self, path: Path, first_use: bool) -> None:
        """Read the file, if it exists.

        Args:
            path: The file: one table for each agent, with `key` and, optionally, `revoked`: true, or the
                signature of a `KeyRevocation`, which is then passed on to peers.
            first_use: Whether an agent that is not in it is added with the first key that it shows.

        Raises:
            TrustFileError: It cannot be read; an allow-list must exist.
        """
        self._path, self._first_use = path, first_use
        self._keys: dict[str, TrustedKey] = {}
        if path.exists() or not first_use:
            self._keys = _read(path)

    @property
    def first_use(self) -> bool:
        """Whether an agent that the file does not hold may be added."""
        return self._first_use

    def get(self, name: str) -> TrustedKey | None:
        """Return the key of an agent, which may be revoked; None if the file does not hold it."""
        return self._keys.get(name)

    def names(self) -> list[str]:
        """Return the names of all agents in the file."""
        return list(self._keys)

    def accept(self, name: str, public_key: bytes, rotations: Iterable[KeyRotation] = ()) -> TrustedKey:
        """Return the trusted key of an agent that has proved to have it.

        Args:
            name: Name that it introduces itself with.
            public_key: Its key.
            rotations: Statements that may lead from the trusted key to this one, in order.

        Raises:
            UntrustedKeyError: Another key is trusted for the name, or none may be added, or it was revoked.
        """
        known = self._keys.get(name)
        if known is None:
            return self._accept_first(name, public_key)
        if known.revoked:
            raise UntrustedKeyError(
                name, public_key, f"its key was revoked; if it has a new one that you trust, write it into "
                f"{self._path}",
            )  # fmt: skip
        current = follow(name, known.public_key, public_key, rotations)
        if current != public_key:
            raise UntrustedKeyError(
                name, public_key,
                f"{fingerprint(known.public_key)} is trusted, so this is an impostor, or it has lost its "
                f"key; if you know that it has a new one, write it into {self._path}",
            )  # fmt: skip
        if public_key != known.public_key:
            logger.warning("%s has changed its key to %s", name, fingerprint(public_key))
            self._set(name, TrustedKey(public_key))
        return self._keys[name]

    def _accept_first(self, name: str, public_key: bytes) -> TrustedKey:
        if not self._first_use:
            raise UntrustedKeyError(
                name, public_key, f"it is not in {self._path}: add the table {_header(name)} with key = "
                f'"{public_key.hex()}" if you trust it',
            )  # fmt: skip
        if len(self._keys) >= MAX_NAMES:
            raise UntrustedKeyError(
                name, public_key, f"{self._path} has {len(self._keys)} agents already, and no more are added"
            )
        logger.warning("%s is trusted from now on with key %s", name, fingerprint(public_key))
        self._set(name, TrustedKey(public_key))
        return self._keys[name]

    def revoke(self, statement: KeyRevocation) -> bool:
        """Revoke a trusted key that says so itself; return whether anything changed."""
        known = self._keys.get(statement.name)
        if known is None or known.revoked or known.public_key != statement.key or not statement.holds():
            return False
        logger.warning("the key %s of %s is revoked", fingerprint(statement.key), statement.name)
        self._set(statement.name, replace(known, revoked=True, revocation=statement.signature))
        return True

    def revocations(self) -> list[KeyRevocation]:
        """Return the statements that revoked keys, to be passed on; at most MAX_STATEMENTS."""
        signed = [(name, key) for name, key in self._keys.items() if key.revocation]
        return [KeyRevocation(name, key.public_key, key.revocation) for name, key in signed][-MAX_STATEMENTS:]

    def _set(self, name: str, key: TrustedKey) -> None:
        self._keys[name] = key
        try:
            write_atomically(self._path, write_tables(dict(sorted(self._keys.items()))).encode())
        except OSError as error:  # it holds for this process, and the next one decides again
            logger.warning("%s cannot be written: %s", self._path, error.strerror)


def follow(name: str, trusted: bytes, wanted: bytes, rotations: Iterable[KeyRotation]) -> bytes:
    """Return the last key that valid rotations lead to from a trusted key, at most the wanted one.

    Args:
        name: Agent that all of them must be about.
        trusted: Key to start from.
        wanted: Key to stop at.
        rotations: Statements, in order; those before the trusted key are skipped.
    """
    for rotation in rotations:
        if trusted == wanted:
            break
        if rotation.name == name and rotation.old_key == trusted and rotation.holds():
            trusted = rotation.new_key
    return trusted


def _read(path: Path) -> dict[str, TrustedKey]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin with a mark
    except OSError as error:
        raise TrustFileError(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise TrustFileError(path, f"is not TOML: {error}") from error
    return {name: _read_table(path, name, table) for name, table in tables.items()}


def _read_table(path: Path, name: str, table: object) -> TrustedKey:
    if not is_name(name):
        raise TrustFileError(path, f"names {name!r}, which no agent can be called")
    if not isinstance(table, Mapping) or table.keys() - {"key", "revoked"}:
        raise TrustFileError(path, f"should hold key and, optionally, revoked in the table {_header(name)}")
    revoked = table.get("revoked", False)
    key, signature = hex_bytes(table.get("key"), PUBLIC_KEY_BYTES), hex_bytes(revoked, SIGNATURE_BYTES)
    if not key:
        raise TrustFileError(path, f"should hold a key of 64 hexadecimal digits in the table {_header(name)}")
    if not isinstance(revoked, bool) and not KeyRevocation(name, key, signature).holds():
        raise TrustFileError(
            path, f"should have revoked = true in the table {_header(name)}, or the signature that "
            "social-jepa key revoke prints",
        )  # fmt: skip
    return TrustedKey(key, bool(revoked), signature)


_rotations = msgspec.msgpack.Decoder(list[KeyRotation])


class RotatedIdentity:
    """A key file together with the statements that led to its key, in the file ``NAME.rotations``.

    Attributes:
        identity: The newest key.
        rotations: The statements, oldest first; the newest MAX_STATEMENTS.
    """

    def __init__(self, path: Path) -> None:
        """Read both files; make a key if there is none.

        Raises:
            KeyFileError: One of them cannot be used.
            OSError: A new key cannot be written.
        """
        self._path = path
        self._statements = path.with_name(f"{path.name}.rotations")
        self.identity = Identity.load_or_create(path)
        self.rotations: tuple[KeyRotation, ...] = ()
        if self._statements.exists():
            try:
                self.rotations = tuple(_rotations.decode(self._statements.read_bytes()))
            except msgspec.MsgspecError:
                logger.warning("%s is damaged: peers may refuse the newest key", self._statements)
        while self.rotations and self.rotations[-1].new_key != self.identity.public_key:
            self.rotations = self.rotations[:-1]  # of a rotation that was cut short: its key was not saved

    def rotate(self, name: str) -> KeyRotation:
        """Replace the key of an agent, and return the statement that makes peers accept the new one.

        Raises:
            OSError: A file cannot be written; the old key stays in use.
        """
        new = Identity.generate()
        statement = KeyRotation.make(name, self.identity, new)
        kept = (*self.rotations, statement)[-MAX_STATEMENTS:]
        # first the statement: without it no peer would accept the new key
        write_atomically(self._statements, msgspec.msgpack.encode(kept))
        new.save(self._path)
        self.identity, self.rotations = new, kept
        return statement
