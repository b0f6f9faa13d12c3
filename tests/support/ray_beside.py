"""How `pytest -n 3` shares the tests: a file runs in one process, and at first only one starts Ray."""

import functools
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def starts_ray(file: str) -> bool:
    """Whether a file of tests, relative to the repository, has tests that start Ray."""
    return "pytest.mark.ray" in (ROOT / file).read_text(encoding="utf-8")


class RayBeside(LoadScopeScheduling):
    """Schedule files; the first process begins with those that start Ray, all others with the rest.

    A test with Ray mostly waits for processes that start, while other tests compute: one more process than
    there are processors keeps these busy, and those with Ray begin at once because they take longest.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        with_ray = node is self.nodes[0]
        preferred = next((file for file in self.workqueue if starts_ray(file) is with_ray), None)
        if preferred is not None:
            self.workqueue.move_to_end(preferred, last=False)
        super()._assign_work_unit(node)
