"""Train the runs of `social-jepa demo` again and pack them; about ten minutes on two CPUs.

    python scripts/make_pretrained.py [--scene toy] [--runs FOLDER]

Encoders are small, so that both archives take less than 3 MB, and train longer than by default.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from social_jepa.pretrained.archive import SCENES, archive_of, pack
from social_jepa.storage.run_folder import RunFolder

SETTINGS = (
    "scene.frame_size=48", "model.width=12", "model.hidden=128", "model.stages=1",
    "training.steps=1500", "training.replay_ticks=65536", "negotiation.pool_ticks=768",
)  # fmt: skip


def make(scene: str, runs: Path) -> None:
    """Train the run of a scene below a folder, unless it is there, and write its archive."""
    run = RunFolder.at(runs / scene)
    if not run.graph_file.exists():
        settings = (f"scene.renderer={scene}", *SETTINGS)
        subprocess.run(
            [sys.executable, "-m", "social_jepa", "run", "--out", str(run.path), *settings], check=True
        )
    pack(run, archive_of(scene))
    print(f"{archive_of(scene)}  {archive_of(scene).stat().st_size:,} bytes")


def main() -> None:
    """Make the archives of the scenes that are named, by default of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", choices=SCENES, action="append", help="only this scene")
    parser.add_argument("--runs", type=Path, help="folder of the trained runs; by default they are not kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="social-jepa-") as temporary:
        for scene in options.scene or SCENES:
            make(scene, options.runs or Path(temporary))


if __name__ == "__main__":
    main()
