"""Recorded metrics that must stay equal to the last digit when modules and names change.

The recordings keep the names under which they were made. Weights are compared by digests of their tensors,
since the hash of a checkpoint file also depends on the names in it.
"""

import hashlib
import json
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

import torch

from agents.agent import Agent
from agents.distillation import distill_agent, distill_targets
from agents.drift import measure_drift
from agents.models.settings import EncoderConfig, ModelConfig, PJepaConfig, SeqJepaConfig
from agents.training.settings import DistillationConfig
from tests.support.runners import MOVED_POSE, uninterrupted_losses
from tests.support.swarm import connect_protocols, publish_all, tiny_spec

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ENCODER = EncoderConfig(dim=8, width=8, hidden=32, precision="fp32")
MODEL = ModelConfig(
    dim=6,
    width=8,
    hidden=32,
    precision="fp32",
    seq_jepa=SeqJepaConfig(
        encoder=ENCODER,
        action_dim=4,
        heads=2,
        views=3,
        predictor_hidden=32,
        covariance=0.0,
        temporal_weight=0.0,
    ),
    p_jepa=PJepaConfig(
        encoder=ENCODER, transition_hidden=32, head_hidden=32, controlled_objects=1, random_target_dim=16
    ),
)
KINDS = {
    "jepa": ("jepa", MODEL),
    "vicreg": ("jepa", replace(MODEL, objective="vicreg")),
    "sigreg": ("jepa", replace(MODEL, objective="sigreg")),
    "log_det": ("jepa", replace(MODEL, objective="log_det")),
    "ema": ("jepa", replace(MODEL, objective="ema")),
    "seq_jepa": ("seq_jepa", MODEL),
    "seq_jepa_in_time": (
        "seq_jepa",
        replace(
            MODEL,
            seq_jepa=replace(
                MODEL.seq_jepa,
                encoder=replace(ENCODER, batch_norm=True),
                covariance=0.02,
                temporal_weight=1.0,
                readout_dim=6,
            ),
        ),
    ),
    "p_jepa": ("p_jepa", MODEL),
    "p_jepa_positions": ("p_jepa", replace(MODEL, p_jepa=replace(MODEL.p_jepa, task="positions"))),
    "custom": ("custom_world_model:MlpWorldModel", MODEL),
}


