"""What anchors give away: frames, positions of objects, and which ticks an agent was trained on.

``python -m benchmarks.privacy`` trains pairs of agents in the toy world. An attacker holds some pairs of a
frame and an embedding, as if they had leaked, trains an inverter on them, and turns the embeddings that an
agent sends into frames; beside it stands what the same setting costs the edge. Then it prints how much better
than chance an attacker tells ticks that the agent was trained on from ticks that it was not.
"""

import argparse
import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent
from agents.models.settings import ModelConfig
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.negotiation import Negotiation
from agents.protocol.privacy import in_precision, protect
from agents.protocol.settings import NegotiationConfig
from agents.training.settings import TrainingConfig
from alignment.anchors import AnchorSet
from alignment.fit import fit_ridge
from alignment.score import image_r2, r2
from alignment.status import Status
from benchmarks.harness import log
from benchmarks.in_memory import negotiate_in_memory
from benchmarks.inverter import InverterConfig, invert, nearest_frames, psnr, ssim
from benchmarks.membership import KNOWN, SCORES, attack, judge
from env.scene import SceneConfig
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)

INDICES = (0, 2)  # of a ring of four: 180 degrees apart
RECORDED = (200, 201)  # seeds of the recorded figures: none was searched on
KEY = bytes(range(32))
PUBLIC_SEED = 99_991  # of a scene that is no agent's own
HELD = 256  # embeddings that are inverted and scored
MEMBERS = 2048  # consecutive ticks of either kind, and the replay buffer of an agent that overfits
RESAMPLES = 1000
COMBINATIONS: tuple[dict[str, Any], ...] = (
    {"leaked": 64}, {"leaked": 256}, {}, {"precision": "float16"}, {"precision": "int8"}, {"dims": "core"},
    {"dims": "3"}, {"noise": 0.1}, {"noise": 0.3}, {"noise": 1.0},
    {"precision": "int8", "dims": "core", "noise": 0.3},
)  # fmt: skip
SHIELDS = ("precision", "dims", "noise")  # settings that bound what an agent sends
PLAIN = {"leaked": 1024, "precision": "float32", "dims": "all", "noise": 0.0}


@dataclass(frozen=True)
class Subject:
    """An agent that is attacked, and what only its owner has.

    Attributes:
        agent: The agent.
        frames: Its frames at the ticks of its two pools, [K, H, W, 3], 0 to 1.
        heldout_frames: Those of the held-out pool.
        public: Embeddings of the same ticks of a public scene.
        public_frames: Its frames at the ticks that maps are fitted on there, [K, H, W, 3], 0 to 1.
        trained: Embeddings [MEMBERS, D] of consecutive ticks that it was trained on.
        fresh: Two such stretches that it was not trained on, [2, MEMBERS, D].
    """

    agent: TrainedAgent
    frames: Tensor
    heldout_frames: Tensor
    public: AnchorPools
    public_frames: Tensor
    trained: Tensor
    fresh: Tensor


@contextlib.contextmanager
def raised(setup: AgentSetup, seed: int, index: int, until: int | None = None) -> Iterator[Agent]:
    """Yield an agent that was trained to a step, by default to the end; 0 leaves its weights untrained."""
    with untrained_agent(setup, seed, index, ring_poses(setup, 4)) as agent:
        train_agent(agent, lambda _: None, until)
        yield agent


def consecutive(agent: Agent, members: int) -> tuple[Tensor, Tensor]:
    """Return embeddings of ticks that an agent was trained on, [members, D], and of two stretches later."""
    assert agent.published is not None
    trained = agent.trainer.replay_buffer.ticks
    model, basis = agent.published.model, agent.published.basis
    first = agent.trainer.seen_stop + agent.ticks.gap
    starts = (trained.stop - members, first, first + members + agent.ticks.gap)
    found = [basis(agent.encode_ticks(range(start, start + members), model)).float() for start in starts]
    return found[0], torch.stack(found[1:])


