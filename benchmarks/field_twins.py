"""PyTorch twins of the field's networks, for torch_twins.py.

Those of ParticleNet, the Particle Transformer and L-GATr-slim are their authors' own classes, of the packages of
`PEERS`. LorentzNet and the mixer are written in plain PyTorch; their parts are called as in twins.py, so that
parameters are copied by name. Padding does not count in statistics of batches, with one exception: it does in the first
normalization of weaver-core's classes, and in all of its ParticleNet. There it is filled as weaver-core fills it, with
the jet's own particles again. weaver-core's classes do not cut jets short at random (`trim=False`).
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from hepjax.choices import Norm, TransformerBlock
from hepjax.errors import InputError
from hepjax.models.layers.minkowski import BEAMS
from hepjax.models.pretrained import particle_net, particle_transformer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepjax import models
    from hepjax.types import ParticleInputs, PyTree, Sequences

PEERS = {
    "particle-net": ("weaver", "weaver-core==0.5.3"),
    "particle-transformer": ("weaver", "weaver-core==0.5.3"),
    "lgatr-slim": ("lgatr", "lgatr==1.4.4"),
}
"""Name of a network → the module with its authors' class, and what pip installs it by."""
MOMENTUM = 0.95
"""Of hepjax's running averages of batch statistics."""


def check_peers(networks: Iterable[str]) -> None:
    """Refuses networks whose authors' classes are not installed.

    Raises:
      InputError: says what to install.
    """
    for name in networks:
        module, package = PEERS.get(name, ("torch", ""))
        if importlib.util.find_spec(module) is None:
            raise InputError(f"{name}: its twin is not installed; pip install {package}, or name other --networks")


def follow_averages(twin: nn.Module) -> nn.Module:
    """Makes the batch normalizations of PyTorch average as those of hepjax.

    The averages are of batches alone, without the mean of 0 and variance of 1 that they begin with, and the variance of
    n rows is not multiplied by n / (n - 1).
    """

    def before(norm: nn.Module, _: Any) -> None:
        if norm.training:
            norm.momentum = (1 - MOMENTUM) / (1 - MOMENTUM ** (norm.num_batches_tracked.item() + 1))
            norm.rest = (1 - norm.momentum) * norm.running_var

    def after(norm: nn.Module, given: Any, _: Any) -> None:
        if norm.training:
            rows = given[0].numel() / given[0].shape[1]
            norm.running_var = norm.running_var - (norm.running_var - norm.rest) / rows  # anew: gradients need the old

    for module in twin.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(before)
            module.register_forward_hook(after)
    return twin


class Mixer(nn.Module):
    """The MLP-Mixer on particles; padding is seen as particles of zeros."""

    def __init__(self, o: models.Mixer, features: int, classes: int) -> None:  # noqa: D107
        super().__init__()
        if o.norm is not Norm.BATCH:
            raise ValueError(f"the twin of the mixer is normalized by batch, not by {o.norm.value}")
        widths = (o.width, features, o.particles, o.width, o.width, *o.hidden)
        inputs = (features, o.width, o.particles, features, o.width, o.width, *o.hidden[:-1])
        layers: dict[str, nn.Module] = {"sum": nn.Linear(o.particles, 1, bias=False)}
        for i, (a, b) in enumerate(zip(inputs, widths, strict=True)):
            layers |= {f"Dense_{i}": nn.Linear(a, b, bias=False), f"BatchNorm_{i}": nn.BatchNorm1d(b)}
        layers[f"Dense_{len(widths)}"] = nn.Linear((o.width, *o.hidden)[-1], classes)
        self.own, self.count = nn.ModuleDict(layers), len(widths)

    def layer(self, i: int, y: torch.Tensor) -> torch.Tensor:
        """A dense layer on the last axis, normalized over all others."""
        y = self.own[f"Dense_{i}"](y)
        return self.own[f"BatchNorm_{i}"](y.reshape(-1, y.shape[-1])).reshape(y.shape)

    def forward(self, x: Sequences) -> torch.Tensor:
        """Returns: (B, C) logits."""
        y = torch.relu(self.layer(1, torch.relu(self.layer(0, x.values))))
        y = x.values + self.layer(2, y.transpose(1, 2)).transpose(1, 2)
        for i in (3, 4):
            y = torch.relu(self.layer(i, y))
        y = self.own["sum"](y.transpose(1, 2))[..., 0]
        for i in range(5, self.count):
            y = torch.relu(self.layer(i, y))
        return self.own[f"Dense_{self.count}"](y) * x.mask.any(1, keepdim=True)


