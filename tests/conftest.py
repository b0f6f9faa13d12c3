"""What all tests share: a home folder of their own, and one small Ray for those that ask for it."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# Set at import, not in a fixture: Ray reads them when it is imported, which may be while tests are collected,
# and the worker processes inherit them.
os.environ["HOME"] = tempfile.mkdtemp(prefix="social-jepa-home-")
atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
os.environ["RAY_AUTH_MODE"] = "disabled"  # unset, a local Ray writes a token into the home folder
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # under uv, Ray would build an environment for each worker
os.environ.pop("RAY_ADDRESS", None)  # tests never join somebody's cluster
os.environ["PYGLET_HEADLESS"] = "True"
os.environ["LP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

# The models of the tests are so small that a second thread costs more than it computes, and sums in one
# order make their figures equal on every machine size.
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """A Ray on this machine, with two CPUs and the smallest object store that works."""
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=0,
        object_store_memory=80_000_000,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}},
    )
    yield
    ray.shutdown()
