"""Results document of an experiment, and its JSON: the content of results.json."""

import json
from typing import Any, Literal, TypeAlias

import msgspec

from social_jepa.records.base import Record

FORMAT: Literal[1] = 1  # goes up whenever a key is renamed or removed
JsonObject: TypeAlias = dict[str, Any]


class MetricRow(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the results table; numbers that are not finite are None."""

    name: str
    group: str
    value: float | None
    low: float | None  # ends of the 95 % interval
    high: float | None
    by_seed: tuple[float | None, ...]
    null: float | None
    baseline: float | None
    threshold: str | None  # sign and value, for example ">= 0.5"
    met: bool | None  # None without a threshold; with one, it is open: the interval contains it
    self_test: str = ""  # why the metric cannot fail, if it is an identity or a theorem; then not counted
    untrained: float | None = None  # of a similarity of latents: for encoders with initial weights
    pixel_pca: float | None = None  # and for principal components of pixels
    tica: float | None = None  # and for linear tICA of 256 of them
    geometric: bool = False  # whether value and interval are those of the logarithm
    trials: int = 0  # of a rate, the number of independent trials that its interval is of


class ConditionCosts(Record, frozen=True, kw_only=True):
    """Costs of a condition, mean over seeds: CPU seconds, and operations.

    Earlier versions recorded seconds of wall time.
    """

    seconds: float
    flops: int | float  # operations of training; either type keeps its form in JSON


class ResultsDocument(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Results of an experiment with all that is needed to reproduce them; keys in the order of the file.

    Attributes:
        format: FORMAT of the version that recorded it.
        name: Name of the experiment, and of its folder.
        question: One sentence.
        protocol: Docstring of the experiment's module.
        methods: Data, splits, model, training and statistics in one paragraph; "" in older documents.
        quick: Whether it was a quick run.
        seeds: Seeds of the run.
        settings: The experiment's settings.
        metrics: Rows of the results table.
        notes: Failures, omissions, costs; a sentence each.
        conditions: Costs by condition, in the order in which conditions were run.
        versions: Versions of Python and of packages.
        environment: Number of CPUs and processor architecture.
        source_fingerprints: Fingerprints of the source code that produced the results; more than one if
            some tasks were kept from before a change.
        command: Command that runs the experiment again.
        plot_data: Data behind the plots, as `plot_data.record` encodes it; None in older documents.
        plots: Names of the plots: their files without suffix.
    """

    format: Literal[1]
    name: str
    question: str
    protocol: str
    methods: str = ""
    quick: bool
    seeds: tuple[int, ...]
    settings: JsonObject
    metrics: tuple[MetricRow, ...]
    notes: tuple[str, ...]
    conditions: dict[str, ConditionCosts]
    versions: dict[str, str]
    environment: dict[str, int | str]
    source_fingerprints: tuple[str, ...]
    command: str
    plot_data: JsonObject | None = None
    plots: tuple[str, ...]


def decode_document(data: bytes | str, source: object = "the text") -> ResultsDocument:
    """Return the results document that JSON contains.

    Args:
        data: The JSON; settings and plot data may contain NaN and infinity.
        source: Its file, named in errors.

    Raises:
        ValueError: It is not JSON, has another format, or a field is missing, unknown or of another type.
    """
    try:
        found = json.loads(data)
        if isinstance(found, dict) and found.get("format", FORMAT) != FORMAT:
            raise ValueError(f"{source} has format {found['format']}, this version reads {FORMAT}")
        return msgspec.convert(found, ResultsDocument)
    except (json.JSONDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{source} is no results document ({error})") from error
