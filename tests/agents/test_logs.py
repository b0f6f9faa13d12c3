import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.logs import BACKUPS, MAX_LOG_BYTES, PACKAGES, log_to_file


@pytest.fixture
def log_file(tmp_path):
    """A log file in a folder that does not exist yet; its handler is removed at the end of the test."""
    loggers = [logging.getLogger(name) for name in PACKAGES]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    path = tmp_path / "logs" / "agent-0.log"
    log_to_file(path)
    yield path
    for logger, level, handlers in before:
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)


@pytest.mark.parametrize("name", ["agents.runner", "alignment.fit", "env.scene"])
def test_a_record_of_the_agents_packages_is_written_with_its_utc_time(log_file, name):
    logging.getLogger(name).info("published checkpoint %s", "c0de")
    logging.getLogger(name).debug("not written")
    logging.getLogger("social_jepa").warning("not written either")

    (line,) = log_file.read_text().splitlines()
    time, rest = line.split(" ", 1)
    assert rest == f"INFO {name}: published checkpoint c0de"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(time)) < timedelta(minutes=1)


def test_a_traceback_is_written(log_file):
    try:
        raise RuntimeError("the disk is full")
    except RuntimeError:
        logging.getLogger("agents.runner").exception("the runner of agent-0 failed")

    text = log_file.read_text()
    assert "ERROR agents.runner: the runner of agent-0 failed\nTraceback" in text
    assert text.endswith("RuntimeError: the disk is full\n")


def test_a_second_call_with_the_same_path_writes_no_record_twice(log_file):
    log_to_file(str(log_file))
    logging.getLogger("agents").info("once")

    assert log_file.read_text().count("once") == 1


def test_the_file_rotates_at_one_megabyte_and_three_older_files_are_kept(log_file):
    for number in range(11 * MAX_LOG_BYTES // 2 // 100_000):
        logging.getLogger("agents").info("%d%s", number, "x" * 100_000)

    files = sorted(Path(log_file.parent).iterdir())
    assert [file.name for file in files] == ["agent-0.log", *(f"agent-0.log.{k}" for k in (1, 2, 3))]
    assert BACKUPS == 3
    assert all(file.stat().st_size <= MAX_LOG_BYTES for file in files)
