import json

from benchmarks.scale.seeds import differences
from tests.support.command import TINY, call


def test_runs_with_one_seed_differ_in_nothing_but_times_and_with_another_they_differ(tmp_path):
    def document(name, seed):
        said = call("run", "--out", tmp_path / name, "--json", *TINY, f"seed={seed}")
        assert said.status == 0, said.err
        return json.loads(said.out)

    first, again, other = document("first", 1), document("again", 1), document("other", 2)
    assert differences(first, again) == []
    assert any("r2" in path for path in differences(first, other))
