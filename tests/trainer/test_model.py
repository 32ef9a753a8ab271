import numpy as np
import pytest
import tensorflow as tf

from trainer.features import Config
from trainer.layers import pieces
from trainer.model import Target, combine, predictions

pytestmark = pytest.mark.tfx


def config(task: str) -> Config:
    return Config.read(
        {"config": {"label": {"name": "y", "task": task}, "features": {"numeric": ["x"]}}}
    )


def test_weights_of_a_rare_class_keep_the_mean_at_one():
    labels = np.array([1.0] * 10 + [0.0] * 990)
    target = Target.measure("binary", labels, 0, balanced=True)

    assert target.weights[1] > 5 * target.weights[0]
    assert np.mean(target.weights[labels.astype(int)]) == pytest.approx(1, rel=1e-5)
    assert Target.measure("binary", labels, 0, balanced=False).weights.tolist() == [1, 1]


def test_one_class_only_cannot_be_trained_with():
    with pytest.raises(ValueError, match="all 5 training examples are of one class"):
        Target.measure("binary", np.zeros(5), 0, balanced=True)


def test_a_constant_number_has_a_scale():
    target = Target.measure("regression", np.full(4, 3.0), 0, balanced=True)
    assert (target.mean, target.scale) == (3.0, 1.0)


def test_weighting_is_taken_off_the_probabilities():
    labels = np.array([1.0] * 2 + [0.0] * 98)
    target = Target.measure("binary", labels, 0, balanced=True)
    # A model that learnt nothing but the weighted share of class 1 answers with its log odds.
    weighted = 0.02 * target.weights[1] / (0.02 * target.weights[1] + 0.98 * target.weights[0])
    logit = tf.constant([[np.log(weighted / (1 - weighted))] * 8], tf.float32)

    answer = predictions(config("binary"), target, None, logit)

    assert float(answer["probabilities"][0]) == pytest.approx(0.02, rel=1e-4)
    assert answer["classes"].numpy().tolist() == [0]


def test_multiclass_answers_name_their_classes():
    target = Target.measure("multiclass", np.array([0, 0, 0, 1, 2]), 3, balanced=False)
    outputs = tf.constant([[[0.0, 3.0, 1.0]] * 8, [[5.0, 0.0, 0.0]] * 8])

    answer = predictions(config("multiclass"), target, tf.constant(["a", "b", "c"]), outputs)

    assert answer["classes"].numpy().tolist() == [b"b", b"a"]
    assert answer["all_classes"].numpy().tolist() == [[b"a", b"b", b"c"]] * 2
    np.testing.assert_allclose(answer["probabilities"].numpy().sum(axis=1), 1, rtol=1e-6)


def test_members_answer_with_their_mean():
    outputs = tf.constant([[0.0, 100.0]])
    assert float(combine("binary", outputs)[0, 0]) == pytest.approx(0.75)
    assert float(combine("regression", outputs)[0, 0]) == 50


def test_pieces_fill_up_one_after_the_other():
    encoded = pieces(tf.constant([[0.0, 0.625], [1.0, 0.5]]), 4)
    assert encoded.numpy().tolist() == [
        [[0, 0, 0, 0], [1, 1, 0.5, 0]],
        [[1, 1, 1, 1], [1, 1, 0, 0]],
    ]
