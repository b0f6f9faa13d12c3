import numpy as np
import torch
from torch import nn

from agents.common.streams import NonceStream, Stream, seeded, stream_seed


def test_every_stream_has_a_number_of_its_own_that_never_changes():
    assert {stream.name: int(stream) for stream in Stream} == {
        "WEIGHTS": 0,
        "BATCHES": 1,
        "NONCES": 2,
        "CALIBRATION": 3,
        "DISTILLATION": 4,
        "VIEWS": 5,
        "MODEL_CHECK": 6,
        "STAGES": 7,
    }
    assert {stream.name: int(stream) for stream in NonceStream} == {"OFFER": 0, "REQUEST": 1, "BUDGET": 2}
    assert len(Stream.__members__) == len({int(stream) for stream in Stream.__members__.values()})


def test_two_streams_of_one_agent_draw_different_numbers():
    drawn = {np.random.default_rng(stream_seed(3, 1, stream)).integers(2**62) for stream in Stream}

    assert len(drawn) == len(Stream)


def test_a_stream_equals_the_generator_of_its_plain_numbers():
    named = np.random.default_rng(stream_seed(3, 1, Stream.BATCHES, 2)).random(4)

    assert (named == np.random.default_rng([3, 1, 1, 2]).random(4)).all()


def test_seeded_weights_follow_from_the_seed_and_leave_torch_s_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second, other = (seeded(seed, lambda: nn.Linear(3, 2)) for seed in ((1, 2), [1, 2], (1, 3)))

    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, other.weight)