def subject(setup: AgentSetup, seed: int, index: int, members: int) -> Subject:
    """Return a trained agent with all that the attacks are scored on."""
    public = replace(setup, negotiation=replace(setup.negotiation, anchor_seed=PUBLIC_SEED))
    with raised(public, seed, index) as agent:
        assert agent.published is not None
        assert agent.published.snapshot.public is not None
        assert agent.public_camera is not None
        frames, heldout, public_frames = (
            torch.from_numpy(recorder.record(ticks).frames).float() / 255
            for recorder, ticks in (
                (agent.recorder, agent.ticks.fit), (agent.recorder, agent.ticks.heldout),
                (agent.public_camera.recorder, agent.ticks.fit),
            )
        )  # fmt: skip
        trained, fresh = consecutive(agent, members)
        pools = agent.published.snapshot.public
        return Subject(trained_agent(agent), frames, heldout, pools, public_frames, trained, fresh)


def config_of(row: Mapping[str, Any], core: int, setup: AgentSetup) -> NegotiationConfig:
    """Return the settings of a row."""
    dims = {"all": 0, "core": core}.get(row["dims"]) if row["dims"] in ("all", "core") else int(row["dims"])
    return replace(setup.negotiation, precision=row["precision"], dims=dims or 0, noise=row["noise"])


def negotiate(
    pools: Mapping[str, AnchorPools],
    pair: Sequence[TrainedAgent],
    config: NegotiationConfig,
    memory_rows: int,
) -> list[tuple[float, float]]:
    """Return (R2 that the target records, R2 of the map on clean private ticks) of both edges of a pair."""
    by_name, sides = {agent.name: agent for agent in pair}, {}
    for number, agent in enumerate(pair):
        info = PeerInfo(agent.name, "0" * 16, "jepa", "0" * 16, agent.model.dim, agent.core_dim, False)
        rng = np.random.default_rng(number)
        sides[agent.name] = Negotiation(info, pools[agent.name], config, rng, memory_rows, KEY)
    negotiate_in_memory(sides)
    found = []
    for source, target in itertools.permutations(sides):
        edge, (a, b) = sides[target].edges[source], (by_name[source], by_name[target])
        if edge.status is Status.ACCEPTED and edge.shared_map is not None and edge.score is not None:
            clean = image_r2(edge.shared_map, a.heldout.core(), b.heldout.core())
            found.append((edge.score.r2_shared, clean))
        else:
            found.append((0.0, 0.0))
    return found


def sent(pool: AnchorSet, checkpoint: str, config: NegotiationConfig) -> Tensor:
    """Return the rows of a pool as peers get them, [K, D]."""
    return in_precision(protect(pool.vectors, pool.ids, checkpoint, config, KEY), config.precision)


def invert_row(
    one: Subject, row: Mapping[str, Any], config: NegotiationConfig, network: InverterConfig
) -> dict[str, Any]:
    """Return how near the attacker comes to the frames and the positions of one agent under one row."""
    agent, count = one.agent, min(row["leaked"], len(one.frames))
    rows, held = _spread(len(one.frames), count), _spread(len(one.heldout_frames), HELD)
    anchors, heldout = (sent(pool, agent.name, config) for pool in (agent.anchors, agent.heldout))
    leaked, seen = (anchors[rows], one.frames[rows]), heldout[held]
    truth = one.heldout_frames[held].double().numpy()
    made, inverter = invert(leaked, seen, network, seed=0)
    mean = np.broadcast_to(one.frames[rows].double().mean(0).numpy(), truth.shape)
    near = nearest_frames(leaked, seen)
    states, expected = agent.states(agent.anchors)[rows], agent.states(agent.heldout)[held]
    found: dict[str, Any] = {"inverter": inverter, "leaked": count}
    for name, frames in (("", made), ("mean_", mean), ("near_", near)):
        found |= {f"{name}psnr": psnr(frames, truth), f"{name}ssim": ssim(frames, truth)}
    return found | {"positions": r2(fit_ridge(leaked[0], states)(seen.double()), expected)}


