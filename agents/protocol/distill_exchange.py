"""Requests of students and replies of teachers that wait at one agent until its thread takes them."""

from agents.protocol.messages import DistillReply, DistillRequest
from agents.protocol.wire import MessageError, StaleReplyError

NUMBER_BYTES = 4  # of a float32


class DistillExchange:
    """What an agent has received as a teacher and as a student: at most one message of each peer and kind.

    A peer that was asked for nothing cannot leave a reply here, which is up to 16 MiB.

    Attributes:
        requests: Open requests of students, by name, oldest first.
        replies: Replies of teachers that are not used yet, by teacher.
    """

    def __init__(self) -> None:
        """Start without requests and replies."""
        self.requests: dict[str, DistillRequest] = {}
        self.replies: dict[str, DistillReply] = {}
        self._asked: dict[str, int] = {}  # ticks of the newest own request, by teacher
        self._answered: set[str] = set()  # teachers that have replied to it

    def note_sent(self, request: DistillRequest) -> None:
        """Expect one reply to a request of this agent."""
        self._asked[request.source] = request.ticks
        self._answered.discard(request.source)

    def receive(self, message: DistillRequest | DistillReply) -> None:
        """Keep a request, or the reply to the newest own request; values are checked where they are used.

        Raises:
            StaleReplyError: No own request calls for this reply.
            MessageError: It holds more ticks than were requested, or another number of bytes than it says.
        """
        if isinstance(message, DistillRequest):
            self.requests[message.target] = message
            return
        teacher = message.source
        if teacher not in self._asked or teacher in self._answered:
            repeated = teacher in self._answered  # by a network that duplicates, or a teacher that is late
            raise StaleReplyError(teacher, message.round, type(message).__name__, repeated)
        if message.rows > self._asked[teacher]:
            raise MessageError(f"{teacher} sent {message.rows} ticks, {self._asked[teacher]} were requested")
        if len(message.data) != (size := message.rows * message.dim * NUMBER_BYTES):
            raise MessageError(f"{teacher} sent {len(message.data)} bytes of embeddings, and says {size}")
        self.replies[teacher] = message
        self._answered.add(teacher)

    def take_request(self) -> DistillRequest | None:
        """Return the oldest request, which is then no longer open; None where there is none."""
        for student in list(self.requests):  # another thread may add one, or drop this one
            if request := self.requests.pop(student, None):
                return request
        return None

    def give_up(self, teacher: str) -> None:
        """Take no reply of a teacher any more: one that comes late is overtaken, and not kept."""
        self.replies.pop(teacher, None)
        if self._asked.pop(teacher, None) is not None:
            self._answered.add(teacher)

    def forget(self, peer: str) -> None:
        """Drop all that a peer has sent, and what it was asked for: it left or restarted."""
        for by_peer in (self.requests, self.replies, self._asked):
            by_peer.pop(peer, None)
        self._answered.discard(peer)
