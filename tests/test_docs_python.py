"""What the pages for those who work in Python tell a reader to write."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
import types

import chex
import jax
import pytest

import hepjax

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGES = sorted({*DOCS.glob("*.md"), *DOCS.glob("tutorial/*.md"), DOCS.parent / "README.md"} - {DOCS / "changelog.md"})


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_flax_module_of_ones_own(folder, brief):
    text = next(text for text in blocks("own-model") if "__main__" in text)
    (folder / "my_net.py").write_text(text.replace("epochs=5", "epochs=1"))
    program = f"import sys; sys.path[:0] = {sys.path!r}; import runpy; runpy.run_path('my_net.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) > 0.2
    assert hepjax.load("my-net").pipeline.network.label() == "Net"
    names = {*re.findall(r"hepjax\.(\w+)", text)}
    assert len(names) <= 12


def test_callbacks(folder, brief, monkeypatch):
    class Run:
        """Stands for a run of MLflow or of Weights & Biases."""

        def __init__(self):
            self.logged, self.summary = [], {}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.logged.append("end")

        def log(self, values):
            self.logged.append(values)

    runs = {name: Run() for name in ("mlflow", "wandb")}
    of_mlflow = runs["mlflow"].logged
    mlflow = types.SimpleNamespace(
        start_run=lambda: runs["mlflow"],
        log_params=of_mlflow.append,
        log_metrics=lambda values, step: of_mlflow.append((step, values)),
        log_metric=lambda name, value: of_mlflow.append((name, value)),
        log_artifacts=lambda path: of_mlflow.append(sorted(file.name for file in pathlib.Path(path).iterdir())),
    )
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda project, config: runs["wandb"]))
    names = {}
    for text in blocks("callbacks"):
        exec(text, names)  # noqa: S102 — the text is our own
    assert [loss[0] for loss in names["losses"]] == [1, 2, 3]
    params, *epochs, accuracy, files, end = of_mlflow
    assert (params, end) == ({"model": "mlp", "jets": 1000}, "end")
    assert [step for step, _ in epochs] == [1, 2, 3]
    assert accuracy[0] == "test_accuracy"
    assert "metrics.json" in files
    assert [row["epoch"] for row in runs["wandb"].logged[:-1]] == [1, 2, 3]
    assert runs["wandb"].summary["test_accuracy"] == names["tagger"].metrics["accuracy"]


def test_loops_of_ones_own(many_devices, capsys):
    """One epoch by each of the ways over eight devices leaves the parameters of one epoch on one device."""
    names, states = {}, {}
    for text in blocks("own-loop"):
        exec(text, names)  # noqa: S102 — the text is our own
        way = (
            "epochs"
            if "for epoch in" in text
            else next((w for w in ("shard_map", "pmap", "place_state") if w in text), "")
        )
        if "make_devices" in text:
            assert names["devices"].everywhere == 8
            states[way] = jax.device_get(names["state"].params)
        elif way == "epochs":
            assert 0.55 < names["lowest"] < 1.2
    assert {*states} == {"place_state", "pmap", "shard_map"}
    state = hepjax.training.start(names["params"], names["model_state"], names["optimizer"], jax.random.key(1)).state
    step = hepjax.training.make_train_step(names["apply"], names["loss"], hepjax.training.with_loss(names["optimizer"]))
    step = jax.jit(step)
    for batch in hepjax.inputs.batches(names["train"], batch_size=128, seed=0):
        state, _ = step(state, batch)
    for params in states.values():
        chex.assert_trees_all_close(params, jax.device_get(state.params), atol=1e-5)
    accuracies = (names["figures"]["accuracy"], names["metrics"]["accuracy"])
    assert all(0.55 < accuracy < 0.95 for accuracy in accuracies)
    assert capsys.readouterr().out.startswith("accuracy 0.")


def test_what_the_pages_name_is_there_after_import_hepjax():
    """By dots alone: a reader who has imported hepjax imports nothing else of it."""
    name = re.compile(r"(?<![\w./-])hepjax(?:\.[A-Za-z_]\w*)+")
    found = {word for page in PAGES for word in name.findall(page.read_text())}
    named = sorted(found - {"hepjax.datasets"})  # the name of entry points
    assert len(named) > 40
    program = """
import functools, sys
import hepjax
for name in sys.argv[1:]:
    try:
        functools.reduce(getattr, name.split(".")[1:], hepjax)
    except AttributeError as error:
        print(name, error)
"""
    done = subprocess.run([sys.executable, "-c", program, *named], capture_output=True, text=True, check=True)
    assert not done.stdout


def test_the_notebook_runs_and_has_no_outputs(folder, monkeypatch):
    """The docs build runs it in Jupyter; here its code alone."""
    notebook = json.loads((DOCS / "notebooks" / "first_tagger.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    shown = []
    display = types.SimpleNamespace(HTML=shown.append, Image=lambda path, width: shown.append(path.read_bytes()))
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=display, get_ipython=lambda: None))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    names = {}
    for cell in cells:
        exec("".join(cell["source"]).replace("epochs=20", "epochs=1"), names)  # noqa: S102 — the text is our own
    *pictures, page = shown
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert page.count("&lt;!DOCTYPE html&gt;") == 1
    assert {"first-tagger", "report.html"} <= {path.name for path in folder.iterdir()}
