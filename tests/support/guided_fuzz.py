"""Coverage-guided fuzzing of both decoders by atheris, where it is installed: ``pip install -e '.[fuzz]'``.

python -m tests.support.guided_fuzz -atheris_runs=200000
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["agents.protocol"]):
    from tests.support.fuzz_target import Target

if __name__ == "__main__":
    target = Target()
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(target.corpus()):
            (Path(folder) / str(number)).write_bytes(data)
        atheris.Setup([*sys.argv, folder], target)
        atheris.Fuzz()
