"""PyTorch twins of hepjax's networks, for torch_twins.py: the same architectures, written as in plain PyTorch.

Their parts are called as Flax calls them, so that parameters are copied by name; `own` holds the layers that Flax keeps
in the network itself. Only what the options' defaults need is here: no dropout, no normalization by batch. The networks
that have these, those of the field, are in field_twins.py.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import field_twins
import numpy as np
import torch
from torch import nn

from hepjax import models
from hepjax.choices import Activation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.types import PyTree, Sequences

ACTIVATIONS = {Activation.RELU: nn.ReLU, Activation.ELU: nn.ELU}
FLAX_EPSILON = 1e-6
"""Of layer normalization; PyTorch's own is 1e-5."""


def make_twin(model: models.Model, features: int, classes: int) -> nn.Module:
    """The twin of a model with PyTorch's own first parameters; `features` are those of a jet, particle or pixel."""
    kinds: dict[type, Callable[..., nn.Module]] = {
        models.MLP: lambda o, f, c: dense(f, o.hidden, o.activation, c),
        models.ConvNet: ConvNet,
        models.ConvNet1D: ConvNet1D,
        models.LSTM: Recurrent,
        models.GRU: Recurrent,
        models.DeepSets: DeepSets,
        models.InteractionNetwork: InteractionNetwork,
        models.GraphNetwork: GraphNetwork,
        models.Mixer: field_twins.Mixer,
        models.LorentzNet: field_twins.LorentzNet,
        models.ParticleNet: field_twins.WeaverParticleNet,
        models.ParticleTransformer: field_twins.WeaverParticleTransformer,
        models.LGATrSlim: field_twins.LGATrSlim,
    }
    return field_twins.follow_averages(kinds[type(model)](model, features, classes))


def copy_parameters(params: PyTree, twin: nn.Module, model_state: PyTree) -> nn.Module:
    """Gives the twin the parameters and running averages of Flax; what Flax does not have stays at 0."""
    with torch.no_grad():
        if hasattr(twin, "copy"):
            twin.copy(params, model_state)
            return twin
        if isinstance(twin, Recurrent):
            _copy_cells(params, twin)
            params = {"MLP_0": params["MLP_0"]}
        for arrays in (params, model_state.get("batch_stats", {})):
            _copy(arrays, twin)
    return twin


def _copy(params: PyTree, twin: nn.Module, path: str = "") -> None:
    names = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    for key, given in params.items():
        if isinstance(given, dict):
            _copy(given, twin, f"{path}.{key}".lstrip("."))
            continue
        at, name = path, key
        if key not in names:  # Flax keeps this layer's arrays in the module that it is part of
            layer, name = (key.removesuffix("_bias"), "bias") if key.endswith("_bias") else (key, "kernel")
            at = f"{path}.{layer}".lstrip(".")
        modules = dict(twin.named_modules())
        target = getattr(modules.get(at) or modules[f"own.{at}"], names[name])
        # (windows ..., in, out) → (out, in, windows ...)
        x = np.asarray(given)
        x = x.transpose(x.ndim - 1, x.ndim - 2, *range(x.ndim - 2)) if name == "kernel" else x
        if target.shape != x.shape:
            raise ValueError(f"{path}/{name}: Flax has {x.shape}, the twin {tuple(target.shape)}")
        target.copy_(torch.tensor(x))


def _copy_cells(params: PyTree, twin: Recurrent) -> None:
    """PyTorch stacks the gates and has two biases for each; Flax has one where two would only add up."""
    for i, cell in enumerate(twin.cells):
        name, gates = ("OptimizedLSTMCell", "ifgo") if isinstance(cell, nn.LSTM) else ("GRUCell", "rzn")
        found = params[f"{name}_{i}"]
        for end in "ih":
            parts = [found[f"{end}{gate}"] for gate in gates]
            kernel = np.concatenate([part["kernel"] for part in parts], axis=1)
            getattr(cell, f"weight_{end}h_l0").copy_(torch.tensor(kernel.T))
            bias, zeros = getattr(cell, f"bias_{end}h_l0"), np.zeros(cell.hidden_size, np.float32)
            bias.copy_(torch.tensor(np.concatenate([part.get("bias", zeros) for part in parts])))
            free = torch.tensor(np.repeat(["bias" in part for part in parts], cell.hidden_size))
            bias.register_hook(lambda gradient, free=free: gradient * free)


