from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from trainer import features

pytestmark = pytest.mark.tfx


@pytest.fixture(scope="module")
def split(transformed):
    """The transformed train split as arrays, by feature."""
    made = transformed("binary")
    output = tft.TFTransformOutput(made.graph.uri)
    files = [str(path) for path in Path(made.examples.uri, "Split-train").iterdir()]
    dataset = tf.data.TFRecordDataset(files, "GZIP").batch(10_000)
    parsed = tf.io.parse_example(next(iter(dataset)), output.transformed_feature_spec())
    return {name: values.numpy() for name, values in parsed.items()}


def test_numbers_are_standardised_and_imputed_with_the_mean(split):
    numeric, missing = split[features.NUMERIC], split[features.MISSING]

    assert numeric.shape == (1600, 3)
    assert 0.05 < missing[:, 0].mean() < 0.15
    assert missing[:, 1:].sum() == 0
    assert (numeric[missing == 1] == 0).all()
    present = numeric[:, 0][missing[:, 0] == 0]
    np.testing.assert_allclose([present.mean(), present.std()], [0, 1], atol=1e-3)
    assert np.abs(numeric).max() <= features.CLIP


def test_ranks_are_uniform_whatever_the_values(split):
    ranks = split[features.RANK]
    assert ((ranks >= 0) & (ranks <= 1)).all()
    assert (ranks[:, 0][split[features.MISSING][:, 0] == 1] == 0.5).all()
    order = np.argsort(split[features.NUMERIC][:, 1])
    assert (np.diff(ranks[order, 1]) >= -1e-6).all()


def test_categories_count_from_the_most_frequent(split):
    model, site, age = split[features.CATEGORICAL].T
    # 0 missing, 1 and 2 the vocabulary of two, 3 out of vocabulary.
    assert set(model) == {0, 1, 2, 3}
    assert (model == 1).sum() > (model == 2).sum() > (model == 3).sum()
    assert 0.02 < (model == 0).mean() < 0.1
    assert set(site) == set(range(1, 41))
    shares = np.bincount(age)[1:] / len(age)
    assert set(age) == {1, 2, 3, 4}
    np.testing.assert_allclose(shares, 0.25, atol=0.08)


def test_the_label_goes_through(split):
    assert set(split[features.LABEL][:, 0]) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("temperature", "warm", "numeric feature 'temperature' is text"),
        ("model", 1.5, "categorical feature 'model' is a float"),
        ("fails", "yes", r"label 'fails' is text: .* \(0 or 1\)"),
        ("load", None, "no column load in the schema"),
    ],
)
def test_a_column_of_the_wrong_kind_is_named(custom_config, column, value, message):
    from trainer.preprocessing import preprocessing_fn

    values = {"temperature": 60.0, "load": 1.0, "runs": 1, "model": "m1", "site": 3, "age": 9}
    values |= {"fails": 1, column: value}
    with tf.Graph().as_default(), pytest.raises(ValueError, match=message):
        preprocessing_fn(
            {
                name: tf.constant([[v]], tf.int64 if isinstance(v, int) else None)
                for name, v in values.items()
                if v is not None
            },
            custom_config("binary"),
        )


def test_several_values_in_an_example_are_refused():
    from trainer.preprocessing import _single_valued

    column = tf.SparseTensor([[0, 0], [0, 1]], [1.0, 2.0], [1, 2])
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most one value an example"):
        _single_valued({"temperature": column})
