import datetime
import pickle
import time

import pytest

from social_jepa.config.time_parsing import (
    FOREVER,
    AmbiguousTimeError,
    FutureTimeError,
    SkippedTimeError,
    TimeFormatError,
    UnequalUnitError,
    parse_time,
)

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
        ("2026-11-20T14:30 01:00", datetime.datetime.fromisoformat("2026-11-20T14:30+01:00").timestamp()),
        ("9:05", at(2026, 11, 21, 9, 5)),
        ("09:05:07", at(2026, 11, 21, 9, 5, 7)),
        ("9:05:07", at(2026, 11, 21, 9, 5, 7)),
        ("9:05:07.25", at(2026, 11, 21, 9, 5, 7, 250000)),
        ("10 minutes ago", NOW - 600),
        ("10m", NOW - 600),
        ("1.5 hours ago", NOW - 5400),
        ("30 s", NOW - 30),
        ("2 days ago", NOW - 172800),
        ("2 weeks ago", NOW - 1209600),
        ("1 week", NOW - 604800),
        ("3 Hours Ago", NOW - 10800),
        ("90 secs ago", NOW - 90),
        (" now ", FOREVER),
        ("12:30", NOW),
        ("1795238004.5", 1795238004.5),
    ],
)
def test_a_time_may_be_given_as_date_clock_time_age_or_seconds(text, when):
    assert parse_time(text, NOW) == when


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "25:00", "2026-13-01", "-3 m", "nan", "10 minutes hence", "10 minute5 ago",
        "2 moments ago", "2 mo ago", "3 dogs ago", "5 mills", "1e3 s", "ago", "1 2 days", "9" * 400,
        "0001-01-01T00:00", "now-1h",
    ],
)  # fmt: skip
def test_a_text_that_is_not_a_time_is_refused_with_examples(text):
    with pytest.raises(TimeFormatError, match="write 2026-11-21T14:30, 14:30, now, or how long ago"):
        parse_time(text, NOW)


@pytest.mark.parametrize("text", ["2 months ago", "1 decade ago", "1 year", "1.5 Years ago"])
def test_a_unit_that_is_not_always_equally_long_is_refused(text):
    with pytest.raises(UnequalUnitError, match="varies; write days, weeks or a date"):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    "text", ["2026-11-21T12:31", "12:31", "2027-01-01", str(NOW + 5), "2026-11-22T00:00Z"]
)
def test_the_future_is_refused(text):
    with pytest.raises(FutureTimeError, match="in the future: choose a time up to now, 2026-11-21T12:30:00"):
        parse_time(text, NOW)


@pytest.fixture
def berlin(monkeypatch):
    """Local time of Berlin, by its rule: clocks change on the last Sundays of March and October."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_local_time_that_occurs_twice_is_refused_with_both_choices(berlin):
    with pytest.raises(AmbiguousTimeError, match="occurs twice, because clocks were set back") as refusal:
        parse_time("2026-10-25T02:30", NOW)

    choices = refusal.value.choices
    assert choices == ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00")
    assert parse_time(choices[1], NOW) - parse_time(choices[0], NOW) == 3600
    copy = pickle.loads(pickle.dumps(refusal.value))
    assert (type(copy), vars(copy)) == (AmbiguousTimeError, vars(refusal.value))


def test_a_local_time_that_clocks_skipped_is_refused_with_the_times_around_it(berlin):
    with pytest.raises(SkippedTimeError, match="does not occur, because clocks were set forward") as refusal:
        parse_time("2026-03-29T02:30", NOW)

    assert refusal.value.choices == ("2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00")


@pytest.mark.parametrize("clock", ["01:59", "03:00"])
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_local_times_before_and_after_a_change_of_clocks_are_taken(berlin, day, clock):
    expected = datetime.datetime.fromisoformat(f"{day}T{clock}").astimezone().timestamp()

    assert parse_time(f"{day}T{clock}", NOW) == expected


def test_a_clock_time_of_today_that_occurs_twice_is_refused(berlin):
    now = datetime.datetime.fromisoformat("2026-10-25T12:00+01:00").timestamp()

    with pytest.raises(AmbiguousTimeError):
        parse_time("2:30", now)