class LorentzNet(nn.Module):
    """LorentzNet over lists of real particles and of their pairs."""

    def __init__(self, o: models.LorentzNet, features: int, classes: int) -> None:  # noqa: D107
        super().__init__()
        self.o, scalars = o, features + (1 + o.beams) * o.masses
        self.embedding = nn.Linear(scalars, o.width)
        steps = [o.step] * (o.layers - 1) + [None]
        for i, step in enumerate(steps):
            self.add_module(f"block_{i}", LorentzBlock(o.width, scalars, step))
        self.hidden, self.dropout = nn.Linear(o.width, o.width), nn.Dropout(o.dropout)
        self.head = nn.Linear(o.width, classes)

    def forward(self, x: ParticleInputs) -> torch.Tensor:
        """Returns: (B, C) logits."""
        jets, beams = len(x.mask), 2 * self.o.beams
        p4, seen, real = x.momenta, x.values, x.mask
        if beams:
            pair = torch.tensor([[0, 0, 1, 2**0.5], [0, 0, -1, 2**0.5]]).expand(jets, beams, 4)
            p4, seen = torch.cat([pair, p4], 1), nn.functional.pad(seen, (0, 0, beams, 0))
            real = torch.cat([real.any(1, keepdim=True).expand(jets, beams), real], 1)
        if self.o.masses:
            mass = psi(minkowski_product(p4, p4).abs().sqrt())
            kinds = torch.stack([torch.arange(real.shape[1]) >= beams, torch.arange(real.shape[1]) < beams], 1)
            seen = torch.cat([mass[..., None] * kinds[:, : 1 + self.o.beams], seen], -1)
        numbers = (real.flatten().cumsum(0) - 1).view(real.shape)
        jet, at, of = (real[:, :, None] & real[:, None] & ~torch.eye(real.shape[1], dtype=torch.bool)).nonzero().T
        edges, of_node = (numbers[jet, at], numbers[jet, of]), real.nonzero()[:, 0]
        p4, seen = p4[real], seen[real]
        h = self.embedding(seen)
        for i in range(self.o.layers):
            h, p4 = self.get_submodule(f"block_{i}")(h, p4, seen, edges)
        counts = (real.sum(1) if self.o.nodes is None else torch.full((jets,), self.o.nodes)).clamp(min=1)
        y = torch.zeros(jets, h.shape[1]).index_add(0, of_node, h) / counts[:, None]
        y = self.dropout(torch.relu(self.hidden(y)))
        return self.head(y) * x.mask.any(1, keepdim=True)


