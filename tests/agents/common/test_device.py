import pytest
import torch

from agents.common.config_error import ConfigError
from agents.common.device import check_device, select_device


@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_every_machine_has_a_cpu(wanted):
    check_device(wanted)


@pytest.mark.parametrize(("gpus", "wanted"), [(0, "cuda"), (0, "cuda:0"), (2, "cuda:2"), (2, "mps")])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch, gpus, wanted):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    with pytest.raises(ConfigError, match=f"agents.device='{wanted}': torch has cpu.* choose one") as error:
        check_device(wanted)
    assert ("cuda:1" in str(error.value)) == (gpus == 2)


@pytest.mark.parametrize("wanted", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_there_passes(monkeypatch, wanted):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)

    check_device(wanted)


@pytest.mark.parametrize(("has_gpu", "device"), [(False, "cpu"), (True, "cuda:0")])
def test_auto_is_the_first_gpu_of_the_process_or_its_cpu(has_gpu, device):
    assert select_device("auto", has_gpu) == device


@pytest.mark.parametrize("has_gpu", [False, True])
def test_a_device_that_is_named_is_used_or_refused(monkeypatch, has_gpu):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    assert [select_device(wanted, has_gpu) for wanted in ("cpu", "cuda:1")] == ["cpu", "cuda:1"]
    with pytest.raises(ConfigError, match="choose one"):
        select_device("cuda:2", has_gpu)
