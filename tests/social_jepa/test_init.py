import subprocess
import sys

import pytest

import social_jepa


def test_importing_the_package_loads_neither_torch_nor_ray():
    code = "import sys, social_jepa; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"torch", "ray", "numpy", "rich"} & set(done.stdout.split())


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
