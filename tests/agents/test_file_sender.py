import logging
import threading
import time
from pathlib import Path

import pytest

from agents import file_sender
from agents.common.files import CHECKPOINT, PUBLISHED, write_atomically
from agents.file_sender import FileNotSentError, FileSender
from agents.logs import log_to_buffer


class Receiver:
    """What the supervisor does, in this process: it may be slow, fail, or know a newer incarnation."""

    def __init__(self):
        self.files, self.log = {}, []
        self.fails, self.current = threading.Event(), True
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.tries = 0

    def store(self, chunk):
        self.tries += 1
        assert self.goes_on.wait(30)
        if self.fails.is_set():
            raise OSError("no space left on device")
        if self.current:
            self.files.setdefault(chunk.file, []).append(chunk.data)
        return self.current


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
def sender(receiver, monkeypatch):
    monkeypatch.setattr(file_sender, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(file_sender, "LOG_SECONDS", 0.01)
    sender = FileSender(Path("run"), receiver.store, receiver.log.extend, log_to_buffer())
    yield sender
    receiver.goes_on.set()
    sender.close(30)


@pytest.fixture
def save(tmp_path, sender):
    def save(name, data):
        write_atomically(tmp_path / name, data)
        sender.send(tmp_path / name)

    return save


def until(ready):
    deadline = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_of_a_file_that_changes_while_it_is_sent_the_newest_version_follows(save, sender, receiver):
    receiver.goes_on.clear()
    save(CHECKPOINT, b"1")
    until(lambda: receiver.tries == 1)
    for version in (b"2", b"3", b"4"):
        save(CHECKPOINT, version)  # returns at once: training goes on
    save(PUBLISHED, b"model")
    assert sender.is_waiting(CHECKPOINT)
    assert sender.is_waiting(PUBLISHED)
    receiver.goes_on.set()
    until(lambda: not sender.is_waiting(CHECKPOINT) and not sender.is_waiting(PUBLISHED))

    assert receiver.files == {CHECKPOINT: [b"1", b"4"], PUBLISHED: [b"model"]}


def test_a_published_model_arrives_after_the_checkpoint_that_was_saved_before_it(save, sender, receiver):
    receiver.goes_on.clear()
    save(CHECKPOINT, b"1")
    save(PUBLISHED, b"model")
    receiver.goes_on.set()
    until(lambda: not sender.is_waiting(PUBLISHED))

    assert list(receiver.files) == [CHECKPOINT, PUBLISHED]


def test_a_file_that_could_not_be_stored_is_sent_again_and_meanwhile_reported(save, sender, receiver, caplog):
    receiver.fails.set()
    save(CHECKPOINT, b"1")
    until(lambda: receiver.tries > 2)
    (unsaved,) = sender.files.unsaved.values()
    assert (unsaved.path, unsaved.reason) == (f"run/{CHECKPOINT}", "no space left on device")
    receiver.fails.clear()
    until(lambda: not sender.is_waiting(CHECKPOINT))

    assert sender.files.unsaved == {}
    assert caplog.text.count("no space left on device") == 1


def test_a_process_that_was_given_up_sends_no_more_files(save, sender, receiver):
    receiver.current = False
    save(CHECKPOINT, b"1")
    save(PUBLISHED, b"model")
    sender.close(30)
    tries = receiver.tries
    save(CHECKPOINT, b"2")

    assert receiver.files == {}
    assert receiver.tries == tries <= 2


def test_closing_sends_what_is_left_and_gives_up_in_time(save, sender, receiver):
    receiver.goes_on.clear()
    save(CHECKPOINT, b"1")
    with pytest.raises(FileNotSentError, match=f"{CHECKPOINT} is not the newest one: there was not"):
        sender.close(0.01)
    assert receiver.files == {}
    receiver.goes_on.set()
    sender.close(30)

    assert receiver.files == {CHECKPOINT: [b"1"]}


def test_log_lines_are_sent_once(sender, receiver):
    logger = logging.getLogger("agents.somewhere")
    for number in range(20):
        logger.info("line %d", number)
        time.sleep(0.002)
    until(lambda: len(receiver.log) >= 20)
    sender.close(30)

    assert [line.rpartition(" ")[2] for line in receiver.log] == [str(number) for number in range(20)]
    assert " INFO agents.somewhere: line 0" in receiver.log[0]