class LorentzBlock(nn.Module):
    """Messages along the edges, which change the features and the momenta of nodes."""

    def __init__(self, width: int, scalars: int, step: float | None) -> None:  # noqa: D107
        super().__init__()
        self.step = step
        self.edge_in, self.edge_norm = nn.Linear(2 * width + 2, width, bias=False), nn.BatchNorm1d(width)
        self.edge_out, self.gate = nn.Linear(width, width), nn.Linear(width, 1)
        if step is not None:
            self.pull_in, self.pull_out = nn.Linear(width, width), nn.Linear(width, 1, bias=False)
        self.node_in, self.BatchNorm_0 = nn.Linear(2 * width + scalars, width), nn.BatchNorm1d(width)
        self.node_out = nn.Linear(width, width)

    def forward(
        self, h: torch.Tensor, x: torch.Tensor, seen: torch.Tensor, edges: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns: (N, W) features and (N, 4) momenta."""
        at, of = edges
        away = x[at] - x[of]
        products = torch.stack([minkowski_product(away, away), minkowski_product(x[at], x[of])], -1)
        y = torch.relu(self.edge_norm(self.edge_in(torch.cat([h[at], h[of], psi(products)], -1))))
        y = torch.relu(self.edge_out(y))
        y = y * torch.sigmoid(self.gate(y))
        if self.step is not None:
            pulls = (away * self.pull_out(torch.relu(self.pull_in(y)))).clamp(-100, 100)
            others = torch.bincount(at, minlength=len(x)).clamp(min=1)[:, None]
            x = x + self.step * torch.zeros_like(x).index_add(0, at, pulls) / others
        messages = torch.zeros_like(h).index_add(0, at, y)
        y = torch.relu(self.BatchNorm_0(self.node_in(torch.cat([h, messages, seen], -1))))
        return h + self.node_out(y), x


def minkowski_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(..., 4) px, py, pz, E → (...); rounded as the published code rounds."""
    px, py, pz, e = (a * b).unbind(-1)
    return 2 * e - (((e + px) + py) + pz)


def psi(x: torch.Tensor) -> torch.Tensor:
    """The logarithm of large numbers of both signs."""
    return x.sign() * x.abs().log1p()


class WeaverParticleNet(nn.Module):
    """weaver-core's ParticleNet."""

    def __init__(self, o: models.ParticleNet, features: int, classes: int) -> None:  # noqa: D107
        from weaver.nn.model.ParticleNet import ParticleNet

        super().__init__()
        self.o = o
        blocks, hidden = [(o.neighbors, (width,) * 3) for width in o.blocks], [(width, o.dropout) for width in o.hidden]
        self.network = ParticleNet(features, classes, blocks, hidden, use_fusion=o.fusion, trim=False)

    def copy(self, params: PyTree, model_state: PyTree) -> None:
        """Takes parameters and running averages of Flax."""
        load_arrays(self.network, particle_net.to_arrays(self.o, params, model_state))

    def forward(self, x: ParticleInputs) -> torch.Tensor:
        """Returns: (B, C) logits."""
        wrapped = wrap(x.mask)
        logits = self.network(channels_first(x.points, wrapped), channels_first(x.values, wrapped), x.mask[:, None])
        return zero_where_empty(logits, x.mask)


class WeaverParticleTransformer(nn.Module):
    """weaver-core's Particle Transformer.

    It is given momenta and makes its features of pairs of them in float64: in float32 masses of light pairs are
    differences of large squares, and logits then differ by 3e-4.
    """

    def __init__(self, o: models.ParticleTransformer, features: int, classes: int) -> None:  # noqa: D107
        from weaver.nn.model.ParticleTransformer import ParticleTransformer, pairwise_lv_fts_pp

        super().__init__()
        if o.drop_path or not o.pair_embed:
            raise ValueError("the twin of the Particle Transformer has pairs and keeps all paths")
        self.o, version = o, {TransformerBlock.NORMFORMER: 1, TransformerBlock.SWIGLU: 2}[o.block]
        self.network = ParticleTransformer(
            features,
            classes,
            embed_dims=[*o.embed],
            pair_embed_dims=[*o.pair_embed],
            num_heads=o.heads,
            num_layers=o.layers,
            num_cls_layers=o.class_layers,
            fc_params=[(width, o.dropout) for width in o.hidden],
            block_params=dict.fromkeys(("dropout", "attn_dropout", "activation_dropout"), o.dropout),
            use_pre_activation_pair=False,
            version=version,
            trim=False,
        )
        self.network.pair_embed.pairwise_lv_fts = lambda a, b: pairwise_lv_fts_pp(a.double(), b.double()).float()

    def copy(self, params: PyTree, model_state: PyTree) -> None:
        """Takes parameters and running averages of Flax."""
        load_arrays(self.network, particle_transformer.to_arrays(self.o, params, model_state))

    def forward(self, x: ParticleInputs) -> torch.Tensor:
        """Returns: (B, C) logits."""
        wrapped = wrap(x.mask)
        logits = self.network(channels_first(x.values, wrapped), channels_first(x.momenta, wrapped), x.mask[:, None])
        return zero_where_empty(logits, x.mask)


def load_arrays(network: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Loads a whole state dict."""
    network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})


def wrap(mask: torch.Tensor) -> torch.Tensor:
    """(B, P), the slot of the particle that fills each slot: padding repeats a jet's particles."""
    return torch.arange(mask.shape[1]) % mask.sum(1, keepdim=True).clamp(min=1)


def channels_first(x: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """(B, P, F) → (B, F, P) of what lies in these slots."""
    return x.gather(1, slots[..., None].expand_as(x)).transpose(1, 2)


def zero_where_empty(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Logits 0 where there is no particle; the networks themselves may give NaN there."""
    return logits.where(mask.any(1, keepdim=True), 0)


class LGATrSlim(nn.Module):
    """L-GATr-slim of the package lgatr, in which 1.4.4 is the last version of the network as published.

    Version 2 has other gates, fewer biases, and gains in its norms.
    """

    def __init__(self, o: models.LGATrSlim, features: int, classes: int) -> None:  # noqa: D107
        import lgatr

        super().__init__()
        self.o = o
        self.network = lgatr.LGATrSlim(
            in_v_channels=1,
            out_v_channels=0,
            hidden_v_channels=o.vectors,
            in_s_channels=features + 1,
            out_s_channels=classes,
            hidden_s_channels=o.scalars,
            num_blocks=o.layers,
            num_heads=o.heads,
            mlp_ratio=4,
            dropout_prob=o.dropout or None,
        )

    def copy(self, params: PyTree, _: PyTree) -> None:
        """Takes parameters of Flax, whose heads are blocks of channels; those of lgatr take turns."""
        o, arrays = self.o, {}
        parts = {"attention_in": "attention.linear_in", "attention_out": "attention.linear_out"}
        parts |= {"hidden": "mlp.layers.0.linear", "hidden_out": f"mlp.layers.{1 + (o.dropout > 0)}"}
        layers = {"linear_in": params["embedding"], "linear_out": {"scalars": params["head"]}}
        for i in range(o.layers):
            layers |= {f"blocks.{i}.{theirs}": params[f"block_{i}"][ours] for ours, theirs in parts.items()}
        for name, layer in layers.items():
            kinds = {"linear_s.weight": layer["scalars"]["kernel"].T, "linear_s.bias": layer["scalars"]["bias"]}
            if "vectors" in layer:
                kinds["weight_v"] = layer["vectors"]["kernel"].T
            for kind, given in kinds.items():
                x = np.asarray(given)
                if name.endswith("attention.linear_in"):
                    x = x.reshape(3, o.heads, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
                arrays[f"{name}.{kind}"] = x
        load_arrays(self.network, {name: x.numpy() for name, x in self.network.state_dict().items()} | arrays)

    def forward(self, x: ParticleInputs) -> torch.Tensor:
        """Returns: (B, C) logits."""
        p = x.momenta[..., :3]
        energy = torch.maximum(x.momenta[..., 3], (p.square().sum(-1) + self.o.mass**2).sqrt())
        p4 = torch.cat([energy[..., None], p], -1) / 20 * x.mask[..., None]  # in units of 20 GeV
        fixed = np.concatenate([np.zeros((1, 4)), *([BEAMS, [[0, 0, 0, 1]]] if self.o.spurions else [])])
        others = torch.tensor(np.roll(fixed, 1, axis=1), dtype=torch.float32).expand(len(p4), -1, -1)
        p4, pad = torch.cat([others, p4], 1), (0, 0, others.shape[1], 0)
        is_global = (torch.arange(p4.shape[1]) == 0).float()[:, None].expand(*p4.shape[:2], 1)
        scalars = torch.cat([nn.functional.pad(x.values, pad), is_global], -1)
        seen = nn.functional.pad(x.mask, (others.shape[1], 0), value=True)[:, None, None]
        _, outputs = self.network(p4[:, :, None], scalars, attn_mask=seen)
        return zero_where_empty(outputs[:, 0], x.mask)
