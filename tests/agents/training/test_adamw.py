import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from agents.training.adamw import AdamW

OPTIONS = {"lr": 0.01, "weight_decay": 0.05, "fused": True}
AGENT = """
import sys
from dataclasses import replace
from pathlib import Path
from agents.agent import Agent
from agents.restoring import restore_agent
from tests.support.swarm import tiny_spec

spec = tiny_spec(0, Path(sys.argv[1]), steps=6, segments=8, replay_ticks=64, core_eval_ticks=64)
agent = Agent(spec)
agent.train()
agent.publish()
again = Agent(spec)
restore_agent(again)
again.train(until=8)
print("torch._dynamo" in sys.modules, again.trainer.step)
"""


def train(optimizer_class, steps, state=None):
    """Return the weights and the state of an optimizer after some steps with a rate that changes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3))
    groups = [
        {"params": list(model[0].parameters()), "lr_multiplier": 0.3},
        {"params": list(model[2].parameters())},
    ]
    optimizer = optimizer_class(groups, **OPTIONS)
    if state is not None:
        optimizer.load_state_dict(copy.deepcopy(state))  # else steps would change the given one
    data = torch.randn(steps, 11, 5)
    for step, batch in enumerate(data):
        optimizer.param_groups[0]["lr"] = 0.01 / (1 + step)
        optimizer.zero_grad(set_to_none=True)
        model(batch).square().mean().backward()
        optimizer.step()
    return torch.cat([each.detach().flatten() for each in model.parameters()]), optimizer.state_dict()


@pytest.mark.parametrize("steps", [1, 2, 30])
def test_weights_and_state_are_those_of_torch_to_the_last_bit(steps):
    expected, expected_state = train(torch.optim.AdamW, steps)
    found, state = train(AdamW, steps)

    assert torch.equal(found, expected)
    assert state["param_groups"] == expected_state["param_groups"]
    for index, values in expected_state["state"].items():
        assert all(torch.equal(state["state"][index][name], value) for name, value in values.items())


def test_a_state_of_torch_goes_on_as_in_torch():
    _, state = train(torch.optim.AdamW, 5)

    assert torch.equal(train(AdamW, 4, state)[0], train(torch.optim.AdamW, 4, state)[0])


def test_hooks_of_a_step_are_called_as_by_torch():
    model, calls = nn.Linear(2, 2), []
    optimizer = AdamW(model.parameters(), **OPTIONS)
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()

    assert calls == [1]


def test_an_agent_trains_publishes_and_resumes_without_loading_the_compiler(tmp_path):
    done = subprocess.run([sys.executable, "-c", AGENT, str(tmp_path)], capture_output=True, text=True)

    assert done.stdout == "False 8\n", done.stderr
