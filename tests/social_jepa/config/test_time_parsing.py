import datetime

import pytest

from social_jepa.config.time_parsing import FOREVER, parse_time

NOW = datetime.datetime(2026, 11, 21, 12, 30).timestamp()


def at(*when):
    return datetime.datetime(*when).timestamp()


@pytest.mark.parametrize(
    ("text", "when"),
    [
        (None, FOREVER),
        ("2026-11-20T14:30", at(2026, 11, 20, 14, 30)),
        ("2026-11-20 14:30:05", at(2026, 11, 20, 14, 30, 5)),
        ("2026-11-20", at(2026, 11, 20)),
        ("2026-11-20T14:30+00:00", datetime.datetime(2026, 11, 20, 14, 30, tzinfo=datetime.UTC).timestamp()),
        ("9:05", at(2026, 11, 21, 9, 5)),
        ("09:05:07", at(2026, 11, 21, 9, 5, 7)),
        ("10 minutes ago", NOW - 600),
        ("10m", NOW - 600),
        ("1.5 hours ago", NOW - 5400),
        ("30 s", NOW - 30),
        ("2 days ago", NOW - 172800),
        ("1795238004.5", 1795238004.5),
    ],
)
def test_a_time_may_be_given_as_date_clock_time_age_or_seconds(text, when):
    assert parse_time(text, NOW) == when


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "2026-13-01", "-3 m", "nan", "10 minutes hence"])
def test_a_text_that_is_not_a_time_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="write 2026-11-21T14:30, 14:30, or how long ago"):
        parse_time(text, NOW)
