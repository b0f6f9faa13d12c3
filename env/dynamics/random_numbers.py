"""Random numbers that depend on a name and a counter alone, and are equal on every machine."""

import hashlib

import numpy as np


def uniforms(name: str, counter: int, rows: int, columns: int) -> np.ndarray:
    """Return independent numbers, uniform in (0, 1), [rows, columns].

    They are made from raw bits of a counter-based generator (Philox, Salmon et al. 2011), which numpy
    promises never to change, unlike its normal variables. The first rows do not depend on how many follow.

    Args:
        name: Of the stream, for example the kind of motion and the seed.
        counter: Of the draw within the stream, any integer; 2**64 of them are independent.
        rows: Usually coordinates.
        columns: Usually ticks.
    """
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    generator = np.random.Philox(key=np.array([key, counter % 2**64], dtype=np.uint64))
    bits = generator.random_raw(rows * columns).reshape(rows, columns)
    return ((bits >> np.uint64(12)) + 0.5) * 2.0**-52


def normals(name: str, counter: int, rows: int, columns: int) -> np.ndarray:
    """Return independent standard normal numbers, [rows, columns]; for the arguments see ``uniforms``."""
    from scipy.special import ndtri  # its import takes longer than most commands that draw no numbers

    return ndtri(uniforms(name, counter, rows, columns))
