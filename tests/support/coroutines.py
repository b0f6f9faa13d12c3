"""Coroutines in tests, in whose main thread Playwright may keep an event loop running."""

import asyncio
from concurrent.futures import ThreadPoolExecutor


def run_coroutine(coroutine):
    """Run a coroutine to its end on the event loop of a thread of its own, and return its result."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, coroutine).result()
