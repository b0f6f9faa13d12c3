"""Code blocks of the README and the pages of docs/."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    return [text for found, text in BLOCK.findall(path.read_text(encoding="utf-8")) if found == language]
