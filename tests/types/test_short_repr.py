"""What people see of structures in a notebook: five lines at most, whatever is in them."""

import dataclasses
import enum
import pathlib
from html.parser import HTMLParser
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hepjax
from hepjax import types
from hepjax.inputs import batching, pipelines
from hepjax.runs import options, stored, taggers
from hepjax.types.short_repr import short_repr


class Color(enum.Enum):
    RED = "red"


class Holder(NamedTuple):
    value: Any
    other: Any = 3

    __repr__ = short_repr


@pytest.mark.parametrize(
    "value, shown",
    [
        (np.zeros((3, 40)), "float64 (3, 40)"),
        (np.array([2.0, 5.0], np.float32), "array([2., 5.], dtype=float32)"),
        (jnp.zeros(2), "float32 (2,)"),
        (jax.random.key(0), "key<fry> ()"),
        ("a" * 100, f"'{'a' * 57}…'"),
        (Color.RED, "'red'"),
        (pathlib.Path("/a/b"), "/a/b"),
        (np.mean, "mean"),
        ((1,), "(1,)"),
        ((), "()"),
        ([1, 2, 3, 4, 5], "(1, 2, 3, 4, …: 5)"),
        ({"a": 1, "b": 2}, "{a, b}"),
        ({"a": (np.zeros(3), {"b": np.zeros((2, 2))})}, "{a: 2 arrays of 7 numbers}"),
        (Holder(1), "Holder(…)"),
        (types.Dataset("mine"), "Dataset('mine')"),
    ],
)
def test_values(value, shown):
    assert repr(Holder(value)) == f"Holder(value={shown})"


def test_defaults_are_left_out_unless_they_are_asked_for():
    assert repr(Holder(1, 3)) == "Holder(value=1)"
    assert repr(Holder(1, 3.0)) == "Holder(value=1, other=3.0)"
    assert short_repr(Holder(1), defaults=True) == "Holder(value=1, other=3)"
    assert repr(types.Dataset("mine", units={"pt": "GeV"})) == "Dataset(name='mine', units={pt})"


def test_long_ones_end_after_five_lines():
    shown = repr(Holder(tuple("x" * 60 for _ in range(4)), tuple("y" * 60 for _ in range(8))))
    many = dataclasses.make_dataclass("Many", [(f"field_number_{i}", int) for i in range(99)])
    for text in (shown, short_repr(many(*range(99)))):
        assert len(text.splitlines()) <= 5
        assert max(map(len, text.splitlines())) <= 120
    assert text.endswith(" …)")


def test_the_structures_of_a_training(trained_runs):
    jets = hepjax.read_jets()[:200]
    x = hepjax.inputs.tabular(jets)
    model = hepjax.models.MLP(outputs=5)
    start = hepjax.training.start(
        *hepjax.models.initialize(model, jax.random.key(0), x[:1]), optax.adam(1e-3), jax.random.key(1)
    )
    run = stored.open_run(trained_runs("mlp"))
    rows = types.Epoch(1, 0.5, 0.5, 0.5, 1e-3, 1.0, 100.0)
    structures = [
        hepjax.read_jets(), jets, jets.dataset, hepjax.data.read_header(hepjax.data.list_files(None)[0]),
        hepjax.data.summarize(hepjax.data.list_files(None)[0]),
        types.Batch(x, jets.labels, np.ones(200)), types.Scores(x, jets.labels, None, jets.classes),
        hepjax.inputs.sequences(jets, ("j1_pt",)), hepjax.inputs.fit_scaling(x), batching.split(200, seed=0),
        next(batching.make_windows(types.Batch(x, jets.labels, np.ones(200)), batch_size=64, seed=0)(1)),
        start, start.state, types.Progress(99, history=(rows,) * 99), rows, model, hepjax.models.MODELS,
        run, run.network, run.network.pipeline, run.experiment, run.experiment.optimizer, run.experiment.task,
        stored.predictions_of(run), taggers.predictor_of(run), hepjax.load(trained_runs("mlp")),
        hepjax.load(trained_runs("mlp")).metrics, hepjax.load(trained_runs("folds")).metrics,
        pipelines.make_pipeline(hepjax.models.DeepSets(), 5, jets.dataset),
        options.Experiment(model=model, epochs=3, optimizer=options.Optimization(name="sgd")),
    ]  # fmt: skip
    for structure in structures:
        text = repr(structure)
        assert len(text.splitlines()) <= 5, text
        assert len(text) <= 600, text
        assert not text.startswith("<hepjax.")
        assert " object at 0x" not in text


def test_what_matters_is_shown(trained_runs):
    jets = hepjax.read_jets()
    assert repr(jets).startswith(
        "<5,000 jets of hls4ml, up to 30 particles, on disk in 1 file, 16 columns of particles"
    )
    assert repr(jets[:100]) == (
        "<100 jets of hls4ml, up to 30 particles, 16 columns of particles, 53 of jets, classes g, q, w, z, t>"
    )
    assert repr(hepjax.models.MLP(hidden=(8,))).startswith("MLP(outputs=1, features=(), hidden=(8,), activation='relu'")
    assert "epochs=3" in repr(options.Experiment(epochs=3))
    metrics = hepjax.load(trained_runs("mlp")).metrics
    assert f"accuracy {metrics['accuracy']:.4g}" in repr(metrics)
    assert isinstance(metrics, dict)


def test_tables_in_a_notebook_are_html(trained_runs):
    class Words(HTMLParser):
        found = ""

        def handle_data(self, data):
            self.found += f"{data}|"

    odd = dataclasses.replace(hepjax.read_jets().dataset, name="<b>&", classes=("<i>", "q", "w", "z", "t"))
    tables = [dataclasses.replace(hepjax.read_jets()[:3], dataset=odd), hepjax.load(trained_runs("ensemble"))]
    jets, tagger = (Words() for _ in tables)
    for parser, table in zip((jets, tagger), tables, strict=True):
        parser.feed(table._repr_html_())
    assert jets.found.startswith(
        "3 jets of <b>&, up to 30 particles|classes|<i>, q, w, z, t|columns of particles|j1_px, "
    )
    assert tagger.found.startswith("mlp|task|classification|predicts|")
    assert "in each of 2 networks" in tagger.found
