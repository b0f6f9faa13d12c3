import pickle
from pathlib import Path

import numpy as np
import pytest

from agents.common.config_error import ConfigError
from social_jepa.cli.errors import describe, exit_status
from social_jepa.cli.hints import hint, work_on
from social_jepa.config.time_parsing import TimeFormatError
from social_jepa.records import FailureRecord, replace
from social_jepa.runtime.errors import (
    AddressError,
    AgentLeftError,
    AgentLostError,
    AlreadyUpError,
    CopiedFolderError,
    ElsewhereError,
    LocalRayError,
    NotRecordedError,
    NotSettledError,
    NotUpError,
    PeerLostError,
    RayUnavailableError,
    RunStoppedError,
    StartFailedError,
    SupervisorFailedError,
    SupervisorLostError,
    SupervisorUnavailableError,
)
from social_jepa.runtime.member_errors import LastAgentError, NameTakenError, UnknownMemberError
from social_jepa.storage.ledger_errors import DamagedLedgerError, LedgerFullError
from tests.support.command import call

RUN = Path("runs/one")
FAILURE = FailureRecord(
    agent="agent-1", cause="error", phase="training", step=7, type="KeyError", message="", file="", line=0,
    traceback_file="t.txt",
)  # fmt: skip
DEATH = replace(FAILURE, cause="process_died", type="exit", message="it was killed", traceback_file="")
CASES = [
    (AddressError("here"), 2, "no Ray cluster answers at here: an address is written host:port"),
    (RayUnavailableError("a:1", "timeout"), 1, "the Ray cluster at a:1 does not answer (timeout); run"),
    (RayUnavailableError("", "timeout"), 1, "Ray does not answer (timeout); social-jepa doctor"),
    (SupervisorUnavailableError("it died"), 1, "the supervisor of the simulation does not answer (it died)"),
    (SupervisorLostError(RUN, "it died"), 1, "the supervisor of runs/one does not answer (it died), and its "
     "agents were ended; continue with: social-jepa resume --run runs/one"),
    (SupervisorFailedError("disk full"), 1, "the supervisor of the simulation failed: disk full"),
    (LocalRayError(Path("ray.log")), 1, "Ray did not start: ray.log says why; social-jepa doctor"),
    (AgentLostError(FAILURE), 1, "agent-1 failed: KeyError (training, after 7 steps); traceback: t.txt"),
    (AgentLostError(DEATH), 1, "the process of agent-1 kept dying: it was killed (training, after 7 steps)"),
    (PeerLostError("agent-2", FAILURE), 1, "agent-2 cannot settle its edges with agent-1, which failed: "
     "KeyError (training, after 7 steps); traceback: t.txt; social-jepa remove-agent agent-1"),
    (RunStoppedError(RUN), 130, "stopped; continue with: social-jepa resume --run runs/one"),
    (NotUpError(Path("my runs/one")), 2, f"my runs/one is not up: {Path('my runs/one').resolve()}/config.to"),
    (AlreadyUpError(Path("a b")), 2, "a b is up already: social-jepa status --run 'a b' shows it"),
    (RunStoppedError(Path("a b")), 130, "stopped; continue with: social-jepa resume --run 'a b'"),
    (NotUpError(RUN), 2, f"runs/one is not up: {RUN.resolve()}/config.toml is missing"),
    (NotUpError(RUN, True), 2, f"runs/one was up, but its processes have ended: {RUN.resolve()}/config.toml"),
    (ElsewhereError(RUN, "h"), 2, "runs/one is up on h, in another container or machine than"),
    (CopiedFolderError(RUN, Path("v")), 2, "runs/one has the simulation.json of v, whose simulation may"),
    (RunStoppedError(RUN, 15), 143, "stopped; continue with: social-jepa resume --run runs/one"),
    (AgentLeftError("agent-1"), 1, "agent-1 left: it was removed before its edges were settled"),
    (NotSettledError(("a", "b"), 3.0), 1, "a, b have not settled all edges within 3 s"),
    (AlreadyUpError(RUN), 2, "runs/one is up already: social-jepa status --run runs/one"),
    (LastAgentError("a"), 2, "a is the last agent: to end the simulation, take it down with social-jepa"),
    (NameTakenError("a", True), 2, "the name a exists: choose another"),
    (UnknownMemberError("agent-9", ("agent-0",)), 2, "no agent is named 'agent-9': did you mean agent-0?"),
    (StartFailedError(FAILURE), 2, "agent-1 could not start: KeyError (training, after 7 steps)"),
    (TimeFormatError("soon"), 2, "--as-of 'soon' is not a time: write 2026-11-21T14:30"),
    (ConfigError("at least 1", "training.steps", 0), 2, "training.steps=0: at least 1"),
    (OSError(28, "No space left on device", "graph.json"), 1, "graph.json cannot be written, the disk is"),
    (OSError(122, "Disk quota exceeded"), 1, "a file cannot be written, the disk is full: free some space"),
    (OSError(30, "Read-only file system", "a"), 1, "a cannot be read or written (Read-only file system)"),
    (OSError(5, "Input/output error", "graph.json"), 1, "graph.json: Input/output error"),
    (OSError(2, "No such file or directory", "graph.json"), 1, "graph.json: No such file or directory"),
    (LedgerFullError(RUN, "no room"), 1, "the disk of the ledger runs/one is full (no room): free"),
    (DamagedLedgerError(RUN, "cut"), 2, "the ledger runs/one is damaged (cut): restore it from a copy"),
    (NotRecordedError(RUN, ("x",)), 1, "the results in runs/one are not complete; free some space, and"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "status", "text"), CASES, ids=lambda case: type(case).__name__)
