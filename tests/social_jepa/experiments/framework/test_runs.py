"""Names, settings and folders of planned runs."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from social_jepa.experiments.framework.experiment import Experiment
from social_jepa.experiments.framework.registry import EXPERIMENTS, build_settings, load
from social_jepa.experiments.framework.runs import plan_run
from social_jepa.experiments.framework.tasks import file_stem

TINY = "tests.support.tiny_experiment:EXPERIMENT"


INVALID = {
    "an unknown key": ("sampels=3", "sampels: no such setting; did you mean samples?"),
    "an unknown nested key": ("noise.scal=3", "did you mean noise.scale?"),
    "nothing similar": ("zzz=3", "choose one of samples, sizes"),
    "a word for a number": ("samples=many", "samples='many'"),
    "a fraction for a count": ("samples=1.5", "samples=1.5"),
    "a boolean for a count": ("samples=true", "samples=True"),
    "a group for a number": ("samples.x=1", "samples="),
    "a number for a group": ("noise=1", "noise: a group"),
    "not a number": ("slow=nan", "slow=nan: a finite number is needed"),
    "infinity": ("noise.scale=inf", "noise.scale=inf: a finite number is needed"),
    "a value out of range": ("samples=0", "at least 1 is needed"),
    "no value": ("samples", "key=value"),
    "no key": ("=3", "key=value"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_override_is_rejected_with_a_sentence(case):
    text, sentence = INVALID[case]

    with pytest.raises(ValueError, match="experiment tiny: ") as caught:
        build_settings(load(TINY), False, [text])

    assert sentence in str(caught.value)


def test_overrides_take_precedence_over_quick_settings_and_those_over_defaults():
    experiment = load(TINY)

    settings = build_settings(experiment, True, ["noise.scale=2", "sizes=[5, 6]", "label=3"])

    assert (settings.samples, settings.noise.scale, settings.sizes, settings.label) == (20, 2.0, (5, 6), "3")
    assert asdict(build_settings(experiment, False, [])) == asdict(experiment.settings())


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ({}, "evidence/tiny"),
        ({"seeds": 5}, "evidence/tiny"),
        ({"seeds": 2}, "runs/custom-evidence/tiny"),
        ({"overrides": ["samples=3"]}, "runs/custom-evidence/tiny"),
        ({"quick": True}, "runs/quick-evidence/tiny"),
        ({"quick": True, "out": Path("x")}, "x/tiny"),
    ],
)
def test_only_the_full_run_with_default_settings_is_written_to_evidence(options, folder):
    assert plan_run(TINY, **options).folder == Path(folder)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("countin", "did you mean counting?"),
        ("path_integration", "did you mean path-integration?"),
        ("zzz", "there are isometry, native-isometry, time-or-jepa, theory"),
        ("no_such_module:EXPERIMENT", "importing no_such_module failed"),
        ("tests.support.tiny_experiment:Settings", "defines no Experiment called Settings"),
        ("../evil:x", "there is no experiment"),
    ],
)
def test_an_unknown_experiment_is_rejected_with_the_closest_name(name, sentence):
    with pytest.raises(ValueError, match="experiment") as caught:
        load(name)

    assert sentence in str(caught.value)


def test_an_experiment_name_that_would_leave_the_folder_is_rejected(monkeypatch):
    from tests.support import tiny_experiment as tiny

    monkeypatch.setattr(tiny, "EXPERIMENT", replace(tiny.EXPERIMENT, name="../out"))

    with pytest.raises(ValueError, match="lowercase words joined by hyphens"):
        plan_run(TINY)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_of_the_registry_is_complete(name):
    experiment = load(name)

    assert isinstance(experiment, Experiment)
    assert experiment.name == name
    assert experiment.question.endswith("?")
    for quick in (False, True):
        conditions = list(experiment.conditions(build_settings(experiment, quick, [])))
        assert len(set(conditions)) == len(conditions) > 0
    assert len({file_stem(condition) for condition in conditions}) == len(conditions)


def test_the_command_that_repeats_a_run_names_its_folder_and_is_quoted():
    elsewhere = plan_run(TINY, ["samples=30"], out=Path("my results"))

    assert elsewhere.command_here == f"social-jepa experiment {TINY} --out 'my results' --seeds 3 samples=30"
    assert elsewhere.command == f"social-jepa experiment {TINY} --seeds 3 samples=30"
    assert plan_run(TINY).command == plan_run(TINY).command_here == f"social-jepa experiment {TINY} --seeds 3"
    assert plan_run(TINY, quick=True).command == f"social-jepa experiment {TINY} --seeds 1 --quick"


def test_an_experiment_may_have_seeds_of_its_own_which_a_quick_run_leaves_alone(monkeypatch):
    from tests.support import tiny_experiment as tiny

    monkeypatch.setattr(tiny, "EXPERIMENT", replace(tiny.EXPERIMENT, seeds=range(2000, 2005)))

    assert plan_run(TINY).seeds == (2000, 2001, 2002, 2003, 2004)
    assert plan_run(TINY, seeds=2).seeds == (2000, 2001)
    assert plan_run(TINY, quick=True).seeds == (0,)
    assert plan_run(TINY).folder.as_posix() == "evidence/tiny"
    assert plan_run(TINY, seeds=4).folder.as_posix() == "runs/custom-evidence/tiny"
    assert plan_run(TINY).command == f"social-jepa experiment {TINY} --seeds 5"
