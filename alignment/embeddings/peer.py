"""A peer that has embeddings and nothing else: no scene, no camera, no model that could be trained."""

from alignment.arrays import AnyArray
from alignment.embeddings.alignment import Alignment, align_tables
from alignment.embeddings.pairs import AlignSettings
from alignment.embeddings.table import EmbeddingTable


class EmbeddingPeer(EmbeddingTable):
    """A peer that negotiates about its table of embeddings, or about what a callable embeds."""

    def negotiate(self, other: EmbeddingTable, settings: AlignSettings | None = None) -> Alignment:
        """Return the edges between this peer and another, in both directions, on the anchors that both have.

        Args:
            other: The other peer.
            settings: How to compare them.

        Raises:
            AlignmentError: They cannot be compared; the message says what to change.
        """
        return align_tables(self, other, settings or AlignSettings())


def align(
    first: EmbeddingTable | AnyArray, second: EmbeddingTable | AnyArray, settings: AlignSettings | None = None
) -> Alignment:
    """Return the edges between two tables of embeddings of the same anchors, in both directions.

    Args:
        first: A peer, or an array or tensor [K, D_i]; arrays are called A and B and matched by position.
        second: A peer, or an array or tensor [K, D_j].
        settings: How to compare them.

    Raises:
        AlignmentError: They cannot be compared; the message says what to change.
    """
    tables = [
        given if isinstance(given, EmbeddingTable) else EmbeddingTable(name, None, given)
        for name, given in (("A", first), ("B", second))
    ]
    return align_tables(tables[0], tables[1], settings or AlignSettings())
