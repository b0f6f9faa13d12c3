"""Results documents as JSON."""

import json
import math
from pathlib import Path

import pytest

from social_jepa.experiments.framework.artifacts import RESULTS
from social_jepa.experiments.framework.document import FORMAT, decode_document
from social_jepa.records import as_dict, replace
from social_jepa.storage.run_folder import write_json
from tests.support.results_document import PLAIN

RECORDED = sorted((Path(__file__).resolve().parents[4] / "evidence").glob(f"*/{RESULTS}"))


def plain(document):
    return json.loads(json.dumps(as_dict(document)))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_writing_a_recorded_document_again_gives_equal_bytes(tmp_path, path):
    write_json(tmp_path / RESULTS, as_dict(decode_document(path.read_bytes(), path)))

    assert (tmp_path / RESULTS).read_bytes() == path.read_bytes()


def test_a_document_and_its_json_are_equal():
    with_plots = replace(PLAIN, plot_data={"estimates": {}, "arrays": {"a": [1, 2.5, None]}, "derived": {}})

    for document in (PLAIN, with_plots):
        assert decode_document(json.dumps(as_dict(document))) == document
    assert list(plain(with_plots))[-2:] == ["plot_data", "plots"]
    assert "plot_data" not in plain(PLAIN)


def test_settings_may_be_infinite():
    document = replace(PLAIN, settings={"limit": math.inf})

    assert decode_document(json.dumps(as_dict(document))) == document


def test_a_document_of_another_format_is_rejected_with_both_formats():
    text = json.dumps(plain(PLAIN) | {"format": FORMAT + 1, "extra": 1})

    with pytest.raises(ValueError, match=f"a.json has format {FORMAT + 1}, this version reads {FORMAT}"):
        decode_document(text, "a.json")


def without(key):
    return json.dumps({name: value for name, value in plain(PLAIN).items() if name != key})


DAMAGED = {
    "cut": ('{"format": 1', "Expecting"),
    "not UTF-8": (b"\xff{}", "utf-8"),
    "a list": ("[]", "Expected `object`"),
    "no format": (without("format"), "`format`"),
    "no seeds": (without("seeds"), "`seeds`"),
    "an unknown key": (json.dumps(plain(PLAIN) | {"figures": []}), "`figures`"),
    "a metric without a value": (json.dumps(plain(PLAIN) | {"metrics": [{"name": "x"}]}), "metrics"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_document_is_rejected_with_its_defect(case):
    text, defect = DAMAGED[case]

    with pytest.raises(ValueError, match=f"a.json is no results document .*{defect}"):
        decode_document(text, "a.json")
