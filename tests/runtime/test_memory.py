"""Models that no memory can hold are refused before they are made."""

from __future__ import annotations

import pytest

from hepjax import InputError, models
from hepjax.cli import parsing
from hepjax.data.datasets import hls4ml
from hepjax.inputs import load_subsets, pipelines
from hepjax.models import complexity
from hepjax.runs import options, setup, train


@pytest.mark.parametrize(
    "words, message",
    [
        ("mlp --hidden 1000000000000", "model mlp: has 22,000,000,000,005 numbers, held 4 times in training"),
        ("mlp --hidden 100000 100000 --ensemble 1000", "held 4000 times"),
        ("lstm --units 1000000000000000", "more numbers than can be counted"),
        ("logistic --degree 50", "found 50, which gives 855,420,636,763,835 terms of 16 features"),
        ("logistic --degree 1000000000", "--degree: expected 1000 or less"),
        ("mlp --hidden" + " 1" * 1001, "--hidden: expected 1,000 numbers or fewer, found 1,001"),
        ("deepsets --particles 100000", "--particles: expected 10000 or less"),
        ("convnet --pixels 100000", "--pixels: expected 4096 or less"),
    ],
)
def test_they_are_refused(words, message, tmp_path, monkeypatch):
    monkeypatch.setattr(load_subsets, "load_subsets", lambda *_, **__: pytest.fail("the jets were read"))
    with pytest.raises(InputError) as found:
        train.run(parsing.parse(["train", *words.split(), "--out", str(tmp_path / "run")]))
    assert message in str(found.value)
    assert not (tmp_path / "run").exists()


def test_what_fits_is_measured(monkeypatch):
    chosen = options.Experiment(models.MLP(hidden=(8,)), ensemble=3)
    pipeline = setup.make_task_pipeline(chosen.model, chosen.task, hls4ml.HLS4ML)
    size = 16 * 8 + 8 + 8 * 5 + 5
    for limit, fits in ((4 * size * 4 * 3, True), (4 * size * 4 * 3 - 1, False)):
        monkeypatch.setattr(complexity, "memory_limit", lambda limit=limit: limit)
        if fits:
            setup.check_size(chosen, pipeline, hls4ml.HLS4ML)
        else:
            with pytest.raises(InputError, match=f"has {size} numbers, held 12 times"):
                setup.check_size(chosen, pipeline, hls4ml.HLS4ML)


def test_an_array_of_one_jet_that_does_not_fit_is_refused(monkeypatch):
    pipeline = pipelines.make_pipeline(models.GraphNetwork(particles=30), 5, hls4ml.HLS4ML)
    monkeypatch.setattr(complexity, "memory_limit", lambda: 4 * 30 * 29)
    with pytest.raises(InputError, match="numbers for one jet, which cannot fit into the memory"):
        models.cost(
            pipelines.make_apply(pipeline, pipelines.blank_scaling(pipeline)), *_drawn(pipeline), pipeline.example
        )


def _drawn(pipeline):
    import jax

    return jax.eval_shape(lambda: pipelines.initialize_from_example(pipeline, jax.random.key(0)))