def machine() -> str:
    """A digest of what the last digits depend on: processor and torch version."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    facts = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return digest("\n".join([*facts, platform.machine(), torch.__version__]).encode())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def of_tensors(tensors) -> str:
    """A digest of tensors, independent of their names and order."""
    return digest("".join(sorted(digest(part.contiguous().numpy().tobytes()) for part in tensors)).encode())


def of_weights(model: torch.nn.Module) -> str:
    return of_tensors(model.state_dict().values())


def of_agent(agent: Agent) -> dict[str, object]:
    """Metrics of a trained agent."""
    snapshot, training = agent.published.snapshot, agent.spec.training
    batch = training.segments * training.segment_ticks
    return {
        "weights": of_weights(agent.model),
        "published_weights": of_weights(agent.published.model),
        "losses": list(snapshot.losses),
        "core_dim": snapshot.peer_info.core_dim,
        "collapsed": snapshot.peer_info.collapsed,
        "spectrum": snapshot.spectrum.tolist(),
        "explained": snapshot.explained.tolist(),
        "effective_rank": snapshot.effective_rank,
        "anchors": of_tensors([snapshot.pools.anchors.vectors]),
        "heldout": of_tensors([snapshot.pools.heldout.vectors]),
        "frames": snapshot.progress.frames - snapshot.stage_steps * batch,  # of the first encoder
    }


def of_edge(edge) -> dict[str, object]:
    """Metrics of an edge."""
    score = edge.score
    return {
        "status": str(edge.status),
        "cores": list(edge.core_dims),
        "anchors": edge.anchors,
        "heldout": edge.heldout,
        "maps": of_tensors([
            part
            for found in (edge.map, edge.shared_map, edge.regression_map)
            if found
            for part in (found.weight, found.bias)
        ]),
        "score": None if score is None else [
            score.r2, score.r2_shared, score.shared_dim, score.null_correlation, score.latent_shared_dim,
            score.latent_null_correlation, score.kappa, score.isometry_deviation, score.retrieval_at_1,
            score.cka, score.mutual_knn, list(score.correlations), list(score.latent_correlations),
        ],
        "budget": [[row["pairs"], row["method"], row["r2"]] for row in edge.budget],
    }  # fmt: skip


def of_kind(name: str, folder: Path) -> dict[str, object]:
    """Metrics of two agents of one kind and both edges between them."""
    kind, model = KINDS[name]
    agents = {}
    for index in range(2):
        agent = Agent(replace(tiny_spec(index, folder / name), kind=kind, model=model))
        agent.train()
        agent.publish()
        agents[agent.spec.name] = agent
    protocols, transport = connect_protocols(agents)
    publish_all(protocols, {name: agent.negotiation for name, agent in agents.items()})
    transport.run()
    return {
        "agents": {name: of_agent(agent) for name, agent in agents.items()},
        "edges": {
            f"{source}>{target}": of_edge(agents[target].negotiation.edges[source])
            for source, target in (("agent-0", "agent-1"), ("agent-1", "agent-0"))
        },
    }


def of_life(folder: Path) -> dict[str, object]:
    """Metrics of online training, of a camera move, and of distillation."""
    moved = Agent(replace(tiny_spec(0, folder / "moved"), online=True))
    moved.train()
    moved.publish()
    drift = measure_drift(moved)
    moved.train(until=moved.trainer.step + 10)
    later = measure_drift(moved)
    first, embeddings = distill_targets(moved, 256)
    moved.move(MOVED_POSE, 1)
    moved.train()
    moved.publish()
    distillation = DistillationConfig(ticks=256, steps=6, batch=64)
    student = Agent(replace(tiny_spec(1, folder / "taught"), distillation=distillation))
    distill_agent(student, first, embeddings, lambda: False)
    student.publish()
    return {
        "losses": uninterrupted_losses(folder / "living"),
        "drift": [drift, later],
        "lesson": of_tensors([embeddings]),
        "moved": of_agent(moved),
        "taught": of_agent(student),
    }


def of_run(folder: Path) -> dict[str, object]:
    """Metrics of a run folder, by the names that they had when they were recorded."""
    from safetensors import safe_open

    document = json.loads((folder / "graph.json").read_text())

    def stored(path: Path, prefix: str = "") -> str:
        with safe_open(path, framework="pt") as file:
            return of_tensors([file.get_tensor(name) for name in file.keys() if name.startswith(prefix)])  # noqa: SIM118

    names = [agent["name"] for agent in document["agents"]]
    checkpoints = {name: folder / "agents" / name / "checkpoint.safetensors" for name in names}
    agent_keys = ("kind", "pose", "dim", "core_dim", "probe_r2", "collapsed", "effective_rank",
                  "autocorrelation", "explained", "noise", "steps", "frames", "loss")  # fmt: skip
    edge_keys = ("source", "target", "status", "reason", "r2", "r2_shared", "shared_dim", "correlations",
                 "null_correlation", "latent_shared_dim", "latent_correlations", "kappa",
                 "isometry_deviation", "retrieval_at_1", "cka", "mutual_knn",
                 "anchors", "heldout", "method", "round", "core_dims", "budget")  # fmt: skip
    renamed = {"loss": "losses"}
    return {
        "agents": [{key: agent[renamed.get(key, key)] for key in agent_keys} for agent in document["agents"]],
        "edges": [{key: edge[renamed.get(key, key)] for key in edge_keys} for edge in document["edges"]],
        "cycles": document["cycles"],
        "universe": document["universe"],
        "budget": document["budget"],
        "maps": stored(folder / "maps.safetensors"),
        "weights": {name: stored(checkpoints[name], "model.") for name in names},
        "optimizers": {name: stored(checkpoints[name], "optimi") for name in names},
        "anchors": {name: stored(folder / "agents" / name / "anchors.safetensors") for name in names},
    }


# What is chance on another type of CPU: what a regression explains of axes that are noise, whether the last
# of all dimensions is shared, and maps from fewer pairs than dimensions; in models of 40 steps also which
# axes are found, and all that depends on them.
CHANCE = {"explained", "budget", "latent_shared_dim", "latent_correlations"}
CHANCE_IN_TINY_MODELS = CHANCE | {"spectrum", "core_dim", "cores", "status", "score"}


def compare(found, recorded, exact: bool, chance=CHANCE, where: str = "") -> list[str]:
    """Return the differences of two trees of metrics; on another machine roughly and without digests.

    Args:
        found: Metrics of this version.
        recorded: Metrics of the version that was recorded.
        exact: Whether the machine is of the type that recorded them.
        chance: Metrics that are not compared on another machine.
        where: Path of both trees, for the differences.
    """
    if isinstance(recorded, dict):
        if found.keys() != recorded.keys():
            return [f"{where}: {sorted(found.keys() ^ recorded.keys())}"]
        keys = [key for key in recorded if exact or key not in chance]
        pairs = [(f"{where}/{key}", found[key], recorded[key]) for key in keys]
        return [line for name, ours, theirs in pairs for line in compare(ours, theirs, exact, chance, name)]
    if isinstance(recorded, list):
        if len(found) != len(recorded):
            return [f"{where}: {len(found)} of {len(recorded)}"]
        return [
            line for k, (a, b) in enumerate(zip(found, recorded, strict=True))
            for line in compare(a, b, exact, chance, f"{where}/{k}")
        ]  # fmt: skip
    if exact or isinstance(recorded, int | bool):
        return [] if found == recorded else [f"{where}: {found!r}, recorded {recorded!r}"]
    if isinstance(recorded, float):
        near = abs(found - recorded) <= 0.2 * max(1.0, abs(recorded))
        return [] if near else [f"{where}: {found!r}, recorded {recorded!r}"]
    return []


def plain(metrics):
    """Metrics after a round trip through JSON."""
    return json.loads(json.dumps(metrics))


def record(folder: Path) -> None:
    """Write the recordings again: only from a tree that is known to be right."""
    torch.set_num_threads(1)
    metrics = {name: of_kind(name, folder) for name in KINDS} | {"life": of_life(folder)}
    GOLDEN.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), **metrics})
    (GOLDEN / "agents.json").write_text(text + "\n")


def record_run(folder: Path) -> None:
    """Write the recording of the default run from its folder."""
    text = json.dumps({"machine": machine(), **of_run(folder)})
    (GOLDEN / "default_run.json").write_text(text + "\n")


if __name__ == "__main__":
    sys.path.insert(0, "examples")
    os.environ.setdefault("LP_NUM_THREADS", "0")
    (record_run if sys.argv[1] == "run" else record)(Path(sys.argv[2]))