def measure_rows(
    pairs: Mapping[int, Sequence[Subject]], setup: AgentSetup, network: InverterConfig,
    combinations: Sequence[Mapping[str, Any]] = COMBINATIONS,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return, for each combination of settings, what the attacker finds of an agent a pair, and the edges."""
    memory, rows = setup.negotiation.memory_rows(setup.scene.decorrelation_ticks), []
    for changes in combinations:
        row, cases = PLAIN | dict(changes), []
        log(f"attacking {row}")
        for pair in pairs.values():
            agents = [one.agent for one in pair]
            config = config_of(row, max(agent.core_dim for agent in agents), setup)
            pools = {agent.name: AnchorPools(agent.anchors, agent.heldout) for agent in agents}
            edges = negotiate(pools, agents, config, memory)
            cases.append({"edges": edges} | invert_row(pair[0], row, config, network))
        rows.append(row | summary(cases))
    return rows


def summary(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means over agents of one row, and (mean, low, high) of what the attacker's frames score."""
    scores = [f"{who}{metric}" for who in ("", "mean_", "near_") for metric in ("psnr", "ssim")]
    edges = np.array([case["edges"] for case in cases]).reshape(-1, 2)
    return {
        "inverters": [case["inverter"] for case in cases], "leaked": min(case["leaked"] for case in cases),
        "positions": float(np.mean([case["positions"] for case in cases])),
        "edge_r2": edges[:, 0].mean(), "clean_r2": edges[:, 1].mean(),
    } | {name: estimate([case[name] for case in cases]) for name in scores}  # fmt: skip


def estimate(by_agent: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Return (mean, low, high): the 95 % interval of a bootstrap over agents, and over ticks of each."""
    rng, values = np.random.default_rng(0), [np.array(each) for each in by_agent]
    drawn = [
        np.mean(
            [
                rng.choice(values[k], len(values[k])).mean()
                for k in rng.integers(len(values), size=len(values))
            ]
        )
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(np.mean([each.mean() for each in values])), float(low), float(high)


def measure_public(
    pairs: Mapping[int, Sequence[Subject]], setup: AgentSetup, network: InverterConfig
) -> dict[str, Any]:
    """Return R2 of edges that are fitted on a public scene, there and on private ticks, and what they leak.

    A peer that knows an agent's pose can render the frames of its anchors, so that all of them are pairs to
    fit an inverter on. It is scored on private embeddings, which no message holds, as if they had leaked.
    """
    memory, edges = setup.negotiation.memory_rows(setup.scene.decorrelation_ticks), []
    found: list[dict[str, Any]] = []
    for pair in pairs.values():
        pools = {one.agent.name: one.public for one in pair}
        edges += negotiate(pools, [one.agent for one in pair], setup.negotiation, memory)
        one = pair[0]
        held = _spread(len(one.heldout_frames), HELD)
        leaked = (one.public.anchors.vectors, one.public_frames)
        made, _ = invert(leaked, one.agent.heldout.vectors[held], network, seed=0)
        truth = one.heldout_frames[held].double().numpy()
        found.append({"psnr": psnr(made, truth), "ssim": ssim(made, truth)})
    recorded, private = np.array(edges).mean(0)
    scores = {name: estimate([case[name] for case in found]) for name in ("psnr", "ssim")}
    return {"edge_r2": float(recorded), "clean_r2": float(private)} | scores


def _spread(length: int, count: int) -> Tensor:
    """Return so many rows of a length, evenly spread."""
    return torch.linspace(0, length - 1, min(count, length)).round().long()


def measure_membership(
    pairs: Mapping[int, Sequence[Subject]], setup: AgentSetup, members: int
) -> list[dict[str, Any]]:
    """Return AUC of each attack on what a peer may see, and of its nulls."""
    everyone = [one for pair in pairs.values() for one in pair]

    def noisy(rows: Tensor, seed: int) -> Tensor:
        return rows + 0.3 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(seed))

    shown: dict[str, list[tuple[Tensor, Tensor]]] = {
        "all dimensions": [(one.trained, one.fresh[0]) for one in everyone],
        "core alone": [
            (one.trained[:, : one.agent.core_dim], one.fresh[0, :, : one.agent.core_dim]) for one in everyone
        ],
        "all dimensions, noise 0.3": [
            (noisy(one.trained, number), noisy(one.fresh[0], number + 1))
            for number, one in enumerate(everyone)
        ],
        "null: two stretches that it was not trained on": [(one.fresh[0], one.fresh[1]) for one in everyone],
    }
    overfit = replace(setup, training=replace(setup.training, replay_ticks=members))
    for name, changed, until in (
        (f"all dimensions, replay buffer of {members:,} ticks", overfit, None),
        ("null: an untrained encoder", setup, 0),
    ):
        shown[name] = []
        log(f"membership, {name}")
        for seed in pairs:
            with raised(changed, seed, INDICES[0], until) as agent:
                trained, fresh = consecutive(agent, members)
            shown[name].append((trained, fresh[0]))
    return [
        {"shown": name, "attacks": judge([attack(*each) for each in sides])} for name, sides in shown.items()
    ]


def summarize(document: Mapping[str, Any]) -> list[str]:
    """Return the result as Markdown tables."""
    lines = [
        "| leaked pairs | precision | dimensions | noise | inverter: PSNR, dB | SSIM | nearest: PSNR, dB "
        "| R² of positions | R² of the edge | R² of its map without noise |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        cells = (
            row["leaked"], row["precision"], row["dims"], f"{row['noise']:g}", _interval(row["psnr"], 1),
            _interval(row["ssim"], 2), _interval(row["near_psnr"], 1), f"{row['positions']:.2f}",
            f"{row['edge_r2']:.3f}", f"{row['clean_r2']:.3f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    plain = next(row for row in document["rows"][::-1] if all(row[key] == PLAIN[key] for key in SHIELDS))
    public = document["public"]
    lines += [
        "",
        f"The mean picture scores {plain['mean_psnr'][0]:.1f} dB and {plain['mean_ssim'][0]:.2f}, the frame "
        f"of the nearest leaked embedding {plain['near_psnr'][0]:.1f} dB and {plain['near_ssim'][0]:.2f} "
        f"({plain['leaked']:,} pairs, without protection). Edges that are fitted on frames of a public "
        f"scene, seen from the agents' own poses, have an R² of {public['edge_r2']:.3f} there and of "
        f"{public['clean_r2']:.3f} on private ticks, which no message holds. An inverter that is fitted on "
        "the frames and embeddings of all its anchors, which a peer that knows the pose can render, scores "
        f"{_interval(public['psnr'], 1)} dB and {_interval(public['ssim'], 2)} on private embeddings, if "
        "these leak.",
        "",
        "| what a peer sees of consecutive ticks | prediction error | distance | length | half known |",
        "|---|---|---|---|---|",
    ]
    for row in document["membership"]:
        found = row["attacks"]
        scores = [
            _interval([found[name][key] for key in ("auc", "low", "high")], 2) for name in (*SCORES, KNOWN)
        ]
        lines.append(f"| {' | '.join([row['shown'], *scores])} |")
    return lines


def _interval(values: Sequence[float], digits: int) -> str:
    mean, low, high = (f"{value:.{digits}f}" for value in values)
    return f"{mean} ({low} to {high})"


QUICK = AgentSetup(
    scene=SceneConfig(renderer="toy", frame_size=32, objects=1),
    model=ModelConfig(dim=4, width=8, hidden=32),
    training=TrainingConfig(steps=40, segments=32, replay_ticks=512, core_eval_ticks=256),
    negotiation=NegotiationConfig(pool_ticks=256, anchors=64, heldout=128),
)
QUICK_NETWORK, QUICK_MEMBERS = InverterConfig(steps=20, hidden=32, channels=8), 256


def measure(
    setup: AgentSetup, seeds: Sequence[int], network: InverterConfig, members: int,
    combinations: Sequence[Mapping[str, Any]] = COMBINATIONS,
) -> dict[str, Any]:  # fmt: skip
    """Return the figures of the tables, as values for JSON."""
    pairs: dict[int, list[Subject]] = {}
    for seed, index in itertools.product(seeds, INDICES):
        log(f"training agent {index} of seed {seed}")
        pairs.setdefault(seed, []).append(subject(setup, seed, index, members))
    return {
        "seeds": list(seeds), "members": members,
        "rows": measure_rows(pairs, setup, network, combinations),
        "public": measure_public(pairs, setup, network),
        "membership": measure_membership(pairs, setup, members),
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the agents, attack them, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.privacy", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(RECORDED), help="seeds of the scenes")
    parser.add_argument(
        "--quick", action="store_true", help="small frames and few steps: seconds, no figures"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as one JSON document too")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.quick:
        document = measure(QUICK, options.seeds[:1], QUICK_NETWORK, QUICK_MEMBERS)
    else:
        setup = AgentSetup(scene=SceneConfig(renderer="toy", frame_size=48))
        document = measure(setup, options.seeds, InverterConfig(), MEMBERS)
    print("\n".join(summarize(document)))
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
