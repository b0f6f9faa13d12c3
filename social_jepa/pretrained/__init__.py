"""Runs that come with the package, so that graph, query, report and page can be tried without training."""

from typing import Literal

SceneName = Literal["toy", "miniworld"]  # one packed run of each renderer
