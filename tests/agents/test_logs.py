import logging
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.logs import BACKUPS, MAX_LOG_BYTES, PACKAGES, file_handler, log_to_file


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


def test_a_record_that_cannot_be_written_is_dropped_and_reported_once(tmp_path, capsys):
    blocked = tmp_path / "logs"
    blocked.write_text("a file where the folder should be")
    handler = file_handler(blocked / "agent-0.log")

    for number in range(3):
        handler.handle(logging.makeLogRecord({"msg": f"lost {number}"}))
    blocked.unlink()
    handler.handle(logging.makeLogRecord({"msg": "kept"}))
    handler.close()

    assert capsys.readouterr().err.count("cannot write the log") == 1
    assert (blocked / "agent-0.log").read_text().endswith("kept\n")


def test_a_name_that_is_no_unicode_can_be_logged(tmp_path, capsys):
    handler = file_handler(tmp_path / "agent-0.log")
    handler.handle(logging.makeLogRecord({"msg": os.fsdecode(b"folder \xff, \xc3\x9cbung")}))
    handler.close()

    assert "folder \\udcff, Übung" in (tmp_path / "agent-0.log").read_text(encoding="utf-8")
    assert not capsys.readouterr().err
