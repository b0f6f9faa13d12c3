"""Items that peers embed as anchors, named by their content: pictures, sentences, any bytes."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from alignment.arrays import AlignmentError


class AnchorItems(Mapping[str, Path | bytes]):
    """Items by id: the SHA-256 of an item's bytes, as 64 hexadecimal digits.

    Equal bytes are one anchor, whatever their file is called and on whichever machine it lies, so that two
    peers who hold copies of an item mean the same anchor without a list of names. Iteration is in ascending
    order of id. Files are read when they are hashed and when they are asked for, and are not kept in
    memory.
    """

    def __init__(self, items: Mapping[str, Path | bytes]) -> None:
        """Keep items by their ids, which `from_files` and `from_bytes` compute."""
        self._items = MappingProxyType(dict(sorted(items.items())))

    @classmethod
    def from_files(cls, paths: Iterable[str | Path]) -> "AnchorItems":
        """Return the files as items; of files with equal content the first is kept.

        Args:
            paths: Files, and folders, whose files are taken with those of their subfolders.

        Raises:
            AlignmentError: There is no file.
            OSError: A file cannot be read.
        """
        items: dict[str, Path | bytes] = {}
        for path in map(Path, paths):
            files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
            for file in files:
                items.setdefault(_hash_file(file), file)
        if not items:
            raise AlignmentError(
                "there is no file among these anchor items", "name files, or a folder of files"
            )
        return cls(items)

    @classmethod
    def from_bytes(cls, contents: Iterable[bytes]) -> "AnchorItems":
        """Return byte strings as items, for example encoded sentences; equal ones are one item.

        Raises:
            AlignmentError: There is none, or one is no bytes.
        """
        items: dict[str, Path | bytes] = {}
        for content in contents:
            if not isinstance(content, bytes | bytearray | memoryview):
                raise AlignmentError(
                    f"an anchor item is bytes, got {type(content).__name__}",
                    "encode it, for example text.encode() or array.tobytes()",
                )
            items[hashlib.sha256(content).hexdigest()] = bytes(content)
        if not items:
            raise AlignmentError("there are no anchor items", "pass at least one")
        return cls(items)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all items, ascending."""
        return tuple(self._items)

    def read(self, item: str) -> bytes:
        """Return an item's bytes.

        Raises:
            KeyError: There is no item of this id.
            AlignmentError: Its file has changed since it was hashed.
        """
        found = self._items[item]
        content = found.read_bytes() if isinstance(found, Path) else found
        if hashlib.sha256(content).hexdigest() != item:
            raise AlignmentError(f"{found!s} has changed since it was hashed", "make the anchor items again")
        return content

    def __getitem__(self, item: str) -> Path | bytes:
        """Return an item: the path of its file, or its bytes."""
        return self._items[item]

    def __iter__(self) -> Iterator[str]:
        """Return the ids, ascending."""
        return iter(self._items)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def __repr__(self) -> str:
        """Return the number of items."""
        return f"{type(self).__name__}({len(self)} items)"


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
