"""Files of Keras: what comes out equals Keras' definitions, computed in loops in float64."""

from __future__ import annotations

import itertools
import json

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError, models
from hepjax.models import pretrained


def layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, **config}}


def dense(name, units, activation="linear", use_bias=True):
    return layer("Dense", name, units=units, activation=activation, use_bias=use_bias)


def conv(name, filters, kernel, strides=None, padding="valid", activation="linear", **config):
    fields = {"filters": filters, "kernel_size": kernel, "strides": strides or [1] * len(kernel), "padding": padding}
    fields |= {"data_format": "channels_last", "activation": activation, "use_bias": True, **config}
    return layer(f"Conv{len(kernel)}D", name, **fields)


def pool(kind, name, size, strides=None, padding="valid"):
    return layer(f"{kind}Pooling{len(size)}D", name, pool_size=size, strides=strides, padding=padding)


def norm(name, **config):
    fields = {"axis": -1, "momentum": 0.9, "epsilon": 0.01, "center": True, "scale": True}
    return layer("BatchNormalization", name, **(fields | config))


def start(*shape):
    return layer("InputLayer", "input_1", batch_input_shape=[None, *shape])


END = layer("Activation", "probabilities", activation="softmax")
FLAT = layer("Flatten", "flatten")
DROP = layer("Dropout", "dropout", rate=0.5)

ARCHITECTURES = {
    "dense": [start(6), dense("a", 8, "relu"), dense("b", 4, "elu"), dense("c", 5, "softmax")],
    "dense activations": [
        start(6), dense("a", 8, "selu"), dense("b", 8, "tanh", use_bias=False), dense("c", 3, "softplus"),
    ],
    "one sigmoid": [start(6), dense("a", 8, "sigmoid"), dense("c", 1, "sigmoid")],
    "batch norm": [
        start(6), norm("n1"), dense("a", 8), norm("n2", scale=False), layer("Activation", "r", activation="relu"), DROP,
        dense("c", 5), norm("n3", center=False), END,
    ],
    "conv1d same": [start(10, 4), conv("a", 3, [4], padding="same", activation="relu"), FLAT, dense("c", 5), END],
    "conv1d strides": [
        start(11, 2), conv("a", 3, [3], [2], "same", "relu"), conv("b", 2, [3], [2]), FLAT, dense("c", 2),
    ],
    "conv2d": [
        start(9, 8, 2), norm("n"), conv("a", 3, [3, 2], [2, 3], "same", "elu"), conv("b", 2, [2, 2]), FLAT,
        dense("c", 5, "softmax"),
    ],
    "pools in 2d": [
        start(11, 10, 1), conv("a", 2, [3, 3]), pool("Max", "p", [2, 3]), pool("Average", "q", [2, 2], [1, 1], "same"),
        FLAT, dense("c", 5),
    ],
    "pools in 1d": [
        start(13, 2), pool("Average", "q", [3], [2], "same"), pool("Max", "p", [2], [2], "same"), FLAT, dense("c", 5),
    ],
}  # fmt: skip


def random_weights(architecture, rng):
    """Keras' arrays for the layers, in Keras' order."""
    shape, weights = architecture[0]["config"]["batch_input_shape"][1:], {}
    for entry in architecture:
        config, kind, arrays = entry["config"], entry["class_name"], {}
        if kind in {"Dense", "Conv1D", "Conv2D"}:
            outputs = config.get("units", config.get("filters"))
            arrays["kernel"] = rng.normal(size=(*config.get("kernel_size", []), shape[-1], outputs)) / 2
            if config["use_bias"]:
                arrays["bias"] = rng.normal(size=outputs)
        elif kind == "BatchNormalization":
            kept = [("gamma", "scale"), ("beta", "center")]
            arrays |= {name: rng.normal(1, 0.3, shape[-1]) for name, field in kept if config[field]}
            arrays["moving_mean"], arrays["moving_variance"] = (
                rng.normal(size=shape[-1]),
                rng.uniform(0.5, 2, shape[-1]),
            )
        weights[config["name"]] = {name: array.astype(np.float32) for name, array in arrays.items()}
        shape = keras_by_hand([entry], weights, np.zeros((1, *shape))).shape[1:]
    return weights


