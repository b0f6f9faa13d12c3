"""An explicit-state model checker: real `PeerProtocol` objects in a network that may do anything.

A state of the swarm is one local state for each agent and the multiset of envelopes on the way. Moves
deliver, lose or duplicate any of these, whatever their order, publish a new model, restart an agent, take a
peer out of the peer list of one agent alone, tell an agent of its present peers, and let an agent retry. A
step of one agent follows from its local state and the move alone, so the real code runs once for each such
pair, and the search combines the results.

States are compared by their content: everything that a protocol remembers, arrays included, except clocks,
events that were already read, counts of bytes, budgets, and the sequence numbers of envelopes. Without these
numbers the network is worse than a real one: a duplicate reaches the negotiation, which the replay window
would refuse.
"""

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import NamedTuple

from agents.protocol.budget import Allowance, PeerLimits
from agents.protocol.edge import EdgeResult
from agents.protocol.envelope import parse, seal
from agents.protocol.messages import AnyMessage, decode
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.wire import Reason
from tests.support.keys import envelope_of, identity_of, known_peers, local_peer
from tests.support.protocol_states import Canonical, clone, planted_version
from tests.support.swarm import comparable


@dataclass(frozen=True)
class Bounds:
    """How often each kind of disturbance may happen in one history, and how long a history may be."""

    depth: int
    losses: int = 0
    duplicates: int = 0
    publications: int = 0
    restarts: int = 0
    retries: int = 0
    drops: int = 0

    @property
    def budget(self) -> tuple[int, ...]:
        """What is left of each kind at the start, in the order of SPENDING."""
        return self.losses, self.duplicates, self.publications, self.restarts, self.retries, self.drops


UNLIMITED = PeerLimits(*[Allowance(math.inf, math.inf)] * 4)  # budgets have tests of their own
SPENDING = ("lose", "duplicate", "publish", "restart", "retry", "drop")


@dataclass(frozen=True)
class Flight:
    """An envelope on the way, as far as its recipient's decisions depend on it."""

    sender: str
    incarnation: int
    recipient: str
    recipient_incarnation: int
    message: AnyMessage

    def __str__(self) -> str:
        text = f"{type(self.message).__name__}(round {self.message.round}"
        if checkpoint := getattr(self.message, "checkpoint", ""):
            text += f", {checkpoint}"
        return f"{text}) {self.sender}#{self.incarnation} -> {self.recipient}#{self.recipient_incarnation}"


class State(NamedTuple):
    """A state of the swarm: numbers of local states, of envelopes, and what is left of each budget."""

    locals: tuple[int, ...]
    flights: tuple[int, ...]
    budget: tuple[int, ...]


@dataclass(frozen=True)
class Local:
    """An agent's process; `settled` holds (source, its incarnation, both checkpoints) of settled edges.

    Of a source that has left its peer list it holds none: what comes back is settled anew.
    """

    protocol: PeerProtocol
    version: int
    settled: frozenset[tuple[str, int, str, str]] = frozenset()

    @property
    def published(self) -> bool:
        """Whether the process has published the model of this version."""
        return self.protocol.negotiation is not None


class ViolationError(AssertionError):
    """A history that breaks a law; the text is the history."""


class Outbox:
    """A transport that keeps what is sent."""

    def __init__(self):
        self.sent = []

    def send(self, receiver, data):
        """Keep an envelope."""
        self.sent.append(data)


class Numbers:
    """Numbers things by their content, from 0."""

    def __init__(self):
        self.items = []
        self._numbers = {}

    def of(self, item, key=None):
        """Return the number of an item; of several with one key the first is kept."""
        key = item if key is None else key
        if key not in self._numbers:
            self._numbers[key] = len(self.items)
            self.items.append(item)
        return self._numbers[key]


@dataclass
class Report:
    """What a search has seen: states, moves, real steps of agents, the longest history, and its end."""

    states: int = 0
    moves: int = 0
    steps: int = 0
    depth: int = 0
    complete: bool = False  # whether no state was left to look at: the bound of the depth was not reached
    settled: Counter = field(default_factory=Counter)  # edges that some step settled, by pair of versions

    def __str__(self):
        end = "all histories within the budgets" if self.complete else f"all histories of {self.depth} moves"
        return f"{self.states:,} states, {self.moves:,} moves, {self.steps:,} steps of the real code, {end}"


