import pytest

from tests.trainer.conftest import transform

pytestmark = pytest.mark.tfx


def test_time_says_nothing_about_batches(tmp_path, monkeypatch):
    """Whoever analyses the same rows twice gets the same digits."""
    from tfx_bsl.coders import batch_util

    asked = []
    arguments = batch_util.GetBatchElementsKwargs

    def spy(*given):
        asked.append(arguments(*given))
        return asked[-1]

    monkeypatch.setattr(batch_util, "GetBatchElementsKwargs", spy)
    transform(tmp_path, "binary")
    # The split that is analysed, and both that are transformed. Beam tunes between two bounds.
    assert len(asked) == 3
    assert all(one["min_batch_size"] == one["max_batch_size"] for one in asked)