def windows(length, size, stride, padding):
    """Where each window starts, and how many fit; Keras' definitions of `valid` and `same`."""
    count = -(-length // stride) if padding == "same" else (length - size) // stride + 1
    missing = max((count - 1) * stride + size - length, 0) if padding == "same" else 0
    return [i * stride - missing // 2 for i in range(count)]


def slide(x, config, size, function):
    """Applies `function` to each window: the places inside it and their values."""
    spatial = x.shape[1:-1]
    starts = [windows(*of, config["padding"]) for of in zip(spatial, size, config["strides"] or size, strict=True)]
    out = {}
    for place in itertools.product(*map(range, map(len, starts))):
        inside = []
        for offset in itertools.product(*map(range, size)):
            at = tuple(axis[i] + o for axis, i, o in zip(starts, place, offset, strict=True))
            if all(0 <= i < n for i, n in zip(at, spatial, strict=True)):
                inside.append((offset, x[:, *at]))
        out[place] = function(inside)
    some = next(iter(out.values()))
    return np.stack(list(out.values()), axis=1).reshape(len(x), *map(len, starts), some.shape[-1])


ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(np.minimum(x, 0)) - 1)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
}


def keras_by_hand(architecture, weights, x):
    """What Keras answers, probabilities included, in float64."""
    for entry in architecture:
        config, kind = entry["config"], entry["class_name"]
        arrays = {name: array.astype(np.float64) for name, array in weights[config["name"]].items()}
        if kind == "Dense":
            x = x @ arrays["kernel"] + arrays.get("bias", 0)
        elif kind.startswith("Conv"):
            kernel = arrays["kernel"]
            x = slide(x, config, config["kernel_size"], lambda w, k=kernel: sum(v @ k[offset] for offset, v in w))
            x = x + arrays["bias"]
        elif kind == "BatchNormalization":
            scaled = (x - arrays["moving_mean"]) / np.sqrt(arrays["moving_variance"] + config["epsilon"])
            x = scaled * arrays.get("gamma", 1) + arrays.get("beta", 0)
        elif "Pooling" in kind:
            function = np.max if kind.startswith("Max") else np.mean
            x = slide(x, config, config["pool_size"], lambda w, f=function: f([v for _, v in w], axis=0))
        elif kind == "Flatten":
            x = x.reshape(len(x), -1)
        x = ACTIVATIONS[config.get("activation", "linear")](x)
    return x


def write_weights(group, weights, full_names="{layer}/{name}:0"):
    group.attrs["layer_names"] = [name.encode() for name in weights]
    for name, arrays in weights.items():
        part = group.create_group(name)
        names = [full_names.format(layer=name, name=weight) for weight in arrays]
        part.attrs["weight_names"] = [full_name.encode() for full_name in names]
        for full_name, array in zip(names, arrays.values(), strict=True):
            part[full_name] = array


def functional(architecture):
    """The JSON of a functional model: a chain."""
    chained = [
        {**entry, "inbound_nodes": [[[before["config"]["name"], 0, 0, {}]]] if before else []}
        for before, entry in itertools.pairwise([None, *architecture])
    ]
    return json.dumps({"class_name": "Model", "config": {"name": "model_1", "layers": chained}})


def sequential(architecture):
    """The JSON of the older sequential models: no layer for the input."""
    first, second, *others = architecture
    shape = {"batch_input_shape": first["config"]["batch_input_shape"]}
    return json.dumps(
        {"class_name": "Sequential", "config": [{**second, "config": {**second["config"], **shape}}, *others]}
    )


@pytest.fixture
def pair(tmp_path, rng):
    """A function that writes weights.h5 and model.json and gives their paths and the arrays."""

    def write(architecture, text=None):
        weights = random_weights(architecture, rng)
        with h5py.File(tmp_path / "weights.h5", "w") as file:
            write_weights(file, weights)
        (tmp_path / "model.json").write_text(text or functional(architecture))
        return tmp_path / "weights.h5", tmp_path / "model.json", weights

    return write


def answer(module, params, state, x):
    mask = jnp.ones(len(x), bool)
    return np.asarray(jax.jit(models.make_apply(module))(params, state, jnp.asarray(x, jnp.float32), mask, None)[0])


