"""What agents and kinds of world model may be called; importing this loads nothing."""

import re

MAX_LENGTH = 64  # of a name, in characters
NAME_PATTERN = rf"[A-Za-z0-9_.-]{{1,{MAX_LENGTH}}}"  # names are also folders, and are printed

MAX_TOKEN = 128  # characters
TOKEN_PATTERN = rf"[A-Za-z0-9_.:/-]{{0,{MAX_TOKEN}}}"  # kinds, checkpoints and scenes in messages


def is_name(text: str) -> bool:
    """Return whether a text may be an agent's name, as far as its characters say."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def is_token(text: str) -> bool:
    """Return whether a text may stand in a message to peers as the name of a kind or a checkpoint."""
    return re.fullmatch(TOKEN_PATTERN, text) is not None
