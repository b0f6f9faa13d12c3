"""Number of threads of a task: one, so that results do not depend on the number of CPUs."""

import contextlib
import sys
from collections.abc import Iterator

# Read by numerical libraries when they are imported.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch, if it is loaded, to one thread within this context.

    Sums then have one order on every machine, and tasks that run at the same time do not compete for CPUs.
    """
    torch = sys.modules.get("torch")
    if torch is None:  # not every experiment loads it
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