@pytest.fixture
def inputs(rng):
    return lambda architecture: rng.normal(size=(3, *architecture[0]["config"]["batch_input_shape"][1:]))


class TestKeras:
    @pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=list(ARCHITECTURES))
    @pytest.mark.parametrize("form", [functional, sequential])
    def test_equals_keras(self, architecture, form, pair, inputs):
        path, json_path, weights = pair(architecture, form(architecture))
        x = inputs(architecture)
        found = answer(*pretrained.keras(path, json_path), x)
        expected = keras_by_hand(architecture, weights, x)
        last = architecture[-1]["config"].get("activation")
        found = ACTIVATIONS[last](found.astype(np.float64)) if last in {"softmax", "sigmoid"} else found
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)

    def test_a_whole_model_in_one_file(self, tmp_path, rng, inputs):
        architecture = ARCHITECTURES["batch norm"]
        weights = random_weights(architecture, rng)
        with h5py.File(tmp_path / "model.h5", "w") as file:
            file.attrs["model_config"] = functional(architecture)
            write_weights(file.create_group("model_weights"), weights, "{layer}_1/{layer}/{name}:0")
        x = inputs(architecture)
        found = answer(*pretrained.keras(tmp_path / "model.h5"), x)
        expected = keras_by_hand(architecture[:-1], weights, x)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)

    def test_it_can_be_trained_on(self, pair, inputs):
        architecture = ARCHITECTURES["batch norm"]
        module, params, state = pretrained.keras(*pair(architecture)[:2])
        x = jnp.asarray(inputs(architecture), jnp.float32)
        apply, key = models.make_apply(module), jax.random.key(0)
        short = apply(params, state, x[:2], jnp.ones(2, bool), key)[1]
        mask = jnp.array([True, True, False])
        padded = apply(params, state, x, mask, key)[1]
        moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), state, short)
        assert min(jax.tree.leaves(moved["batch_stats"]["layers_0"])) > 0
        first = [jax.tree.leaves(found["batch_stats"]["layers_0"]) for found in (short, padded)]
        np.testing.assert_allclose(first[0], first[1], rtol=1e-5)

    def test_read_keras(self, pair):
        path, _, weights = pair(ARCHITECTURES["batch norm"])
        found = pretrained.read_keras(path)
        assert list(found) == list(weights)
        for name, arrays in weights.items():
            assert list(found[name]) == list(arrays)
            for weight, array in arrays.items():
                np.testing.assert_array_equal(found[name][weight], array, strict=True)


