"""MkDocs hooks: the recorded results in evidence/ become pages of the site, though they lie outside docs/."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: Any) -> Files:
    """Add every README and plot of evidence/ to the site."""
    found = [
        path for pattern in ("*/README.md", "*/*.png") for path in sorted((ROOT / "evidence").glob(pattern))
    ]
    for path in found:
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config["site_dir"], config["use_directory_urls"]))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Make links between docs/ and evidence/, which are relative to their folders, relative to the site."""
    markdown = markdown.replace("](../../docs/", "](../../")
    return markdown.replace("](../evidence/", "](evidence/").replace("](../../evidence/", "](../evidence/")
