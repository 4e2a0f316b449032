"""Options read off a model's fields, their bounds, and their JSON."""

from __future__ import annotations

import json
from typing import Annotated

import jax.numpy as jnp
import pytest
from flax import linen as nn

from hepjax import InputError, models
from hepjax.choices import Activation, Norm, PairForm
from hepjax.models.bounds import at_least
from hepjax.models.fields import options_in
from hepjax.registry import Registry

OLD = {
    "graph-network": '{"name": "graph-network", "particles": 20, "columns": ["j1_pt"], "rounds": 2, "edge": [32, 32], '
    '"node": [32, 32], "jet": [32, 32], "hidden": [32], "attention": false, "dropout": 0.0, "activation": "relu", '
    '"neighbours": 4, "radius": null, "by": ["j1_etarel", "j1_phirel"], "edge_features": true}',
    "interaction-network": '{"particles": 30, "columns": ["j1_pt"], "edge": [50, 25, 12], "node": [50, 25, 12], '
    '"hidden": [50, 25], "activation": "selu", "readout": "sum", "masked": true, "form": "dense", '
    '"name": "interaction-network"}',
}
"""As version 0.1 wrote them."""


class Toy(models.FeatureModel):
    """A toy."""

    width: Annotated[int, at_least(2)] = 4
    """Width of its layer."""
    depth: int = 1

    @nn.compact
    def __call__(self, x, mask=None, train=False):
        return nn.Dense(self.outputs)(nn.Dense(self.width)(x))


def test_options_are_the_fields_but_for_those_of_flax_and_the_task():
    assert [option.name for option in options_in(Toy)] == ["features", "width", "depth"]
    features, width, depth = options_in(Toy)
    assert features.help.startswith("The jet observables")
    assert (width.type, width.default, width.help, depth.help) == (int, 4, "Width of its layer.", "")
    assert models.options_of(Toy(depth=2, outputs=7)) == {"features": (), "width": 4, "depth": 2}


def test_fields_are_given_by_keyword():
    with pytest.raises(TypeError, match="positional"):
        Toy(3)
    with pytest.raises(TypeError, match="positional"):
        models.MLP((8,))


def test_a_type_that_is_not_imported():
    class Wrong(models.FeatureModel):
        x: Unknown = 1  # noqa: F821

    with pytest.raises(InputError, match=r"the type of x is not known at run time .*Unknown"):
        options_in(Wrong)


@pytest.mark.parametrize(
    "model, words",
    [
        (Toy(width=1), "--width: expected 2 or more, found 1"),
        (models.MLP(hidden=(8, 0)), "--hidden: expected numbers of 1 or more each"),
        (models.MLP(dropout=1.0), "--dropout: expected below 1, found 1.0"),
        (models.LSTM(units=()), "--units: expected one number or more"),
        (models.ConvNet(filters=(4,), kernels=(3, 3)), "--kernels: expected as many as --filters, 1"),
        (models.ConvNet1D(filters=(4,), kernels=(3, 3)), "--kernels: expected as many as --filters, 1"),
        (models.ConvNet(pixel_size=float("inf")), "--pixel-size: expected more than 0"),
        (models.GraphNetwork(neighbors=3, radius=0.1), "--radius: expected none where --neighbors is given"),
        (models.GraphNetwork(neighbors=30), "--neighbors: expected fewer than --particles, 30"),
        (models.GraphNetwork(radius=0.0), "--radius: expected more than 0"),
        (models.DeepSets(particles=0), "--particles: expected 1 or more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bounds_and_rules(model, words):
    with pytest.raises(InputError, match=words):
        models.check_model(model)


def test_good_options_pass():
    for model in (Toy(), models.GraphNetwork(neighbors=3), models.GraphNetwork(radius=0.1), models.MLP(hidden=())):
        models.check_model(model)


@pytest.mark.parametrize("name", OLD)
def test_json_of_old_runs(name):
    model = models.from_json(json.loads(OLD[name]))
    expected = {
        "graph-network": models.GraphNetwork(
            particles=20, columns=("j1_pt",), neighbors=4, by=("j1_etarel", "j1_phirel"), edge_features=True
        ),
        "interaction-network": models.InteractionNetwork(
            columns=("j1_pt",), activation=Activation.SELU, form=PairForm.DENSE
        ),
    }
    assert model == expected[name]
    models.check_model(model)


def test_missing_options_have_their_defaults():
    assert models.from_json({"name": "mlp", "norm": "batch"}) == models.MLP(norm=Norm.BATCH)


@pytest.mark.parametrize(
    "tree, words",
    [
        ({"name": "mlp", "hiden": [8]}, "model mlp: there is no option hiden; did you mean hidden?"),
        ({"name": "mlp", "outputs": 5}, "model mlp: there is no option outputs"),
        ({"name": "mlp", "parent": None}, "model mlp: there is no option parent"),
        ({"name": "mpl"}, "model: there is no mpl; did you mean mlp?"),
        ({"name": "mlp", "activation": "rellu"}, "model mlp: activation='rellu' does not fit"),
        ({"name": "mlp", "hidden": 8}, "model mlp: hidden=8 does not fit"),
        ({"hidden": [8]}, "model: expected a name, found None"),
    ],
)
def test_wrong_json(tree, words):
    with pytest.raises(InputError) as error:
        models.from_json(tree)
    assert words in str(error.value)


def test_what_cannot_be_saved():
    with pytest.raises(InputError, match=r"mlp: activation=.* cannot be saved as JSON"):
        models.to_json(models.MLP(activation=jnp.sin))
    with pytest.raises(InputError, match=r'Toy has no name; register its class by hepjax\'s register\("a-name"\)'):
        models.to_json(Toy())


def test_registered_by_a_call(monkeypatch):
    registry = Registry("model", package="hepjax.models", entry_points="hepjax.models")
    monkeypatch.setattr("hepjax.models.serialization.MODELS", registry)
    registry.register("toy", Toy)
    assert models.from_json(models.to_json(Toy(width=9))) == Toy(width=9)
