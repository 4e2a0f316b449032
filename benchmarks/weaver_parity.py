"""ParticleNet and Particle Transformer in hepjax against weaver-core's classes: the same logits and gradients.

    pip install torch==2.13.0 weaver-core
    python benchmarks/weaver_parity.py [--jets FILE.npz] [--write tests/models/pretrained/weaver.npz]

The peer's networks get random weights and running averages, which hepjax reads as it reads published ones. Both see the
same float32 jets: the first of the embedded sample, or those of an npz with p4 (N, P, 4) in GeV and mask (N, P).
Compared are logits and their gradients with respect to the particles' columns, summed over classes with fixed weights:
hepjax in float32 with the peer in float64, which is exact, and beside it the peer's own float32 with its float64.
Expected: hepjax within 1e-4. With `--jets` of 8 real JetClass jets logits differ by 2e-6 (`rms-swiglu` 1e-5) and
gradients by 1e-5, those of the peer's float32 by 3e-4 and 4e-3, for it takes masses of light pairs as differences of
squares. The forms are 1 normformer, 2 swiglu and 3 rms-swiglu.

`--write` keeps small networks, their jets and the peer's float64 results, for the tests.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path  # noqa: TC003 - tyro reads it
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import tyro
from weaver.nn.model import ParticleNet, ParticleTransformer

import hepjax
from hepjax.inputs import all_pair_features, sequences
from hepjax.models.pretrained import particle_net, particle_transformer
from hepjax.types import ParticleInputs

FEATURES, CLASSES = 7, 5
PUBLISHED: dict[str, Any] = {
    "embed_dims": [128, 512, 128],
    "pair_embed_dims": [64, 64, 64],
    "num_heads": 8,
    "num_layers": 8,
}
SMALL: dict[str, Any] = {"embed_dims": [8, 12, 8], "pair_embed_dims": [4, 5], "num_heads": 2, "num_layers": 2}


@dataclasses.dataclass(frozen=True)
class Parity:
    """What to compare."""

    jets: Path | None = None
    """An npz with p4 (N, P, 4) and mask (N, P); the default is the embedded sample."""
    count: int = 16
    """Jets to compare."""
    write: Path | None = None
    """Keep small networks and their results here instead."""


def peers(small: bool) -> dict[str, torch.nn.Module]:
    """The peer's networks, by name."""
    sizes = SMALL if small else PUBLISHED
    blocks = [(2, (6, 6, 6)), (2, (6, 6, 6)), (2, (8, 8, 8))] if small else [(16, (w,) * 3) for w in (64, 128, 256)]
    head = [(6, 0.1)] if small else [(256, 0.1)]
    networks = {
        f"particle-transformer {version}": ParticleTransformer.ParticleTransformer(
            FEATURES, CLASSES, use_pre_activation_pair=False, fc_params=[], trim=False, version=version, **sizes
        )
        for version in (1, 2, 3)
    }
    networks |= {
        name: ParticleNet.ParticleNet(FEATURES, CLASSES, blocks, head, use_fusion=fusion)
        for name, fusion in (("particle-net", False), ("particle-net with fusion", True))
    }
    for network in networks.values():
        randomize(network)
    return networks


def randomize(network: torch.nn.Module) -> None:
    """No bias is 0, no running average what it begins with."""
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.3)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 3)
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    network.eval()


