"""Every built-in source reads the planted frames, whatever holds them, and refuses what it cannot read."""

import inspect
import io
import os
from importlib.util import find_spec
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from PIL import Image

from env.sources.checker import check_source
from env.sources.contract import SourceError, TickOutsideSourceError
from env.sources.gymnasium_env import _definition
from env.sources.registry import SOURCES, build_source, load_source
from env.sources.settings import FramesConfig
from env.sources.view import View

TICKS, SIDE = 24, 16
NEEDS = {"hdf5": "h5py", "zarr": "zarr", "video": "av", "lance": "lance"}
FILES = {
    "images": "images",
    "array": "frames.npz",
    "hdf5": "frames.h5",
    "zarr": "frames.zarr",
    "lance": "frames.lance",
    "video": "a.mkv",
}


@pytest.fixture
def frames():
    """uint8 [T, 32, 48, 3], each of one color in its left half and of another in its right half."""
    colors = np.random.default_rng(0).integers(0, 256, size=(TICKS, 1, 2, 3), dtype=np.uint8)
    return colors.repeat(2 * SIDE, axis=1).repeat(24, axis=2)


@pytest.fixture
def state():
    return np.random.default_rng(1).standard_normal((TICKS, 2))


def write(source, path, frames, state):
    if source == "images":
        path.mkdir()
        for tick, frame in enumerate(frames):  # 10 comes before 9 in the order of the alphabet
            Image.fromarray(frame).save(path / f"frame-{tick}.png")
    elif source == "array":
        np.savez(path, pixels=frames, state=state)
    elif source == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w", libver="latest") as file:  # as stable-worldmodel's HDF5Writer lays it out
            file.create_dataset(
                "pixels", data=frames, maxshape=(None, *frames.shape[1:]), chunks=(1, *frames.shape[1:])
            )
            file.create_dataset("state", data=state)
            file["ep_len"], file["ep_offset"] = np.array([10, 14], np.int32), np.array([0, 10])
    elif source == "zarr":
        group = pytest.importorskip("zarr").open_group(str(path), mode="w")
        group.create_array("pixels", data=frames)
        group.create_array("state", data=state)
    elif source == "lance":
        write_lance(path, frames, state)
    else:
        av = pytest.importorskip("av")
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=30)  # without loss
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "bgr0"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())


def write_lance(path, frames, state):
    """Write a table as stable-worldmodel's LanceWriter does, with pictures in a format without loss."""
    lance, pa = pytest.importorskip("lance"), pytest.importorskip("pyarrow")
    files = [io.BytesIO() for _ in frames]
    for file, frame in zip(files, frames, strict=True):
        Image.fromarray(frame).save(file, "PNG")
    columns = {
        "pixels": pa.array([file.getvalue() for file in files], pa.binary()),
        "state": pa.FixedSizeListArray.from_arrays(pa.array(state.ravel()), state.shape[1]),
        "episode_idx": pa.array([0] * 10 + [1] * 14, pa.int32()),
        "step_idx": pa.array([*range(10), *range(14)], pa.int32()),
    }
    lance.write_dataset(pa.table(columns), str(path))


def test_a_folder_with_one_table_is_that_table_and_other_columns_are_no_frames(frames, state, tmp_path):
    write_lance(tmp_path / "only.lance", frames, state)
    whole = build_source("lance", FramesConfig(path=str(tmp_path)), SIDE)

    assert whole.ticks == TICKS
    assert (
        whole.identity
        == build_source("lance", FramesConfig(path=str(tmp_path / "only.lance")), SIDE).identity
    )
    assert "scene.frames.key must name frames" in refused("lance", path=str(tmp_path), key="state")
    assert "has no column 'obs': it has pixels, state" in refused("lance", path=str(tmp_path), key="obs")
    (tmp_path / "empty").mkdir()
    assert "is no Lance table" in refused("lance", path=str(tmp_path / "empty"))


