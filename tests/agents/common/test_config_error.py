import pickle

import pytest

from agents.common.config_error import ConfigError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigError("at least 1", "steps", 0), "steps=0: at least 1"),
        (ConfigError("no such setting", "stepps", suggestion="did you mean steps?"),
         "stepps: no such setting; did you mean steps?"),
        (ConfigError("there is no settings file x.toml"), "there is no settings file x.toml"),
        (ConfigError("choose a kind", "kind", None), "kind=None: choose a kind"),
    ],
)  # fmt: skip
def test_the_message_is_made_of_the_fields(error, text):
    assert str(error) == text
    assert str(pickle.loads(pickle.dumps(error))) == text


def test_a_group_puts_its_name_before_the_setting():
    error = ConfigError("at least 1", "steps", 0, "raise it").within("training").within("run")

    assert (error.setting, error.value, error.reason) == ("run.training.steps", 0, "at least 1")
    assert str(error) == "run.training.steps=0: at least 1; raise it"
    assert ConfigError("no").within("training").setting == "training"