def dense(
    features: int, widths: Sequence[int], activation: Activation, outputs: int | None = None, *, norm: bool = False
) -> nn.Sequential:
    """Activated layers; with `outputs`, one more that is not."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, width in enumerate(widths):
        layers[f"Dense_{i}"] = nn.Linear(features, width)
        if norm:
            layers[f"LayerNorm_{i}"] = nn.LayerNorm(width, eps=FLAX_EPSILON)
        layers[f"activation_{i}"] = ACTIVATIONS[activation]()
        features = width
    if outputs is not None:
        layers[f"Dense_{len(widths)}"] = nn.Linear(features, outputs)
    return nn.Sequential(layers)


def pairs(mask: torch.Tensor) -> torch.Tensor:
    """(B, P) → (B, P, P, 1): 1 from each particle (last P) to each other (first P)."""
    others = ~torch.eye(mask.shape[1], dtype=torch.bool)
    return (mask[:, :, None] & mask[:, None, :] & others)[..., None].float()


class ConvNet(nn.Module):
    """Images (B, H, W, channels)."""

    def __init__(self, o: models.ConvNet, features: int, classes: int) -> None:  # noqa: D107
        super().__init__()
        self.own, self.activation, self.pool = convolutions(nn.Conv2d, o, features), ACTIVATIONS[o.activation](), o.pool
        side = o.pixels // o.pool ** len(o.filters)
        self.MLP_0 = dense(side * side * o.filters[-1], o.hidden, o.activation, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns: (B, C) logits."""
        y = x.permute(0, 3, 1, 2)
        for convolution in self.own.values():
            y = nn.functional.max_pool2d(self.activation(convolution(y)), self.pool)
        return self.MLP_0(y.permute(0, 2, 3, 1).flatten(1)) * (x != 0).flatten(1).any(1, keepdim=True)


