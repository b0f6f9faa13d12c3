import codecs
import contextlib
import os
import subprocess
import sys
import tomllib

import pytest
import tomli_w

from agents.common.config_error import ConfigError
from social_jepa.config.overrides import keys
from social_jepa.config.run_config import QUICK, RunConfig, load_config

TOY = "scene.renderer=toy"

WRONG = {
    "trainig.steps=3": "did you mean training.steps or distillation.steps?",
    "steps=3": "did you mean training.steps or distillation.steps?",
    "agents.cnt=3": "did you mean agents.count?",
    "agents.ring.fovv=3": "did you mean agents.ring.fov?",
    "zzz=1": "choose one of seed, agents.…",
    "ridge=1": "did you mean model.ridge or model.seq_jepa.ridge or negotiation.ridge?",
    "model.seq_jepa.view=3": "did you mean model.seq_jepa.views?",
    "scene.heigth=1": "did you mean agents.ring.height or scene.interior_walls.height?",
    "training.qqq=1": "training.steps",
    "training=3": "training: a group of settings",
    "agents.ring=3": "agents.ring: a group of settings",
    "seed": "key.sub=value",
    "=3": "key.sub=value",
    "a..b=1": "key.sub=value",
    "seed=": "seed=''",
    "seed=abc": "expected `int`",
    "seed=1.5": "expected `int`",
    "seed=true": "expected `int`",
    "seed=[1]": "expected `int`",
    "seed.x=3": "expected `int`",
    "seed=-1": "from 0 to 2**62 - 1",
    "agents.count=0": "at least 2 agents",
    "agents.count=1": "at least 2 agents",
    "agents.workers=-1": "0 for a process of each agent",
    "agents.per_actor=0": "agents.per_actor=0: a process holds at least one agent",
    "agents={per_actor=2,workers=2}": "set agents.workers or agents.per_actor, not both",
    "agents.threads=-1": "agents.threads=-1",
    "agents.nice=-1": "agents.nice=-1: a niceness from 0 to 19",
    "agents.nice=20": "agents.nice=20: a niceness from 0 to 19",
    "agents.nice=1.5": "expected `int`",
    "agents.gpus=1.5": "agents.gpus=1.5: a share below 1 of one GPU, or a whole number of GPUs",
    "agents.gpus=-1": "agents.gpus=-1",
    "agents.device=gpu": "choose auto, cpu, cuda",
    "agents.kind=jepaa": "did you mean 'jepa'?",
    "agents.kind=zzz": "choose one of jepa, seq_jepa, p_jepa",
    'agents.kinds=["jepa","seq_jpa","jepa","jepa"]': "did you mean 'seq_jepa'?",
    'agents.kinds=["jepa","seq_jepa"]': "agents.kinds: 2 kinds for agents.count=4 agents: name",
    "model.seq_jepa.heads=3": "model.seq_jepa.heads=3: must divide",
    "model.seq_jepa.encoder.dim=0": "model.seq_jepa.encoder.dim=0: choose from 1 to 1024",
    "model.p_jepa.task=fame": "model.p_jepa.task='fame': choose one of random, reward, positions",
    "agents.ring.height=-1": "the pose of agent-0",
    "agents.ring.height=nan": "the pose of agent-0",
    "agents.ring.separation=0": "separation",
    "model.objective=vicregg": "vicreg",
    "model.precision=fp8": "fp32",
    "model.dim=0": "from 1 to 1024",
    "scene.renderer=toi": "miniworld, toy",
    "scene.dynamics=bounc": "bounce",
    "scene.frame_size=40": "multiple of 16",
    "scene.objects=13": "from 1 to 12",
    "scene.object_range=9": "through the wall",
    "training.steps=0": "training.steps=0: at least 1",
    "training.learning_rate=nan": "above 0",
    "training.grad_clip_norm=inf": "above 0",
    "training.segment_ticks=1": "training.segment_ticks=1: at least 2",
    "training.warmup=1": "at least 0 and below 1",
    "negotiation.anchors=2000": "more anchors than ticks",
    "negotiation.heldout=2": "from 4",
    "negotiation.pool_ticks=70000": "at most 65536",
    "negotiation.ridge=nan": "at least",
    "negotiation.anchor_seed=0": "the public scene would be that of the run, whose seed it is",
    "negotiation.anchor_seed=-2": "negotiation.anchor_seed=-2",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_setting_is_refused_and_the_message_says_what_to_change(text):
    with pytest.raises(ConfigError) as refusal:
        load_config(overrides=[TOY, text])

    assert WRONG[text] in str(refusal.value)


GOOD = "4.8,3.2,0,180,-35"
POSES = {
    "inside an object": (f'["{GOOD}", "0,0.45,0,0,0"]', "the pose of agent-1: objects can reach the camera"),
    "objects out of view": (f'["{GOOD}", "4.8,3.2,0,0,-35"]', "the pose of agent-1: the camera sees nothing"),
    "malformed": (f'["{GOOD}", "4.8,3.2,a,0,-35"]', "the pose of agent-1: a pose is written x,y,z,yaw,pitch"),
    "too short": (f'["{GOOD}", "4.8,3.2"]', "the pose of agent-1: a pose is written x,y,z,yaw,pitch"),
    "too few": (f'["{GOOD}"]', "agents.poses: 1 poses for agents.count=2 agents"),
}


@pytest.mark.parametrize("case", POSES)
def test_a_pose_that_cannot_work_is_refused_with_the_name_of_its_agent(case):
    poses, reason = POSES[case]

    with pytest.raises(ConfigError) as refusal:
        load_config(overrides=[TOY, "agents.count=2", f"agents.poses={poses}"])

    assert str(refusal.value).startswith(reason)


def test_overrides_take_precedence_over_the_file_and_the_file_over_the_preset(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("seed = 3\n[training]\nsteps = 30\nreplay_ticks = 64\n[agents.ring]\nradius = 5.0\n")

    config = load_config(file, ["training.steps=31", "seed = 4", "seed=5"], QUICK)

    assert (config.seed, config.training.steps, config.training.replay_ticks) == (5, 31, 64)
    assert config.negotiation.pool_ticks == QUICK["negotiation"]["pool_ticks"]
    assert (config.agents.ring.radius, config.agents.ring.height) == (5.0, RunConfig().agents.ring.height)


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("variables", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_a_settings_file_is_utf_8_whatever_the_locale(tmp_path, mark, variables):
    file = tmp_path / "settings.toml"
    file.write_bytes(mark + "seed = 3  # für später\n".encode())
    code = f"from social_jepa.config.run_config import *; print(load_config(Path({str(file)!r})).seed)"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", env=os.environ | variables
    )

    assert (done.stdout, done.stderr) == ("3\n", "")


UNREADABLE = {
    "folder": (lambda path: path.mkdir(), "is a folder; name a TOML file with settings"),
    "not TOML": (lambda path: path.write_text("seed: 3"), "is not TOML: Expected '=' after a key"),
    "Latin-1": (
        lambda path: path.write_bytes("seed = 3\n# für\n".encode("latin-1")),
        "is not UTF-8: byte 0xfc in line 2; save it with the encoding UTF-8",
    ),
    "UTF-16": (lambda path: path.write_text("seed = 3", "utf-16"), "is not UTF-8: byte 0xff in line 1"),
    "unreadable": (lambda path: path.symlink_to("/proc/self/mem"), "cannot be read: Input/output error"),
    "missing": (lambda path: None, ""),
}


@pytest.mark.parametrize(("make", "sentence"), UNREADABLE.values(), ids=UNREADABLE)
def test_each_reason_why_a_settings_file_cannot_be_read_has_its_own_sentence(tmp_path, make, sentence):
    file = tmp_path / "settings.toml"
    make(file)

    with pytest.raises(ConfigError) as refusal:
        load_config(file)

    assert f"{file} {sentence}".strip() in str(refusal.value)


@pytest.mark.parametrize("text", ["scene.autocorrelation=0.5", "scene.autocorrelation=[0.5]"])
def test_a_list_of_one_number_may_be_written_as_the_number(text):
    assert load_config(overrides=[text]).scene.autocorrelation == (0.5,)


def test_settings_survive_a_round_trip_through_toml():
    poses = f'agents.poses=["{GOOD}","-4.8,3.2,0,0,-35,70"]'
    config = load_config(
        overrides=[poses, "agents.count=2", "scene.autocorrelation=[0.9,0.8]", "scene.objects=1"]
    )

    assert load_config(base=tomllib.loads(tomli_w.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(("count", "refused"), [(1025, False), (1026, True)])
def test_an_agent_has_no_more_peers_than_its_protocol_takes(count, refused):
    many = ["scene.renderer=toy", f"agents.count={count}", "agents.workers=2"]
    load_config(overrides=[*many, "negotiation.topology=k_regular(6)"])
    for topology in ("all", "hubs(3)"):
        with (
            pytest.raises(ConfigError, match="more than 1024 peers") if refused else contextlib.nullcontext()
        ):
            load_config(overrides=[*many, f"negotiation.topology={topology}"])


def test_equal_settings_have_equal_hashes_and_different_settings_different_ones():
    assert load_config(overrides=["seed=3"]).hash() == load_config(overrides=["seed=3"]).hash()
    assert len({load_config(overrides=[f"training.weight_decay=1e-{k}"]).hash() for k in range(2, 6)}) == 4


def test_every_setting_can_be_set_to_its_default():
    defaults = RunConfig().as_dict()
    for key in keys(RunConfig):
        value = defaults
        for part in key.split("."):
            value = value[part]
        assert load_config(overrides=[f"{key}={str(value).lower() if value != [] else '[]'}"]) == RunConfig()


def test_an_agents_pose_does_not_depend_on_the_number_of_agents():
    few, many = (load_config(overrides=[f"agents.count={count}"]) for count in (2, 9))

    assert many.poses()[:2] == few.poses()
    assert many.names()[:2] == few.names() == ["agent-0", "agent-1"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["agents.kind=p_jepa", "scene.objects=2"], "model.p_jepa: agent-0: .*lower it to 2 or less"),
        (
            ["agents.kind=seq_jepa", "model.seq_jepa.max_view_angle=80"],
            "model.seq_jepa: agent-0: .*max_view_angle to 54",
        ),
        (
            ["agents.kind=seq_jepa", "training.replay_ticks=24"],
            "agent-0 records 4 views .* choose 32 or more",
        ),
        (["agents.kind=seq_jepa", "training.segments=5"], "cannot fill so many dimensions"),
    ],
)
def test_a_kind_of_model_whose_requirements_are_not_met_is_refused_before_anything_starts(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=[TOY, *overrides])


def test_each_agent_has_the_kind_at_its_index():
    config = load_config(overrides=[TOY, "agents.count=2", 'agents.kinds=["p_jepa", "jepa"]'])

    assert [config.kind(index) for index in range(2)] == ["p_jepa", "jepa"]
    assert load_config(overrides=[TOY, "agents.kind=seq_jepa"]).kind(3) == "seq_jepa"


def test_settings_that_leave_an_agent_nothing_against_collapse_are_said_once_for_all_agents():
    unguarded = ("model.objective=vicreg", "model.variance=0", "model.covariance=0")

    (risk,) = load_config(overrides=[TOY, *unguarded]).collapse_risks()
    assert "model.variance=0 leaves no term against collapse" in risk
    assert load_config(overrides=[TOY, "agents.kind=seq_jepa", *unguarded]).collapse_risks() == []
    kinds = 'agents.kinds=["jepa","p_jepa"]'
    mixed = [TOY, kinds, "agents.count=2", "model.p_jepa.auxiliary=false", *unguarded]
    assert len(load_config(overrides=mixed).collapse_risks()) == 2
