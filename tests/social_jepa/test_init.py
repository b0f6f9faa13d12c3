import subprocess
import sys

import pytest

import social_jepa


def test_importing_the_package_loads_nothing_but_itself_and_the_standard_library():
    code = "import sys; before = {*sys.modules}; import social_jepa; print(*({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()

    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"social_jepa"}
    assert len([name for name in loaded if name.startswith("social_jepa")]) == 1
    assert len(loaded) < 60


def test_opening_a_run_draws_and_converts_nothing_before_it_is_asked_to():
    code = "import sys; from social_jepa import Simulation, open; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"matplotlib", "pandas", "ray", "miniworld", "IPython"} & set(done.stdout.split())


def test_completion_offers_the_public_names_alone():
    offered = {name for name in dir(social_jepa) if not name.startswith("__")}

    assert offered == {name for name in social_jepa.__all__ if not name.startswith("__")}


@pytest.mark.parametrize("name", social_jepa.__all__)
def test_every_public_name_can_be_imported(name):
    assert name in dir(social_jepa)
    assert getattr(social_jepa, name) is not None


def test_the_public_names_are_those_of_their_modules():
    from social_jepa import load_config
    from social_jepa.config import run_config

    assert load_config is run_config.load_config


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'social_jepa' has no attribute 'simulate'"):
        _ = social_jepa.simulate