class ConvNet1D(nn.Module):
    """Along the particles."""

    def __init__(self, o: models.ConvNet1D, features: int, classes: int) -> None:  # noqa: D107
        super().__init__()
        self.own, self.activation, self.pool = convolutions(nn.Conv1d, o, features), ACTIVATIONS[o.activation](), o.pool
        self.MLP_0 = dense(o.particles // o.pool ** len(o.filters) * o.filters[-1], o.hidden, o.activation, classes)

    def forward(self, x: Sequences) -> torch.Tensor:
        """Returns: (B, C) logits."""
        y = x.values.transpose(1, 2)
        for convolution in self.own.values():
            y = nn.functional.max_pool1d(self.activation(convolution(y)), self.pool)
        return self.MLP_0(y.transpose(1, 2).flatten(1)) * x.mask.any(1, keepdim=True)


def convolutions(kind: Any, o: models.ConvNet | models.ConvNet1D, features: int) -> nn.ModuleDict:
    """Convolutions that keep the size."""
    inputs = (features, *o.filters)
    sizes = enumerate(zip(inputs[:-1], o.filters, o.kernels, strict=True))
    return nn.ModuleDict({f"Conv_{i}": kind(a, b, kernel, padding="same") for i, (a, b, kernel) in sizes})


class Recurrent(nn.Module):
    """LSTM or GRU, read off at the last true particle: padding comes behind it and does not matter."""

    def __init__(self, o: models.LSTM | models.GRU, features: int, classes: int) -> None:  # noqa: D107
        super().__init__()
        kind = nn.LSTM if isinstance(o, models.LSTM) else nn.GRU
        inputs = (features, *o.units)
        cells = (kind(a, b, batch_first=True) for a, b in zip(inputs[:-1], o.units, strict=True))
        self.cells = nn.ModuleList(cells)
        self.MLP_0 = dense(o.units[-1], o.hidden, o.activation, classes)

    def forward(self, x: Sequences) -> torch.Tensor:
        """Returns: (B, C) logits."""
        y = x.values
        for cell in self.cells:
            y, _ = cell(y)
        last = (x.mask.sum(1) - 1).clamp(min=0)
        return self.MLP_0(y[torch.arange(len(y)), last]) * x.mask.any(1, keepdim=True)


class DeepSets(nn.Module):
    """A sum over particles between two dense networks."""

    def __init__(self, o: models.DeepSets, features: int, classes: int) -> None:  # noqa: D107
        super().__init__()
        self.own = dense(features, o.particle, o.activation)
        self.MLP_0 = dense(o.particle[-1], o.hidden, o.activation, classes)

    def forward(self, x: Sequences) -> torch.Tensor:
        """Returns: (B, C) logits."""
        summed = (self.own(x.values) * x.mask[..., None]).sum(1)
        return self.MLP_0(summed) * x.mask.any(1, keepdim=True)


class InteractionNetwork(nn.Module):
    """JEDI-net with all pairs as one tensor, padding left out, summed over the particles."""

    def __init__(self, o: models.InteractionNetwork, features: int, classes: int) -> None:  # noqa: D107
        super().__init__()
        self.edge_network = dense(2 * features, o.edge, o.activation)
        self.node_network = dense(features + o.edge[-1], o.node, o.activation)
        self.classifier = dense(o.node[-1], o.hidden, o.activation, classes)

    def forward(self, x: Sequences) -> torch.Tensor:
        """Returns: (B, C) logits."""
        y = x.values
        jets, slots, features = y.shape
        shape = (jets, slots, slots, features)
        ends = torch.cat([y[:, :, None].expand(shape), y[:, None].expand(shape)], dim=-1)
        messages = (self.edge_network(ends) * pairs(x.mask)).sum(2)
        outputs = self.node_network(torch.cat([y, messages], dim=-1)) * x.mask[..., None]
        return self.classifier(outputs.sum(1)) * x.mask.any(1, keepdim=True)


class GraphNetwork(nn.Module):
    """Message passing between all pairs, as one tensor."""

    def __init__(self, o: models.GraphNetwork, features: int, classes: int) -> None:  # noqa: D107
        super().__init__()
        edge, node, jet = o.edge[-1], o.node[-1], o.jet[-1]
        self.rounds = o.rounds
        self.embed_node = dense(features, o.node[-1:], o.activation)
        self.embed_jet = dense(1, o.jet[-1:], o.activation)
        for i in range(o.rounds):
            known = 2 * node + jet + (edge if i else 0)  # edges have no features of their own
            self.add_module(f"edge_{i}", dense(known, o.edge, o.activation, norm=True))
            self.add_module(f"node_{i}", dense(node + edge + jet, o.node, o.activation, norm=True))
            self.add_module(f"jet_{i}", dense(node + edge + jet, o.jet, o.activation, norm=True))
        self.classifier = dense(jet, o.hidden, o.activation, classes)

    def forward(self, x: Sequences) -> torch.Tensor:
        """Returns: (B, C) logits."""
        jets, slots = x.mask.shape
        between, there = pairs(x.mask), x.mask[..., None].float()
        nodes = self.embed_node(x.values) * there
        jet = self.embed_jet(torch.log1p(there.sum(1)))
        edges: list[torch.Tensor] = []
        for i in range(self.rounds):
            sent, received, shared = nodes[:, None], nodes[:, :, None], jet[:, None, None]
            ends = [end.expand(jets, slots, slots, -1) for end in (sent, received, shared)]
            edges = [self.get_submodule(f"edge_{i}")(torch.cat([*edges, *ends], dim=-1)) * between]
            to_nodes = [nodes, edges[0].sum(2), jet[:, None].expand(jets, slots, -1)]
            nodes = self.get_submodule(f"node_{i}")(torch.cat(to_nodes, dim=-1)) * there
            jet = self.get_submodule(f"jet_{i}")(torch.cat([nodes.sum(1), edges[0].sum((1, 2)), jet], dim=-1))
        return self.classifier(jet) * x.mask.any(1, keepdim=True)