@pytest.mark.parametrize("source", FILES)
def test_a_source_gives_each_view_of_the_planted_frames_in_any_order(
    source, frames, state, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / FILES[source]
    write(source, path, frames, state)
    with_state = source not in ("images", "video")
    config = FramesConfig(
        path=str(path), views=("left", "right", "green"), state_key="state" if with_state else ""
    )
    found = build_source(source, config, SIDE)
    ticks = np.array([9, 2, TICKS - 1, 9])

    assert (found.ticks, found.views) == (TICKS, 3)
    for view, column in ((0, 0), (1, -1)):
        expected = frames[ticks][:, :SIDE, column, None].repeat(SIDE, axis=2)
        assert (found.read(ticks, view) == expected).all()
    green = found.read(ticks, 2)
    assert (green == green[..., :1]).all()
    assert (green[:, :, :8, 0] == frames[ticks][:, :SIDE, :8, 1]).all()
    if with_state:
        assert (found.state(ticks) == state[ticks]).all()
    else:
        assert found.state(ticks) is None
    with pytest.raises(TickOutsideSourceError, match="choose from 0 to 23"):
        found.read(np.array([TICKS]), 0)


def test_the_same_columns_are_one_source_whichever_file_holds_them(frames, state, tmp_path):
    identities = []
    for source in ("array", "hdf5", "zarr", *(["lance"] if find_spec("lance") else [])):
        path = tmp_path / FILES[source]
        write(source, path, frames, state)
        identities.append(build_source(source, FramesConfig(path=str(path)), SIDE).identity)
    np.savez(tmp_path / "other.npz", pixels=255 - frames)
    other = build_source("array", FramesConfig(path=str(tmp_path / "other.npz")), SIDE).identity

    assert len({*identities}) == 1
    assert other != identities[0]


def test_frames_may_be_gray_or_have_channels_first(frames, tmp_path):
    gray, first = frames[..., 0], frames.transpose(0, 3, 1, 2)
    np.save(tmp_path / "gray.npy", gray)
    np.save(tmp_path / "first.npy", first)
    found = {
        name: build_source("array", FramesConfig(path=str(tmp_path / f"{name}.npy"), views=("left",)), SIDE)
        for name in ("gray", "first")
    }
    ticks = np.arange(3)

    assert (found["first"].read(ticks, 0) == frames[:3, :SIDE, :SIDE]).all()
    assert (found["gray"].read(ticks, 0) == gray[:3, :SIDE, :SIDE, None]).all()


class Walk(gymnasium.Env):
    """A random walk that is drawn as a bright column, and ends after ten steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 - Gymnasium reads it so
    observation_space = gymnasium.spaces.Box(0, 31, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(32)), 0
        return self.observe(), {}

    def step(self, action):
        self.place, self.steps = int(np.clip(self.place + action - 1, 0, 31)), self.steps + 1
        return self.observe(), 0.0, self.steps == 10, False, {}

    def observe(self):
        return np.array([self.place], np.float32)

    def render(self):
        picture = np.zeros((32, 32, 3), np.uint8)
        picture[:, self.place] = 255
        return picture


@pytest.fixture
def walk(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    gymnasium.register("SourceTest/Walk-v0", entry_point=Walk)
    yield "SourceTest/Walk-v0"
    del gymnasium.registry["SourceTest/Walk-v0"]


def test_an_environment_is_recorded_once_by_its_seed(walk, tmp_path):
    def record(**settings):
        config = FramesConfig(environment=walk, ticks=40, **settings)
        return load_source("gymnasium")(config, 32)

    first, ticks = record(), np.arange(40)
    files = sorted((tmp_path / "social-jepa" / "frames").iterdir())
    again = record()

    assert (first.read(ticks, 0)[:, 0, :, 0].argmax(1) == first.state(ticks)[:, 0]).all()
    assert (again.read(ticks, 0) == first.read(ticks, 0)).all()
    assert sorted((tmp_path / "social-jepa" / "frames").iterdir()) == files
    assert np.abs(np.diff(first.state(ticks)[:, 0])).max() > 1  # a new episode begins elsewhere
    assert (record(seed=1).state(ticks) != first.state(ticks)).any()


def make_dimmed(brightness=255, **options):
    return gymnasium.wrappers.TransformObservation(Walk(**options), lambda found: found, None)


def test_the_registration_by_a_function_is_the_same_in_every_process_and_its_code_is_in_the_key(
    tmp_path, monkeypatch
):
    """The text of a function holds its address, which differs between processes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    definitions = []
    for entry in (make_dimmed, lambda **options: make_dimmed(**options), make_dimmed):
        gymnasium.register("SourceTest/Dimmed-v0", entry_point=entry)
        environment = gymnasium.make("SourceTest/Dimmed-v0", render_mode="rgb_array")
        definitions.append(list(_definition(environment)))
        environment.close()
        del gymnasium.registry["SourceTest/Dimmed-v0"]

    assert definitions[0] == definitions[2] != definitions[1]
    assert " at 0x" not in repr(definitions[0][:2])
    code = [part for part in definitions[0] if isinstance(part, bytes)]
    assert Path(__file__).read_bytes() in code
    assert Path(inspect.getfile(gymnasium.wrappers.TransformObservation)).read_bytes() in code


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_images_of_more_than_8_bits_are_refused_and_not_cut_at_255(tmp_path, dtype):
    for number in range(3):
        ramp = np.linspace(0, 65_535, SIDE * SIDE).reshape(SIDE, SIDE)
        Image.fromarray(ramp.astype(dtype)).save(tmp_path / f"{number}.tif")

    source = build_source("images", FramesConfig(path=str(tmp_path)), SIDE)
    with pytest.raises(SourceError, match=r"more than 8 bits .* scale them to 0 to 255"):
        source.read(np.arange(2), 0)


def refused(source, **settings):
    with pytest.raises(SourceError) as caught:
        build_source(source, FramesConfig(**settings), SIDE)
    return str(caught.value)


def test_what_cannot_be_read_is_refused_with_the_setting(tmp_path, frames):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npz").write_text("no array")
    np.savez(tmp_path / "frames.npz", pixels=frames, action=np.zeros((TICKS, 2)))

    assert "set scene.frames.path to the folder" in refused("images")
    assert "there is no folder" in refused("images", path=str(tmp_path / "none"))
    assert "holds no image" in refused("images", path=str(tmp_path / "empty"))
    assert "is no file of numpy.save" in refused("array", path=str(tmp_path / "text.npz"))
    file = str(tmp_path / "frames.npz")
    assert "has no array 'obs': it has pixels, action" in refused("array", path=file, key="obs")
    assert "scene.frames.key must name frames" in refused("array", path=file, key="action")
    assert "set scene.frames.environment" in refused("gymnasium", environment="CartPole-v1")
    assert "cannot be made" in refused("gymnasium", environment="NoSuch-v0", ticks=5)


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    for source, library in NEEDS.items():
        monkeypatch.setitem(__import__("sys").modules, library, None)
        monkeypatch.delitem(__import__("sys").modules, SOURCES[source].partition(":")[0], raising=False)
        extra = "lance" if source == "lance" else "sources"
        assert f"pip install 'social-jepa[{extra}]'" in refused(source, path=os.curdir)


@pytest.mark.parametrize(
    ("text", "message"),
    [("middle", "choose whole, left"), ("0,0,2,1", "let 0 <= x1 < x2 <= 1"), ("0.5,0,0.5,1", "x1 < x2")],
)
def test_a_malformed_view_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        FramesConfig(views=(text,))


def test_a_view_averages_the_pixels_that_it_covers():
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8, 1).repeat(3, axis=2)

    found = View.parse("0.5,0,1,0.5").cut(picture, 2)

    assert np.abs(found[..., 0] - picture[:4, 4:, 0].reshape(2, 2, 2, 2).mean(axis=(1, 3))).max() <= 0.5


def test_a_folder_of_images_meets_the_contract(frames, state, tmp_path):
    write("images", tmp_path / "images", frames, state)

    check_source("images", FramesConfig(path=str(tmp_path / "images"), views=("whole", "red")), SIDE)
