"""Options that a command would ignore beside others are refused: who gives them expects an effect."""

from collections.abc import Mapping

from social_jepa.cli.options import CommandError


def refuse_unused(why: str, given: Mapping[str, object]) -> None:
    """Raise CommandError if options are given that have no effect.

    Args:
        why: What the command does instead.
        given: Value of each option; an empty one, False or None is not given.
    """
    unused = [option for option, value in given.items() if value not in (None, False, "", [], ())]
    if unused:
        raise CommandError(f"{why}: leave out {' and '.join(unused)}")
