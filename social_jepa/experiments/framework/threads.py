"""One thread of torch for whatever is to come out the same to the bit."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch, where it is loaded, compute on one thread; the caller then has its own threads again.

    Sums keep one order on every machine so, and parts that run side by side do not crowd each other out.
    """
    torch = sys.modules.get("torch")
    if torch is None:  # an experiment that does without it need not load it
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
