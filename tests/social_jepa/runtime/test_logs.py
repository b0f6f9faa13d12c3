import logging

import pytest

from agents import logs
from social_jepa.runtime.logs import PACKAGES, log_path, log_to_file, log_to_stderr, stderr_level


@pytest.fixture(autouse=True)
def restored_loggers():
    """Remove the handlers that a test installed, and restore the levels."""
    loggers = [logging.getLogger(name) for name in PACKAGES]
    before = [(logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        for handler in logger.handlers:
            if handler not in handlers:
                handler.close()
        logger.handlers, logger.level = handlers, level


def test_a_log_file_holds_info_records_of_all_our_packages_and_nothing_below(tmp_path):
    log_to_file(tmp_path, "driver")
    for name in ("agents.runner", "social_jepa.runtime", "env", "alignment"):
        logging.getLogger(name).info("a record of %s", name)
    logging.getLogger("social_jepa").debug("a detail")
    logging.getLogger("ray").warning("a warning of another library")

    text = log_path(tmp_path, "driver").read_text()
    assert [line.split("record of ")[1] for line in text.splitlines()] == [
        "agents.runner", "social_jepa.runtime", "env", "alignment",
    ]  # fmt: skip
    assert " INFO agents.runner: a record of agents.runner" in text


def test_a_second_log_file_replaces_the_first(tmp_path):
    log_to_file(tmp_path / "one", "driver")
    log_to_file(tmp_path / "two", "driver")
    logging.getLogger("social_jepa").warning("once")

    assert not log_path(tmp_path / "one", "driver").exists()
    assert log_path(tmp_path / "two", "driver").read_text().count("once") == 1


def test_a_log_file_rotates_and_three_full_ones_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 300)
    log_to_file(tmp_path, "agent-0")
    for number in range(40):
        logging.getLogger("agents").info("record %d", number)

    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names == ["agent-0.log", "agent-0.log.1", "agent-0.log.2", "agent-0.log.3"]
    assert "record 39" in log_path(tmp_path, "agent-0").read_text()


@pytest.mark.parametrize(
    ("level", "shown"), [(logging.INFO, ["info", "warning", "error"]), (logging.ERROR, ["error"])]
)
def test_stderr_shows_records_of_the_chosen_level(capsys, tmp_path, level, shown):
    log_to_file(tmp_path, "driver")
    log_to_stderr(level)
    for name in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("social_jepa.cli"), name)(name)

    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == shown
    assert log_path(tmp_path, "driver").read_text().count("\n") == 3


def test_the_level_of_stderr_is_the_one_set_last():
    log_to_stderr(logging.INFO)
    log_to_stderr(logging.ERROR)

    assert stderr_level() == logging.ERROR