def test_an_error_becomes_one_sentence_and_an_exit_status(error, status, text):
    assert describe(error).startswith(text)
    assert exit_status(error) == status


@pytest.mark.parametrize("error", [case[0] for case in CASES], ids=lambda case: type(case).__name__)
def test_an_error_survives_the_way_between_processes_with_its_fields(error):
    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


FILE_ARGUMENTS = [
    "import {}", "align {} b.npy", "align a.npy {}", "align a.npy a.npy --ids {}",
    "align a.npy a.npy --ids={}", "evidence verify {}", "wire inspect {}",
    "peer start --out p --listen 127.0.0.1:0 --embeddings {}",
]  # fmt: skip


@pytest.mark.parametrize("words", FILE_ARGUMENTS)
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_a_file_that_is_missing_is_a_usage_error_of_one_sentence(tmp_path, monkeypatch, words, suffix):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.eye(8, dtype=np.float32))
    missing = f"none{suffix}"

    said = call(*words.format(missing).split())
    assert (said.status, said.out) == (2, "")
    assert said.err == f"social-jepa: there is no file {missing}\n"


@pytest.mark.parametrize("words", ["import {}", "evidence verify {}", "wire inspect {}"])
def test_a_folder_and_a_path_below_a_file_are_no_files_to_read(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    folder, below = call(*words.format("folder").split()), call(*words.format("file/x").split())
    assert (folder.status, folder.err) == (2, "social-jepa: folder is a folder: name a file\n")
    reason = "there is no file file/x: a part of that path is a file, not a folder"
    assert (below.status, below.err) == (2, f"social-jepa: {reason}\n")


def test_a_certificate_that_is_missing_is_named_by_its_option(tmp_path):
    words = ("--listen", "127.0.0.1:0", "--tls-cert", tmp_path / "c", "--tls-key", tmp_path / "k")
    said = call("peer", "start", "--out", tmp_path / "p", *words)

    assert said.status == 2
    assert "--tls-cert, --tls-key or --tls-ca: No such file or directory" in said.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("up --timeout 5", "--timeout is for --wait: give --wait too, or leave it out"),
        ("add-agent --timeout 5", "--timeout is for --wait: give --wait too, or leave it out"),
        ("move-agent agent-0 --pose=1,2,3,4,5 --timeout 5", "--timeout is for --wait: give --wait too"),
        ("peer start --out p --listen 127.0.0.1:0 --heldout 0.5", "--heldout is for a table of embeddings"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(tmp_path, monkeypatch, words, reason):
    monkeypatch.chdir(tmp_path)

    said = call(*words.split())
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(f"social-jepa: {reason}")
    assert list(tmp_path.iterdir()) == []


def test_hints_name_the_folder_that_the_command_works_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    work_on(tmp_path / "my runs" / "one")
    try:
        assert describe(LastAgentError("a")).endswith("with social-jepa down --run 'my runs/one'")
        assert hint("serve") == "social-jepa serve --run 'my runs/one'"
    finally:
        work_on(None)
    assert hint("serve") == "social-jepa serve"


def test_advice_about_memory_is_given_only_where_memory_ran_out():
    assert "agents.count" not in describe(AgentLostError(DEATH))
    assert "lower agents.count" in describe(AgentLostError(replace(DEATH, type="out_of_memory")))
