"""JEDI-net's released parameters (arXiv:1908.05318, DOI 10.5281/zenodo.3986966) in `InteractionNetwork`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from hepjax.choices import Activation, Readout
from hepjax.errors import InputError
from hepjax.models.interaction_network import InteractionNetwork
from hepjax.models.pretrained.pytorch import read_pytorch

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from hepjax.types import PyTree

    Three = tuple[Activation, Activation, Activation]

_NETWORKS = {"fr": "edge_network", "fo": "node_network", "fc": "classifier"}
_NAMES = [f"{network}{i}.{part}" for network in _NETWORKS for i in (1, 2, 3) for part in ("weight", "bias")]
_RELU, _ELU, _SELU = Activation.RELU, Activation.ELU, Activation.SELU
_PUBLISHED: dict[tuple[int | None, int, int, int], tuple[int, Three]] = {
    (None, 50, 12, 14): (50, (_RELU, _RELU, _SELU)),  # IN_withSumO_50.params
    (None, 50, 14, 12): (150, (_SELU, _SELU, _SELU)),  # IN_150_withSumO.params
    (50, 50, 12, 14): (50, (_ELU, _SELU, _ELU)),
    (100, 30, 10, 10): (100, (_ELU, _ELU, _ELU)),  # IN_100.params
    (150, 50, 14, 6): (150, (_SELU, _SELU, _RELU)),  # IN_150.params
}
"""What arrays tell (particles, None with the sum over O; hidden width; D_E; D_O) → particles and activations, as the
authors' scripts train them."""


def jedinet(path: str | os.PathLike[str], activations: Three | None = None) -> tuple[InteractionNetwork, PyTree]:
    """A released JEDI-net, with or without the sum over O.

    The file is read without executing anything in it. The model takes the 16 particle columns of the public layout, not
    scaled, and lets padding take part, up to the number of particles that it was trained on. A shorter input gives the
    same answer if it holds all particles of a jet and one slot of padding, which stands for all. With the sum over O,
    arrays of other sizes than the released ones do not tell that number: it is then the input's.

    Args:
      path: a file of PyTorch, such as `IN_100.params`.
      activations: of f_R, f_O and the classifier, which the file does not tell; None takes those that the authors
        trained networks of these sizes with.

    Returns:
      The module and its parameters.

    Raises:
      InputError: the file cannot be read, is no JEDI-net, or is one whose activations must be given.

    >>> jedinet("IN_100.params")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: IN_100.params: cannot be read (no such file); give a file of torch.save
    """
    return from_arrays(read_pytorch(path), activations, str(path))


def from_arrays(
    arrays: Mapping[str, np.ndarray], activations: Three | None = None, source: str = "arrays"
) -> tuple[InteractionNetwork, PyTree]:
    """JEDI-net from its arrays under PyTorch's names.

    Args:
      arrays: `fr1.weight` (out, in), `fr1.bias` (out,) and so on, for fr1 to fr3, fo1 to fo3 and fc1 to fc3.
      activations: as in `jedinet`.
      source: what messages call the arrays.

    Returns:
      The module and its parameters.

    Raises:
      InputError: as in `jedinet`.

    >>> shapes = {"fr": [(6, 32), (3, 6), (2, 3)], "fo": [(6, 18), (3, 6), (4, 3)], "fc": [(6, 40), (3, 6), (5, 3)]}
    >>> arrays = {
    ...     f"{name}{i}.{part}": np.zeros(shape[: 2 if part == "weight" else 1])
    ...     for name, layers in shapes.items()
    ...     for i, shape in enumerate(layers, start=1)
    ...     for part in ("weight", "bias")
    ... }
    >>> model, params = from_arrays(arrays, activations=(Activation.ELU,) * 3)
    >>> model.edge, model.node, model.hidden, model.readout.value
    ((6, 3, 2), (6, 3, 4), (6, 3), 'flatten')
    """
    widths = _jedi_net_widths(arrays, source)
    inputs = {network: arrays[f"{network}1.weight"].shape[1] for network in _NETWORKS}
    d_e, d_o = widths["fr"][-1], widths["fo"][-1]
    summed = inputs["fc"] == d_o
    if inputs["fr"] != 2 * (inputs["fo"] - d_e) or inputs["fc"] % d_o:
        raise InputError(f"{source}: the inputs of fr1, fo1 and fc1, {list(inputs.values())}, are not JEDI-net's")
    key = (None if summed else inputs["fc"] // d_o, widths["fr"][0], d_e, d_o)
    slots, known = _PUBLISHED.get(key, (key[0], None))
    activations = activations or known
    if activations is None:
        raise InputError(f"{source}: the activations of a JEDI-net of this size are not known; give activations")
    params: dict[str, Any] = {
        name: {
            f"Dense_{i}": {
                "kernel": jnp.asarray(arrays[f"{network}{i + 1}.weight"].T, jnp.float32),
                "bias": jnp.asarray(arrays[f"{network}{i + 1}.bias"], jnp.float32),
            }
            for i in range(3)
        }
        for network, name in _NETWORKS.items()
    }
    model = InteractionNetwork(
        edge=widths["fr"],
        node=widths["fo"],
        hidden=widths["fc"][:-1],
        outputs=widths["fc"][-1],
        activation=activations,
        readout=Readout.SUM if summed else Readout.FLATTEN,
        masked=False,
        particles=slots,
    )
    return model, params


def _jedi_net_widths(arrays: Mapping[str, np.ndarray], source: str) -> dict[str, tuple[int, ...]]:
    """The outputs of each network's three layers."""
    if sorted(arrays) != sorted(_NAMES):
        wrong = min(set(arrays) ^ set(_NAMES))
        raise InputError(
            f"{source}: no JEDI-net: expected weight and bias of fr1 to fc3 and nothing else, see {wrong!r}"
        )
    widths: dict[str, tuple[int, ...]] = {}
    for network in _NETWORKS:
        weights, biases = ([arrays[f"{network}{i}.{part}"] for i in (1, 2, 3)] for part in ("weight", "bias"))
        widths[network] = tuple(bias.size for bias in biases)
        inputs = (weights[0].shape[-1:] or (0,))[0], *widths[network]
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if weight.shape != (inputs[i + 1], inputs[i]) or bias.ndim != 1 or 0 in weight.shape:
                raise InputError(f"{source}: {network}{i + 1}: weight {weight.shape} and bias {bias.shape} do not fit")
            if weight.dtype.kind != "f" or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise InputError(
                    f"{source}: {network}{i + 1}: expected finite floating-point numbers; get the file again"
                )
    return widths
