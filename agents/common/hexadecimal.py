"""Keys and signatures in text; importing this loads nothing."""


def hex_bytes(text: object, size: int) -> bytes:
    """Return the bytes that a string spells in hexadecimal digits; empty for all that is not `size` bytes."""
    try:
        data = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return b""
    return data if len(data) == size else b""
