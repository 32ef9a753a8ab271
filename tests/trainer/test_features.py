import copy
import subprocess
import sys

import pytest

from trainer.features import Bucketized, Categorical, Config, Training

GOOD = {
    "config": {
        "label": {"name": "fails", "task": "binary"},
        "features": {
            "numeric": ["temperature", "age"],
            "categorical": {"model": {"vocabulary": 10, "oov_buckets": 2}, "site/no": {}},
            "bucketized": {"age": {"buckets": 4}},
        },
        "training": {"epochs": 3, "hidden_layers": [8, 4]},
    }
}


def test_the_config_is_read_into_types():
    config = Config.read(GOOD)

    assert (config.label, config.task) == ("fails", "binary")
    assert config.numeric == ("temperature", "age")
    assert config.categorical == (Categorical("model", 10, 2), Categorical("site/no"))
    assert config.bucketized == (Bucketized("age", 4),)
    assert config.raw == ("temperature", "age", "model", "site/no")
    assert config.training == Training(epochs=3, hidden_layers=(8, 4))
    assert config.categorical[1].vocabulary_file == "vocabulary_site_no"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("label", "task"), "ranking", "label.task is 'ranking': expected one of binary"),
        (("training", "epoch"), 3, "a key of training is 'epoch': expected one of strategy"),
        (("training", "epochs"), 0, "training.epochs is 0: expected at least 1"),
        (("training", "dropout"), 1.0, "training.dropout is 1.0: expected from 0 to below 1"),
        (("training", "learning_rate"), 0, "training.learning_rate is 0: expected above 0"),
        (("training", "strategy"), "magic", "training.strategy is 'magic': expected one of none"),
        (("features",), {}, "features is empty"),
        (("features", "numeric"), ["fails"], "features names the label 'fails'"),
    ],
)
def test_what_does_not_fit_is_named(path, value, message):
    bad = copy.deepcopy(GOOD)
    place = bad["config"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError) as caught:
        Config.read(bad)
    assert message in str(caught.value)


def test_a_missing_config_is_named():
    with pytest.raises(ValueError, match="is missing"):
        Config.read({"code": "abc"})


def test_features_import_no_tensorflow():
    code = "import sys, trainer.features; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
