"""Signed replies in the folder of a run or of a peer, and evidence of what contradicts them.

::

    replies/NAME.reply           the first reply of a process of this source under its checkpoint
    evidence/NAME-HASH.evidence  two replies that contradict each other
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.common.files import digest, write_atomically
from agents.protocol.edge import EdgeResult
from agents.protocol.evidence import Evidence, EvidenceError, KeptReply, ReplyHistory, check
from social_jepa.storage.proofs import EQUIVOCATION
from social_jepa.storage.run_folder_errors import RunFolderError

logger = logging.getLogger(__name__)

REPLIES, REPLY, EVIDENCE = "replies", ".reply", "evidence"


@dataclass(eq=False, repr=False)
class DamagedReplyError(RunFolderError):
    """A file of a reply that cannot be read.

    Attributes:
        path: The file.
        reason: What reading it says.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.path} is damaged ({self.reason}): delete it, and the next reply takes its place"


def read_replies(folder: Path) -> dict[str, KeptReply]:
    """Return the replies that a folder keeps, by source; none where it keeps none.

    Raises:
        DamagedReplyError: One cannot be read.
    """
    found = {}
    for path in sorted((folder / REPLIES).glob(f"*{REPLY}")):
        try:
            found[path.name.removesuffix(REPLY)] = KeptReply.decode(path.read_bytes())
        except (OSError, EvidenceError) as error:
            raise DamagedReplyError(path, str(error)) from error
    return found


def write_reply(folder: Path, source: str, kept: KeptReply) -> None:
    """Write the reply of a source that later ones are compared with."""
    write_atomically(folder / REPLIES / f"{source}{REPLY}", kept.encode())


def write_evidence(folder: Path, source: str, evidence: Evidence) -> Path:
    """Write evidence against a source into a folder; return its file."""
    data = evidence.encode()
    path = folder / f"{source}-{digest(data)}.evidence"
    write_atomically(path, data)
    return path


class ReplyArchive:
    """Compares each reply with the first one of the same process and checkpoint, which its folder keeps."""

    def __init__(self, folder: Path) -> None:
        """Read what the folder of a run or of a peer keeps; a damaged file is as good as none."""
        self._folder = folder
        try:
            self._history = ReplyHistory(read_replies(folder))
        except DamagedReplyError as error:
            logger.warning("earlier replies are not compared: %s", error)
            self._history = ReplyHistory()

    def compare(self, edge: EdgeResult) -> tuple[str, dict[str, Any]] | None:
        """Keep the reply that an edge was fitted on, or write evidence; return the event of that.

        Returns:
            The event of the source's contradiction; None where its reply contradicts no earlier one.

        Raises:
            OSError: The reply or the evidence cannot be written; call again.
        """
        evidence, source = self._history.compare(edge), edge.source
        if evidence is None:
            first = self._history.first.get(source)
            if first is not None and first.reply.envelope == edge.reply:
                write_reply(self._folder, source, first)
            return None
        path, found = write_evidence(self._folder / EVIDENCE, source, evidence), check(evidence)
        return EQUIVOCATION, {
            "agent": source, "checkpoint": edge.source_checkpoint, "peers": found.recipients,
            "tick": found.tick, "file": str(path.relative_to(self._folder)),
        }  # fmt: skip