class TestRefused:
    @pytest.mark.parametrize(
        "bad, words",
        [
            (layer("TernaryDense", "fc1", units=8, activation="linear"), r"layer 'fc1' \(TernaryDense\): not a known"),
            (dense("fc1", 8, "hard_sigmoid"), "layer 'fc1' .* activation 'hard_sigmoid' is not known"),
            (dense("fc1", 8, "softmax"), "layer 'fc1' .* activation 'softmax' is not known"),
            (dense("fc1", 8, {"class_name": "quantized_relu"}), "layer 'fc1'"),
            (layer("Dense", "fc1", units=8), "layer 'fc1' .*use_bias"),
            (norm("fc1", axis=1), "layer 'fc1' .*axis"),
            (conv("fc1", 3, [3], data_format="channels_first"), "layer 'fc1' .*channels_first"),
            (conv("fc1", 3, [3, 3]), "do not fit"),
            (conv("fc1", 3, [3], strides=[1, 2]), "layer 'fc1' .*strides: expected 1 positive"),
            (pool("Max", "fc1", [0, 2]), "layer 'fc1' .*pool_size: expected 2 positive"),
            (conv("fc1", 3, [3], padding="nonsense"), "do not fit"),
            (dense("fc1", "many"), "do not fit"),
            (layer("Flatten", "input_1"), "layer 'input_1': expected one input"),
        ],
        ids=lambda value: None if isinstance(value, str) else value["class_name"],
    )
    def test_a_layer(self, bad, words, pair):
        path, json_path, _ = pair(ARCHITECTURES["dense"])
        json_path.write_text(functional([start(6), bad, dense("c", 5)]))
        with pytest.raises(InputError, match=f"model.json: .*{words}"):
            pretrained.keras(path, json_path)

    def test_a_branch(self, pair):
        path, json_path, _ = pair(ARCHITECTURES["dense"])
        model = json.loads(functional(ARCHITECTURES["dense"]))
        model["config"]["layers"][2]["inbound_nodes"] = [[["input_1", 0, 0, {}]]]
        json_path.write_text(json.dumps(model))
        with pytest.raises(InputError, match="layer 'b': expected one input"):
            pretrained.keras(path, json_path)

    @pytest.mark.parametrize("shape", [None, [None, None, 4], 6, [None, "a"]])
    def test_no_input_shape(self, shape, pair):
        path, json_path, _ = pair(ARCHITECTURES["dense"])
        json_path.write_text(json.dumps({"config": [layer("InputLayer", "i", batch_input_shape=shape)]}))
        with pytest.raises(InputError, match=r"model\.json: expected the input's shape"):
            pretrained.keras(path, json_path)

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", '{"config": 3}', '{"config": [1]}', '{"config": [{}]}', "[" * 10**5]
    )
    def test_no_architecture(self, text, pair):
        path, json_path, _ = pair(ARCHITECTURES["dense"])
        json_path.write_text(text)
        with pytest.raises(InputError, match=r"model\.json: no architecture"):
            pretrained.keras(path, json_path)

    def test_weights_of_another_model(self, pair):
        path, json_path, _ = pair(ARCHITECTURES["dense"])
        for other in ("dense activations", "one sigmoid", "batch norm", "conv1d same"):
            json_path.write_text(functional(ARCHITECTURES[other]))
            with pytest.raises(InputError, match=r"weights\.h5: layer '.*give the right pair"):
                pretrained.keras(path, json_path)

    def test_weights_without_architecture(self, pair):
        path, _, _ = pair(ARCHITECTURES["dense"])
        with pytest.raises(InputError, match=r"weights\.h5: holds weights only"):
            pretrained.keras(path)

    @pytest.mark.parametrize(
        "array, words", [(np.array([np.nan]), "NaN"), (np.array([1]), "floating-point"), (np.array([b"a"]), "floating")]
    )
    def test_weights_that_are_no_numbers(self, array, words, tmp_path):
        with h5py.File(tmp_path / "weights.h5", "w") as file:
            write_weights(file, {"a": {"kernel": array}})
        with pytest.raises(InputError, match=rf"weights\.h5: a/kernel:0: .*{words}"):
            pretrained.read_keras(tmp_path / "weights.h5")

    def test_a_dataset_far_larger_than_its_file(self, tmp_path):
        with h5py.File(tmp_path / "weights.h5", "w") as file:
            write_weights(file, {"a": {"kernel": np.ones(3)}})
            del file["a/a/kernel:0"]
            file["a"].create_dataset("a/kernel:0", (2**24, 2**24), np.float64, chunks=(1, 1024))
        with pytest.raises(InputError, match="bytes in a file of"):
            pretrained.read_keras(tmp_path / "weights.h5")

    @pytest.mark.parametrize("attribute", ["layer_names", "weight_names", None])
    def test_other_hdf5_files(self, attribute, pair):
        path, _, _ = pair(ARCHITECTURES["dense"])
        with h5py.File(path, "r+") as file:
            if attribute is None:
                del file["a/a/kernel:0"]
            else:
                del (file if attribute == "layer_names" else file["a"]).attrs[attribute]
        with pytest.raises(InputError, match=r"weights\.h5: (no weights|damaged)"):
            pretrained.read_keras(path)

    @pytest.mark.parametrize("data", [b"", b"hello" * 99, b"\x89HDF\r\n\x1a\n" + bytes(200)])
    def test_no_hdf5(self, data, tmp_path):
        (tmp_path / "weights.h5").write_bytes(data)
        for load in (pretrained.read_keras, pretrained.keras):
            with pytest.raises(InputError, match=r"weights\.h5: damaged"):
                load(tmp_path / "weights.h5")

    def test_no_file(self, tmp_path):
        for path in (tmp_path, tmp_path / "no.h5"):
            with pytest.raises(InputError, match="cannot be read"):
                pretrained.keras(path)
