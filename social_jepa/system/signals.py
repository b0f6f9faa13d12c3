"""Signals that ask a command to end: each raises an exception, so that what the command started is ended."""

import signal
from types import FrameType

ENDING = ("SIGTERM", "SIGHUP")  # besides SIGINT, for which Python does so itself


class SignalInterrupt(KeyboardInterrupt):
    """A signal asked this process to end, as Ctrl-C does.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def raise_on_signals() -> None:
    """Have the signals `ENDING` raise SignalInterrupt; one that is ignored (nohup) stays ignored."""
    for name in ENDING:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise SignalInterrupt(number)


def signal_of(error: KeyboardInterrupt) -> int:
    """Return the number of the signal that an exception stands for."""
    return error.number if isinstance(error, SignalInterrupt) else int(signal.SIGINT)
