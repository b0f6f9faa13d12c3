from agents.common.ray_environment import RAY_SETTINGS

import os
import subprocess
import sys

import pytest

WHAT_RAY_READ = """
import ray
from ray._private import auto_init_hook, ray_constants
print(ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV, auto_init_hook.enable_auto_connect)
"""


def run_fresh(code, **variables):
    """Run code in a process that inherits none of Ray's variables; return its output."""
    environ = {name: value for name, value in os.environ.items() if name not in RAY_SETTINGS} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "first",
    [
        "from social_jepa import Simulation",
        "import agents.actor",
        "import social_jepa.runtime.supervisor",
        "from social_jepa.server.ray_serve import serve_on_ray",
    ],
)
def test_ray_is_imported_after_its_variables_are_set(first):
    assert run_fresh(f"{first}\n{WHAT_RAY_READ}") == "False False"


def test_a_variable_that_the_user_has_set_stays():
    code = "import agents.common.ray_environment, os; print(os.environ['RAY_AUTH_MODE'])"

    assert run_fresh(code, RAY_AUTH_MODE="token") == "token"


LATE = """
import ray
from social_jepa.runtime import cluster
try:
    cluster.connect("127.0.0.1:9")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_ray_imported_too_early_under_uv_run_is_refused_before_it_uploads_the_folder():
    text = run_fresh(LATE, UV_RUN_RECURSION_DEPTH="1")

    assert text.startswith("RayImportedFirstError")
    assert "export RAY_ENABLE_UV_RUN_RUNTIME_ENV=0" in text


@pytest.mark.parametrize(
    "variables", [{}, {"UV_RUN_RECURSION_DEPTH": "1", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}]
)
def test_ray_imported_early_is_no_matter_otherwise(variables):
    assert run_fresh(LATE, **variables).startswith("AddressError")
