"""The benchmarks of a GPU, on the CPU and small: on a GPU they run the same lines."""

import math
import re
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.gpu import common, gpu_agents, gpu_run, gpu_tests, mfu
from benchmarks.harness import BenchmarkError, Effort
from benchmarks.processes import ROOT
from tests.support.command import TINY

ON_CPU = ("agents.device=cpu", *TINY)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_without_a_gpu_every_benchmark_says_so_and_the_exit_status_is_1(no_gpu, capsys):
    assert main(["--gpu", "--json"]) == 1

    said = capsys.readouterr()
    assert said.err.count("failed: there is no GPU here: torch") == 4
    assert '"metrics": []' in said.out


def test_a_device_that_is_named_is_used(no_gpu):
    assert common.wanted_device(["agents.device=cpu"]) == torch.device("cpu")
    assert common.wanted_device(["agents.device=cuda:1"]) == torch.device("cuda:1")
    with pytest.raises(BenchmarkError, match="there is no GPU") as raised:
        common.wanted_device([])

    (remedy,) = re.findall(r"--set agents.device=cpu --size [\d.]+", str(raised.value))
    assert f"`{remedy}`" in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12), ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA L40S", 362e12), ("NVIDIA L4", 121e12),
        ("NVIDIA A10G", 70e12), ("NVIDIA A10", 125e12), ("Tesla T4", 65e12),
        ("NVIDIA H100 NVL", 835e12), ("NVIDIA A100 80GB PCIe", 312e12), ("NVIDIA A100-PCIE-40GB", 312e12),
        ("Tesla V100-SXM2-16GB", 125e12), ("NVIDIA GeForce RTX 4090", 165e12),
    ],
)  # fmt: skip
def test_the_peak_is_that_of_the_whole_name_of_a_gpu(name, peak):
    assert common.peak_flops(name) == peak


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA L40", "NVIDIA RTX A1000", "NVIDIA T400", "NVIDIA T400 4GB", "NVIDIA GH200 480GB",
        "NVIDIA H200 MIG 1g.18gb", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 3090 Ti", "Tesla V100-PCIE-16GB", "NVIDIA A10-24Q",
        "NVIDIA L4S", "NVIDIA", "", "cpu",
    ],
)  # fmt: skip
def test_the_peak_of_a_gpu_whose_name_only_contains_that_of_another_is_unknown(name):
    assert math.isnan(common.peak_flops(name))


def test_a_device_that_is_not_in_the_table_has_no_mfu():
    *_, found = mfu.rows("batch", 384, 1e9, 0.01, "a new GPU")

    assert (found.value, found.reference) == (0.1, "peak unknown")
    assert math.isnan(found.ratio)


def test_mfu_is_the_counted_flops_by_second_over_the_peak():
    frames, step, found = mfu.rows("batch", 384, 98.9e12, 0.5, "NVIDIA H200")

    assert (frames.value, step.value) == (768, 500)
    assert found.ratio == pytest.approx(0.2)


def test_the_flops_of_a_step_grow_as_the_frames_of_its_batch():
    found = mfu.metrics(Effort(size=0.01, settings=ON_CPU))
    once, wide = ({each.name.rpartition(": ")[2]: each for each in half} for half in (found[:3], found[3:]))

    def flops(rows):  # of one step
        return rows["MFU (ratio)"].value * rows["step"].value

    assert flops(wide) == pytest.approx(mfu.WIDE * flops(once), rel=0.02)
    frames = [each["frames trained on"].value * each["step"].value for each in (once, wide)]
    assert frames[1] == pytest.approx(mfu.WIDE * frames[0])


def test_outcomes_are_those_of_the_last_line_of_pytest():
    assert gpu_tests.count_outcomes("1 failed\n4 passed, 1 skipped in 2.00s\n") == {"passed": 4, "skipped": 1}
    assert gpu_tests.count_outcomes("") == {}


def test_every_test_of_a_gpu_is_where_the_benchmark_looks():
    files = [
        path for path in (ROOT / "tests").rglob("test_*.py")
        if "mark.gpu" in path.read_text() and path != Path(__file__)
    ]  # fmt: skip

    found = [{path for path in files if path.is_relative_to(ROOT / name)} for name in gpu_tests.FOLDERS]
    assert all(found)
    assert set().union(*found) == set(files)


def test_tests_of_a_gpu_are_found_and_where_there_is_none_counted_as_skipped():
    passed, duration = gpu_tests.metrics(Effort(settings=ON_CPU))

    assert passed.reference_value >= 5
    assert passed.value == (passed.reference_value if torch.cuda.is_available() else 0)
    assert duration.value < gpu_tests.TIMEOUT


@pytest.mark.ray
@pytest.mark.parametrize("benchmark", [gpu_run, gpu_agents])
def test_whole_runs_are_measured_on_the_device_that_is_named(benchmark):
    measured = benchmark.metrics(Effort(size=0.01, settings=ON_CPU))
    found, on_device = {each.name.rpartition(":")[2]: each for each in measured}, measured[0]

    assert on_device.met
    assert found[" from start to exit"].value > 0
    assert found[" memory of the device"].value == 0
