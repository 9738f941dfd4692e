"""A step whose gradients are not finite does no harm; all others are those of Keras' optimisers."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from model.network.network import NetworkError
from model.training import trainer
from model.training.callbacks import Checkpoint

START = [[1.0, -2.0], [0.5, 3.0]]


def after(optimizer, gradients):
    weights = [keras.Variable(value) for value in START]
    for step in gradients:
        optimizer.apply([ops.convert_to_tensor(g) for g in step], weights)
    return [ops.convert_to_numpy(w) for w in weights]


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.3}])
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_finite_steps_are_those_of_keras(name, options):
    gradients = [[[0.1, 0.2], [0.3, -0.4]], [[1.0, 0.0], [0.5, 2.0]], [[-3.0, 1.0], [0.1, 0.1]]]
    options = {"epsilon": 0.01, "use_ema": True} | options
    own = getattr(keras.optimizers, name)(0.1, **options)
    guarded = getattr(trainer, name)(0.1, **options)
    np.testing.assert_allclose(after(guarded, gradients), after(own, gradients), rtol=1e-5)
    assert int(guarded.left_out) == 0
    ours = [v for v in guarded.variables if v is not guarded.left_out]
    for mine, theirs in zip(ours, own.variables, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, err_msg=f"{mine.path}, {theirs.path}")


def test_weight_decay_leaves_out_what_it_is_told_to():
    weights = [keras.Variable([1.0], name=name) for name in ("kernel", "bias")]
    optimizer = trainer.AdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.apply([ops.zeros(1), ops.zeros(1)], weights)
    assert [float(w[0]) for w in weights] == pytest.approx([1 - 0.1 * 0.5, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_gradient_makes_all_of_the_step_zero(bad):
    bad_first = after(guarded := trainer.Adam(0.1), [[[bad, 0.2], [0.3, 0.4]]])
    np.testing.assert_array_equal(bad_first, START)
    assert int(guarded.left_out) == 1
    then = after(trainer.Adam(0.1), [[[bad, 9.0], [9.0, 9.0]], [[1.0, 1.0], [1.0, 1.0]]])
    assert np.isfinite(then).all() and (np.array(then) < START).all()


def fitted(folder, spoil=None):
    """A small network after two epochs under Checkpoint. In the epoch `spoil` one input is all 0:
    its loss is finite, but the gradient, the slope of a square root at 0, is not."""
    keras.utils.set_random_seed(0)
    root = keras.layers.Activation(lambda v: ops.sqrt(ops.abs(v)))
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False), root])
    model = keras.Sequential([keras.Input((2,)), inner])
    model.compile(trainer.Adam(0.1), "mse")
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    spoiled = x.copy()
    spoiled[3] = 0
    checkpoint = Checkpoint(folder, inner, None, None, 8)
    for epoch in (0, 1):
        data = spoiled if spoil == epoch else x
        model.fit(
            data,
            x,
            batch_size=2,
            shuffle=False,
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[checkpoint],
            verbose=0,
        )
    return model, inner


def test_a_bad_step_is_reported_and_the_run_continues(tmp_path, capsys):
    model, inner = fitted(tmp_path, spoil=1)
    assert "1 steps of this epoch had gradients that are not finite" in capsys.readouterr().out
    assert all(np.isfinite(ops.convert_to_numpy(w)).all() for w in inner.weights)
    assert int(model.optimizer.left_out) == 1
    (tmp_path / "fine").mkdir()
    fitted(tmp_path / "fine")
    assert "not finite" not in capsys.readouterr().out


def test_a_loss_that_is_not_finite_ends_in_a_sentence(tmp_path):
    model, inner = fitted(tmp_path)
    x = np.full((2, 2), np.nan, "float32")
    stop = [Checkpoint(tmp_path, inner, None, None, 8), keras.callbacks.TerminateOnNaN()]
    with pytest.raises(NetworkError, match="the loss is not finite: lower --learning-rate"):
        model.fit(x, x, epochs=3, callbacks=stop, verbose=0)


def test_weights_that_are_not_finite_are_not_kept(tmp_path):
    model, inner = fitted(tmp_path)
    state = json.loads((tmp_path / "state.json").read_text())
    checkpoint = Checkpoint(tmp_path, inner, None, None, 8)
    checkpoint.load()
    x = np.zeros((2, 2), "float32")
    inner.set_weights([np.full(w.shape, np.nan) for w in inner.weights])
    with pytest.raises(NetworkError, match="epoch 3 left weights that are not finite"):
        model.fit(x, x, initial_epoch=2, epochs=3, callbacks=[checkpoint], verbose=0)
    assert json.loads((tmp_path / "state.json").read_text()) == state
    assert (tmp_path / state["state"]).is_file() and (tmp_path / state["best"]).is_file()
