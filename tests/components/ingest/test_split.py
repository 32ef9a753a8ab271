import hypothesis
import hypothesis.strategies as st
import pydantic
import pytest

from components.ingest import split

DAY = 86_400_000_000
SPLIT = pydantic.TypeAdapter(split.Split)


def test_time_split_is_counted_back_from_as_of():
    window = split.data_window(
        100 * DAY, split.TimeSplit(by="time", train="60d", eval="14d"), horizon=DAY
    )
    assert window == split.DataWindow(
        as_of=100 * DAY,
        train_begin=24 * DAY,
        train_end=84 * DAY,
        eval_begin=85 * DAY,
        eval_end=99 * DAY,
    )
    assert (window.begin, window.end) == (24 * DAY, 99 * DAY)


def test_entity_split_takes_one_stretch_for_both():
    window = split.data_window(
        100 * DAY, split.EntitySplit(by="entity", window="30d", eval=0.2), horizon=2 * DAY
    )
    assert (window.train_begin, window.train_end) == (68 * DAY, 98 * DAY)
    assert (window.eval_begin, window.eval_end) == (68 * DAY, 98 * DAY)


@hypothesis.given(
    st.integers(0, 10**15), st.integers(1, 400), st.integers(1, 400), st.integers(0, 100)
)
def test_no_training_label_looks_into_eval_and_none_past_as_of(as_of, train, eval_, horizon):
    settings = split.TimeSplit(by="time", train=f"{train}h", eval=f"{eval_}h")
    look_ahead = horizon * DAY // 24
    window = split.data_window(as_of, settings, look_ahead)
    assert window.train_end + look_ahead <= window.eval_begin
    assert window.eval_end + look_ahead <= as_of
    assert window.train_end - window.train_begin == settings.train
    assert window.eval_end - window.eval_begin == settings.eval


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "hash"}, "does not match any of the expected tags"),
        ({"by": "time", "train": "60d"}, "Field required"),
        ({"by": "time", "train": "60 days", "eval": "14d"}, "expected a duration such as"),
        ({"by": "time", "train": "0s", "eval": "14d"}, "expected a duration above zero"),
        ({"by": "entity", "window": "60d", "eval": 1.0}, "less than 1"),
        ({"by": "entity", "window": "60d", "eval": 0.2, "train": "1d"}, "Extra inputs"),
    ],
)
def test_a_bad_split_is_refused(settings, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        SPLIT.validate_python(settings)