def make_jets(parity: Parity) -> dict[str, np.ndarray]:
    """Columns, points, momenta and mask of some jets."""
    if parity.jets is None:
        momenta = sequences(hepjax.read_jets(), ["px", "py", "pz", "energy"], rows=slice(parity.count))
        p4, mask = momenta.values, momenta.mask
    else:
        with np.load(parity.jets) as file:
            p4, mask = file["p4"][: parity.count].astype(np.float32), file["mask"][: parity.count].astype(bool)
    if parity.write:
        mask = mask[:, :9] & (np.arange(9) < np.arange(4, 10)[np.arange(len(mask)) % 6, None])
        p4 = p4[:, :9]
    p4 = p4 * mask[..., None]
    total = p4.sum(1, keepdims=True)
    pt, eta, phi = (f(p4) for f in (hepjax.physics.kinematics.pt, eta_of, hepjax.physics.kinematics.phi))
    jet_pt, jet_eta, jet_phi = (f(total) for f in (hepjax.physics.kinematics.pt, eta_of, hepjax.physics.kinematics.phi))
    points = np.stack([eta - jet_eta, (phi - jet_phi + np.pi) % (2 * np.pi) - np.pi], -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.log(pt), np.log(p4[..., 3]), np.log(pt / jet_pt), np.log(p4[..., 3] / total[..., 3])]
    columns = np.stack([*logs, np.hypot(*np.moveaxis(points, -1, 0)), *np.moveaxis(points, -1, 0)], -1)
    columns = np.clip((columns - [1.7, 2, -4.7, -4.7, 0.2, 0, 0]) * [0.7, 0.7, 0.7, 0.7, 4, 1, 1], -5, 5)
    keep = {"columns": columns, "points": points}
    return {
        **{name: np.where(mask[..., None], x, 0).astype(np.float32) for name, x in keep.items()},
        "p4": p4,
        "mask": mask,
    }


def eta_of(p4: np.ndarray) -> np.ndarray:
    """Pseudorapidity."""
    return hepjax.physics.kinematics.eta(p4)


def theirs(network: torch.nn.Module, jets: dict[str, np.ndarray], dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and the gradient of their weighted sum."""
    network = network.to(dtype)
    x, points, p4 = (torch.tensor(np.moveaxis(jets[n], 1, 2), dtype=dtype) for n in ("columns", "points", "p4"))
    mask = torch.tensor(jets["mask"][:, None])
    x.requires_grad_()
    if isinstance(network, ParticleNet.ParticleNet):
        logits = network(points, x * mask, mask.to(dtype))
    else:
        logits = network(x, p4, mask)
    (logits * torch.arange(1, CLASSES + 1, dtype=dtype)).sum().backward()
    return logits.detach().numpy(), np.moveaxis(x.grad.numpy(), 1, 2)


def ours(network: torch.nn.Module, jets: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and gradient of hepjax, with the same parameters."""
    arrays = {name: array.float().numpy().copy() for name, array in network.state_dict().items()}
    read = particle_net if isinstance(network, ParticleNet.ParticleNet) else particle_transformer
    model, params, state = read.from_arrays(arrays)
    if isinstance(network, ParticleNet.ParticleNet):
        model = model.clone(neighbors=network.edge_convs[0].k)

    def total(columns: jax.Array) -> tuple[jax.Array, jax.Array]:
        pairs = all_pair_features(jnp.asarray(jets["p4"]))
        inputs = ParticleInputs(columns, jnp.asarray(jets["mask"]), points=jnp.asarray(jets["points"]), pairs=pairs)
        logits = model.apply({"params": params, **state}, inputs)
        return (logits * jnp.arange(1, CLASSES + 1)).sum(), logits

    gradient, logits = jax.jit(jax.grad(total, has_aux=True))(jnp.asarray(jets["columns"]))
    return np.asarray(logits), np.asarray(gradient)


def main(parity: Parity) -> None:
    """Prints the largest differences of each network."""
    torch.manual_seed(0)
    jets, kept = make_jets(parity), {}
    kept |= {f"jets/{name}": x for name, x in jets.items()}
    print(f"{'largest difference':28} {'logits':>10} {'gradients':>10} {'peer f32':>10} {'peer f32':>10}")
    for name, network in peers(parity.write is not None).items():
        arrays = {f"{name}/{key}": x.numpy().copy() for key, x in network.state_dict().items() if x.ndim}
        own, single = ours(network, jets), theirs(network, jets, torch.float32)
        exact = theirs(network, jets, torch.float64)
        off = [np.abs(a - b).max() for pair in (own, single) for a, b in zip(pair, exact, strict=True)]
        print(f"{name:28} " + " ".join(f"{x:10.1e}" for x in off))
        kept |= arrays | {f"{name}/logits": exact[0], f"{name}/gradients": exact[1].astype(np.float32)}
    if parity.write:
        np.savez_compressed(parity.write, **kept)
        print(f"{parity.write}: {parity.write.stat().st_size} bytes")


if __name__ == "__main__":
    main(tyro.cli(Parity))