class ModelChecker:
    """Searches all histories of a swarm within bounds."""

    def __init__(self, peers: int, version_of=planted_version) -> None:
        """Prepare a swarm of so many agents."""
        self.names = [f"agent-{index}" for index in range(peers)]
        self.report = Report()
        self._version_of, self._form = version_of, Canonical()
        self._locals, self._flights = Numbers(), Numbers()
        self._steps, self._references, self._cached_conditions = {}, {}, {}
        self._live = [{}, {}, {}]  # by schedule: the end of the continuation of a state

    def initial(self, bounds: Bounds, negotiated: bool = False) -> State:
        """Return the state where every agent runs and has published nothing, or has settled every edge."""
        known = dict.fromkeys(self.names, 1)
        state = State(tuple(self._start(name, 1, 0, known) for name in self.names), (), (0,) * len(SPENDING))
        if negotiated:
            state = self._settle(state, 0)
        return state._replace(budget=bounds.budget)

    # steps of one agent

    def _start(self, name, incarnation, version, known):
        protocol = PeerProtocol(local_peer(name, incarnation), Outbox(), UNLIMITED)
        protocol.update_peers(known_peers({peer: known[peer] for peer in self.names if peer != name}))
        return self._number(Local(protocol, version))

    def _number(self, local):
        process = local.protocol.name, local.protocol.channel.incarnation
        return self._locals.of(local, (process, self._form(local.protocol), local.version, local.settled))

    def _step(self, number, move):
        """Return (local state, envelopes sent, broken law or "") after a move of one agent."""
        if (number, move) not in self._steps:
            self._steps[number, move] = self._run(self._locals.items[number], move)
            self.report.steps += 1
        return self._steps[number, move]

    def _run(self, local, move):
        protocol, version = clone(local.protocol), local.version
        outbox = protocol.channel._transport = Outbox()
        protocol._events.clear()
        protocol.channel.verifier.refusals.clear()
        kind, *arguments = move
        match kind:
            case "publish":
                (version,) = arguments
                protocol.publish(self._version_of(self.names.index(protocol.name), version))
            case "retry":
                protocol.retry_stalled()
            case "learn" | "drop":
                protocol.update_peers(known_peers(dict(arguments[0])))
            case "deliver":
                self._deliver(protocol, self._flights.items[arguments[0]])
        broken, settled = "", {key for key in local.settled if key[0] in protocol.peers}
        for _, event in protocol._events:
            if isinstance(event, EdgeResult):
                broken = broken or self._check_edge(event, settled)
        if any(reason in (Reason.CONTENT, Reason.BODY) for _, reason in protocol.refusals()):
            broken = broken or f"{protocol.name} refuses what an honest peer has sent"
        flights = tuple(sorted(self._flights.of(self._in_flight(data)) for data in outbox.sent))
        return self._number(Local(protocol, version, frozenset(settled))), flights, broken

    @staticmethod
    def _in_flight(data):
        envelope = parse(data)
        return Flight(
            envelope.sender, envelope.incarnation, envelope.recipient, envelope.recipient_incarnation,
            decode(envelope.body),
        )  # fmt: skip

    @staticmethod
    def _deliver(protocol, flight):
        """Deliver an envelope under a sequence number that has not arrived."""
        verifier = protocol.channel.verifier
        state = verifier._peers.get(flight.sender) or verifier._former[flight.sender]
        sequence = state.window._newest + 1 if flight.incarnation == state.incarnation else 1
        envelope = envelope_of(
            flight.message, incarnation=flight.incarnation, sequence=sequence,
            recipient_incarnation=flight.recipient_incarnation,
        )  # fmt: skip
        protocol.receive(seal(envelope, identity_of(flight.sender)))

    def _check_edge(self, edge, settled):
        """Return the law that a settled edge breaks, or "", and add it to those settled."""
        key = (edge.source, edge.incarnations[0], edge.source_checkpoint, edge.target_checkpoint)
        self.report.settled[edge.source, edge.target, *key[2:]] += 1
        if key in settled:
            return f"{edge.source} -> {edge.target} is settled twice for {key[2]} and {key[3]}"
        settled.add(key)
        found = comparable(replace(edge, round=0, incarnations=(0, 0), bytes=0, reply=b"", source_key=b""))
        if not any(found == self._reference(edge, number) for number in range(edge.round, -1, -1)):
            return f"{edge.source} -> {edge.target} is not the edge of {key[2]} and {key[3]}"
        return ""

    def _reference(self, edge, number):
        """Return the edge that these two versions negotiate without any fault.

        Args:
            edge: Names the versions.
            number: Round of the first offer of the source's version, whose nonce all later ones have.
        """
        key = (edge.source, edge.target, edge.source_checkpoint, edge.target_checkpoint, number)
        if key not in self._references:
            source, target = (
                self._version_of(*map(int, checkpoint[1:].split("."))) for checkpoint in key[2:4]
            )
            pending = source.make_offers([edge.target], number)
            while pending:
                message = pending.pop()
                pending += (source if message.receiver == edge.source else target).receive(message)
            self._references[key] = comparable(replace(target.edges[edge.source], round=0))
        return self._references[key]

    # moves of the swarm

    def moves(self, state: State):
        """Return every move that is possible in a state and allowed by what is left of its budgets."""
        left = dict(zip(SPENDING, state.budget, strict=True))
        kinds = ["deliver", *(kind for kind in ("duplicate", "lose") if left[kind])]
        found = [(kind, flight) for flight in dict.fromkeys(state.flights) for kind in kinds]
        for index, (published, outdated) in enumerate(self._conditions(state.locals)):
            if not published:
                found.append(("begin", index))
            elif left["publish"]:
                found.append(("publish", index))
            if left["restart"]:
                found.append(("restart", index))
            if left["retry"] and published:
                found.append(("retry", index))
            if outdated:
                found.append(("learn", index))
            if left["drop"]:
                peers = self._locals.items[state.locals[index]].protocol.peers
                found += [("drop", (index, peer)) for peer in sorted(peers)]
        return found

    def _conditions(self, locals_):
        """Return for each agent whether it has published, and whether its peer list is outdated."""
        if locals_ not in self._cached_conditions:
            agents = [self._locals.items[number] for number in locals_]
            self._cached_conditions[locals_] = [
                (agent.published, agent.protocol._incarnations != self._incarnations(locals_, agent))
                for agent in agents
            ]
        return self._cached_conditions[locals_]

    def _incarnations(self, locals_, local):
        """Return the present incarnation of every peer of an agent."""
        protocols = [self._locals.items[number].protocol for number in locals_]
        return {
            protocol.name: protocol.channel.incarnation
            for protocol in protocols
            if protocol.name != local.protocol.name
        }

    def apply(self, state: State, move) -> tuple[State, str]:
        """Return the state after a move, and the law that it breaks or ""."""
        kind, which = move
        budget = list(state.budget)
        if kind in SPENDING:
            budget[SPENDING.index(kind)] -= 1
        locals_, flights = list(state.locals), list(state.flights)
        if kind in ("deliver", "duplicate", "lose"):
            if kind != "duplicate":
                flights.remove(which)
            if kind == "lose":
                return State(state.locals, tuple(flights), tuple(budget)), ""
            index, step = self.names.index(self._flights.items[which].recipient), ("deliver", which)
        else:
            index, peer = which if kind == "drop" else (which, "")
            step = (kind,)
            local = self._locals.items[locals_[index]]
            if kind == "restart":
                return self._restart(state, index, tuple(budget)), ""
            if kind in ("begin", "publish"):
                step = ("publish", local.version + (kind == "publish"))
            if kind == "learn":
                step = ("learn", tuple(self._incarnations(state.locals, local).items()))
            if kind == "drop":
                left = local.protocol._incarnations.items()
                step = ("drop", tuple((name, number) for name, number in left if name != peer))
        locals_[index], sent, broken = self._step(locals_[index], step)
        return State(tuple(locals_), tuple(sorted([*flights, *sent])), tuple(budget)), broken

    def _restart(self, state, index, budget):
        """Replace a process by the next one of the same agent, which goes on with its last version."""
        local, name = self._locals.items[state.locals[index]], self.names[index]
        known = self._incarnations(state.locals, local) | {name: 0}
        number = self._start(name, local.protocol.channel.incarnation + 1, local.version, known)
        locals_ = (*state.locals[:index], number, *state.locals[index + 1 :])
        # what is addressed to the former process is refused by any later one: it might as well be lost
        kept = tuple(each for each in state.flights if self._flights.items[each].recipient != name)
        return State(locals_, kept, budget)

    # the search

    def search(self, bounds: Bounds, negotiated: bool = False, liveness: bool = True) -> Report:
        """Look at every state within the bounds, breadth first.

        Raises:
            ViolationError: A history breaks a law, or ends where some fair continuation never settles.
        """
        first = self.initial(bounds, negotiated)
        came_from = {first: (None, None)}
        layer, depth = [first], 0
        if liveness:
            self._check_live(first, came_from)
        while layer and depth < bounds.depth:
            depth, following = depth + 1, []
            for state in layer:
                for move in self.moves(state):
                    new, broken = self.apply(state, move)
                    self.report.moves += 1
                    if broken:
                        raise ViolationError(self._tell(state, came_from, move, broken))
                    if new not in came_from:
                        came_from[new] = (state, move)
                        following.append(new)
                        if liveness:
                            self._check_live(new, came_from)
            layer = following
        self.report.states += len(came_from)
        self.report.depth = max(self.report.depth, depth)
        self.report.complete = not layer
        return self.report

    def _check_live(self, state, came_from):
        bare = state._replace(budget=(0,) * len(SPENDING))
        for schedule in range(3):
            try:
                self._settle(bare, schedule)
            except ViolationError as error:
                raise ViolationError(self._tell(state, came_from, None, str(error))) from None

    def _settle(self, state, schedule):
        """Return the end of a fair continuation, where every edge is settled and a retry sends nothing.

        Everything on the way arrives, every agent publishes and learns of restarts, and all retry. Schedule 0
        delivers in one order and 1 in the opposite one, with retries of all agents together; in schedule 2
        the agents retry one by one, and what each sends arrives before the next one retries.
        """
        path, turn = [], 0
        while (state, turn) not in self._live[schedule]:
            self._live[schedule][state, turn] = None  # on the way
            path.append((state, turn))
            before = state
            if housekeeping := self._housekeeping(state, schedule):
                state, broken = self.apply(state, housekeeping)
                if broken:
                    raise ViolationError(broken)
                continue
            for index in range(len(self.names)) if schedule < 2 else [turn]:
                state = self._retry(state, index)
            turn = 0 if schedule < 2 else (turn + 1) % len(self.names)
            if state == before and not self._unsettled(state):
                self._live[schedule][path[-1]] = state
        end = self._live[schedule][state, turn]
        if end is None:
            raise ViolationError(f"a fair continuation never settles {self._unsettled(state) or 'down'}")
        self._live[schedule].update(dict.fromkeys(path, end))
        return end

    def _retry(self, state, index):
        local, sent, _ = self._step(state.locals[index], ("retry",))
        locals_ = (*state.locals[:index], local, *state.locals[index + 1 :])
        return state._replace(locals=locals_, flights=tuple(sorted([*state.flights, *sent])))

    def _housekeeping(self, state, schedule):
        """Return a move that a fair continuation does not put off, or None."""
        if state.flights:
            return ("deliver", state.flights[-1 if schedule == 1 else 0])
        for index, (published, outdated) in enumerate(self._conditions(state.locals)):
            if outdated or not published:
                return ("learn" if outdated else "begin", index)
        return None

    def _unsettled(self, state):
        """Return the edges that one of their ends does not hold as settled between the newest versions."""
        sides = {self.names[k]: self._locals.items[number] for k, number in enumerate(state.locals)}
        return [
            f"{source} -> {target}"
            for source, target in permutations(self.names, 2)
            if not self._is_settled(sides[source].protocol, sides[target].protocol)
        ]

    @staticmethod
    def _is_settled(source, target):
        edge = target.negotiation.edges.get(source.name)
        verdict = source.negotiation.verdicts.get(target.name)
        if edge is None or verdict is None or not source.settled() or not target.settled():
            return False
        newest = (source.negotiation.peer_info.checkpoint, target.negotiation.peer_info.checkpoint)
        same_score = verdict.r2_shared == (edge.score.r2_shared if edge.score else 0.0)
        return (edge.source_checkpoint, edge.target_checkpoint) == newest and same_score

    def _tell(self, state, came_from, move, broken):
        """Return the history that leads to a state and a move, as text."""
        history = [] if move is None else [move]
        while state is not None:
            state, move = came_from[state]
            history += [] if move is None else [move]
        lines = [broken]
        for kind, which in reversed(history):
            if kind in ("deliver", "duplicate", "lose"):
                lines.append(f"  {kind} {self._flights.items[which]}")
            elif kind == "drop":
                lines.append(f"  {self.names[which[0]]} drops {which[1]}")
            else:
                lines.append(f"  {kind} {self.names[which]}")
        return "\n".join(lines)
