"""What may be asked for: names, settings, and the folder that results go to."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from social_jepa.experiments.framework.experiment import Experiment
from social_jepa.experiments.framework.registry import EXPERIMENTS, build_settings, load
from social_jepa.experiments.framework.runs import plan_run
from social_jepa.experiments.framework.tasks import slug

TINY = "tests.support.tiny_experiment:EXPERIMENT"


HOSTILE = {
    "an unknown key": ("sampels=3", "sampels: no such setting; did you mean samples?"),
    "an unknown nested key": ("noise.spred=3", "did you mean noise.spread?"),
    "nothing like it": ("zzz=3", "choose one of samples, sizes"),
    "a word for a number": ("samples=many", "samples='many'"),
    "a fraction for a count": ("samples=1.5", "samples=1.5"),
    "a truth for a count": ("samples=true", "samples=True"),
    "a group for a number": ("samples.x=1", "samples="),
    "a number for a group": ("noise=1", "noise: a group"),
    "no number": ("slow=nan", "slow=nan: a finite number is needed"),
    "no end": ("noise.spread=inf", "noise.spread=inf: a finite number is needed"),
    "a refused value": ("samples=0", "at least 1 is needed"),
    "no value": ("samples", "key=value"),
    "no key": ("=3", "key=value"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_override_is_refused_with_a_sentence(case):
    text, sentence = HOSTILE[case]

    with pytest.raises(ValueError, match="experiment tiny: ") as caught:
        build_settings(load(TINY), False, [text])

    assert sentence in str(caught.value)


def test_overrides_lie_over_the_quick_settings_and_those_over_the_defaults():
    experiment = load(TINY)

    settings = build_settings(experiment, True, ["noise.spread=2", "sizes=[5, 6]", "label=3"])

    assert (settings.samples, settings.noise.spread, settings.sizes, settings.label) == (20, 2.0, (5, 6), "3")
    assert asdict(build_settings(experiment, False, [])) == asdict(experiment.settings())


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ({}, "evidence/tiny"),
        ({"seeds": 5}, "evidence/tiny"),
        ({"seeds": 2}, "runs/own-evidence/tiny"),
        ({"overrides": ["samples=3"]}, "runs/own-evidence/tiny"),
        ({"quick": True}, "runs/quick-evidence/tiny"),
        ({"quick": True, "out": Path("x")}, "x/tiny"),
    ],
)
def test_only_the_full_run_as_defined_goes_where_the_evidence_is(options, folder):
    assert plan_run(TINY, **options).folder == Path(folder)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("countin", "did you mean counting?"),
        ("path_integration", "did you mean path-integration?"),
        ("zzz", "there are isometry, theory, viewpoint, probe-porting"),
        ("no_such_module:EXPERIMENT", "importing no_such_module failed"),
        ("tests.support.tiny_experiment:Settings", "defines no Experiment called Settings"),
        ("../evil:x", "there is no experiment"),
    ],
)
def test_an_unknown_experiment_is_refused_with_the_nearest_name(name, sentence):
    with pytest.raises(ValueError, match="experiment") as caught:
        load(name)

    assert sentence in str(caught.value)


def test_a_name_that_would_leave_the_folder_is_refused(monkeypatch):
    from tests.support import tiny_experiment as tiny

    monkeypatch.setattr(tiny, "EXPERIMENT", replace(tiny.EXPERIMENT, name="../out"))

    with pytest.raises(ValueError, match="small words joined by hyphens"):
        plan_run(TINY)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_of_the_catalogue_is_complete(name):
    experiment = load(name)

    assert isinstance(experiment, Experiment)
    assert experiment.name == name
    assert experiment.question.endswith("?")
    for quick in (False, True):
        parts = list(experiment.conditions(build_settings(experiment, quick, [])))
        assert len(set(parts)) == len(parts) > 0
    assert len({slug(part) for part in parts}) == len(parts)
