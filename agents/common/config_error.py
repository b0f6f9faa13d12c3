"""The error of a setting that cannot work, shared by all groups of settings."""

from typing import Any


class ConfigError(ValueError):
    """A setting that cannot work.

    A group of settings names its own field ("steps"); `within` adds the group ("training.steps") where the
    settings are built from nested values.

    Attributes:
        reason: What is wrong, without the setting's name.
        setting: Dotted name; empty when the error concerns a file or no setting in particular.
        value: Value that was given; Ellipsis when there is none to show.
        suggestion: What to write instead; empty when the reason says so already.
    """

    def __init__(self, reason: str, setting: str = "", value: Any = ..., suggestion: str = "") -> None:
        super().__init__(reason, setting, value, suggestion)  # all of them, so that the error can be pickled
        self.reason, self.setting, self.value, self.suggestion = reason, setting, value, suggestion

    def __str__(self) -> str:
        subject = self.setting if self.value is ... else f"{self.setting}={self.value!r}"
        text = f"{subject}: {self.reason}" if subject else self.reason
        return f"{text}; {self.suggestion}" if self.suggestion else text

    def within(self, group: str) -> "ConfigError":
        """Return the same error, its setting named from outside the group ("training", for example)."""
        setting = f"{group}.{self.setting}" if self.setting else group
        return type(self)(self.reason, setting, self.value, self.suggestion)
