"""What an agent may be called; importing this loads nothing."""

import re

MAX_LENGTH = 64  # of a name, in characters
NAME_PATTERN = rf"[A-Za-z0-9_.-]{{1,{MAX_LENGTH}}}"  # names are also folders, and are printed


def is_name(text: str) -> bool:
    """Return whether a text may be an agent's name, as far as its characters say."""
    return re.fullmatch(NAME_PATTERN, text) is not None
