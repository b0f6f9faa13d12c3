"""Atomic writes and content hashes of files."""

import hashlib
import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write bytes to a file that appears complete: temporary file, flush to disk, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def digest(data: bytes) -> str:
    """Return the first 16 hexadecimal digits of the bytes' SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
