"""ParticleNet as weaver-core saves it, such as the released weights of arXiv:2202.03772, in `ParticleNet`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError
from hepjax.models.particle_net import ParticleNet
from hepjax.models.pretrained.pytorch import read_pytorch
from hepjax.models.pretrained.state_dicts import StateDict, dense_arrays, norm_arrays

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import numpy as np

    from hepjax.types import PyTree

_LAYERS = 3


def load_particle_net(path: str | os.PathLike[str]) -> tuple[ParticleNet, PyTree, PyTree]:
    """A ParticleNet that was trained with weaver-core, of one cloud of particles.

    The file is read without executing anything in it. It does not say how many neighbors its blocks look at: that is
    `neighbors`, 16 unless changed, and 7 of ParticleNet-Lite.

    Args:
      path: a state dict of PyTorch, such as `ParticleNet_kin.pt`.

    Returns:
      The module, its parameters, and its running averages.

    Raises:
      InputError: the file cannot be read, or holds another network.

    >>> load_particle_net("ParticleNet_kin.pt")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: ParticleNet_kin.pt: cannot be read (no such file); give a file of torch.save
    """
    return from_arrays(read_pytorch(path), str(path))


def from_arrays(arrays: Mapping[str, np.ndarray], source: str = "arrays") -> tuple[ParticleNet, PyTree, PyTree]:
    """A ParticleNet from its arrays under PyTorch's names.

    Args:
      arrays: the state dict of weaver-core's `ParticleNet`, with a prefix that all names share, or without.
      source: what messages call the arrays.

    Returns:
      As `load_particle_net`.

    Raises:
      InputError: as `load_particle_net`.

    >>> import numpy as np
    >>> from_arrays({})
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: arrays: has no bn_fts.weight; give the weights of this network
    """
    state = StateDict(arrays, source)
    blocks = state.count("edge_convs.", ".convs.0.weight")
    features = (state.shape("edge_convs.0.convs.0.weight") or (0, 0))[1] // 2
    params: dict[str, Any] = {"BatchNorm_0": state.norm("bn_fts", features)}
    averages: dict[str, Any] = {"BatchNorm_0": state.averages("bn_fts", features)}
    widths: list[int] = []
    for i in range(max(blocks, 1)):
        inputs = widths[-1] if widths else features
        params[f"block_{i}"], averages[f"block_{i}"] = _edge_convolution(state, f"edge_convs.{i}", inputs)
        widths.append(len(averages[f"block_{i}"]["BatchNorm_0"]["mean"]))
    last = widths[-1]
    fusion = "fusion_block.0.weight" in state
    if fusion:
        params["fusion"] = {"kernel": state.kernel("fusion_block.0", sum(widths), axes=3)}
        last = params["fusion"]["kernel"].shape[1]
        params["BatchNorm_1"] = state.norm("fusion_block.1", last)
        averages["BatchNorm_1"] = state.averages("fusion_block.1", last)
    hidden: list[int] = []
    for i in range(state.count("fc.", ".0.weight")):
        params[f"Dense_{i}"] = state.dense(f"fc.{i}.0", last)
        last = params[f"Dense_{i}"]["kernel"].shape[1]
        hidden.append(last)
    params["head"] = state.dense("fc_out" if "fc_out.weight" in state else f"fc.{len(hidden)}", last)
    outputs = params["head"]["kernel"].shape[1]
    state.check_all_taken("ParticleNet")
    model = ParticleNet(blocks=tuple(widths), fusion=fusion, hidden=tuple(hidden), outputs=outputs)
    return model, params, {"batch_stats": averages}


def to_arrays(model: ParticleNet, params: PyTree, model_state: PyTree) -> dict[str, np.ndarray]:
    """The arrays of a ParticleNet under the names that weaver-core's `ParticleNet` has now.

    Args:
      model: the network.
      params: its parameters.
      model_state: its running averages, as `batch_stats`.

    Returns:
      A whole state dict, without a prefix; `from_arrays` reads it back.
    """
    averages = model_state["batch_stats"]
    arrays = norm_arrays("bn_fts", params["BatchNorm_0"], averages["BatchNorm_0"])
    for i in range(len(model.blocks)):
        block, of_block, name = params[f"block_{i}"], averages[f"block_{i}"], f"edge_convs.{i}"
        layers = [{"kernel": block["layer_0"]}, *(block[f"layer_{j}"] for j in range(1, _LAYERS))]
        for j, layer in enumerate(layers):
            arrays |= dense_arrays(f"{name}.convs.{j}", layer, axes=4)
        norms = [f"{name}.bns.{j}" for j in range(_LAYERS)]
        if "shortcut" in block:
            arrays |= dense_arrays(f"{name}.sc", block["shortcut"], axes=3)
            norms.append(f"{name}.sc_bn")
        for j, norm in enumerate(norms):
            arrays |= norm_arrays(norm, block[f"BatchNorm_{j}"], of_block[f"BatchNorm_{j}"])
    if model.fusion:
        arrays |= dense_arrays("fusion_block.0", params["fusion"], axes=3)
        arrays |= norm_arrays("fusion_block.1", params["BatchNorm_1"], averages["BatchNorm_1"])
    for i in range(len(model.hidden)):
        arrays |= dense_arrays(f"fc.{i}.0", params[f"Dense_{i}"])
    return arrays | dense_arrays(f"fc.{len(model.hidden)}", params["head"])


def peer_lines(model: ParticleNet, columns: int) -> list[str]:
    """The lines of Python that make weaver-core's network of the same form, called `network`.

    Args:
      model: the network.
      columns: that it sees of each particle.

    >>> peer_lines(ParticleNet(outputs=10), 7)[0]
    'from weaver.nn.model.ParticleNet import ParticleNet'
    """
    blocks = [(model.neighbors, (width,) * _LAYERS) for width in model.blocks]
    hidden = [(width, model.dropout) for width in model.hidden]
    return [
        "from weaver.nn.model.ParticleNet import ParticleNet",
        f"network = ParticleNet({columns}, {model.outputs}, {blocks}, {hidden}, use_fusion={model.fusion})",
    ]


def _edge_convolution(state: StateDict, name: str, inputs: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and running averages of a block."""
    kernels = [state.kernel(f"{name}.convs.0", 2 * inputs, axes=4)]
    width = kernels[0].shape[1]
    kernels += [state.kernel(f"{name}.convs.{i}", width, axes=4) for i in range(1, _LAYERS)]
    wrong = {kernel.shape[1] for kernel in kernels} - {width}
    if wrong or state.count(f"{name}.convs.", ".weight") != _LAYERS:
        raise InputError(f"{state.source}: {name}: expected three layers of one width; others cannot be taken")
    params: dict[str, Any] = {"layer_0": kernels[0]}
    params |= {f"layer_{i}": {"kernel": kernel} for i, kernel in enumerate(kernels[1:], start=1)}
    norms = [f"{name}.bns.{i}" for i in range(_LAYERS)]
    if inputs != width:
        params["shortcut"] = {"kernel": state.kernel(f"{name}.sc", inputs, axes=3)}
        norms.append(f"{name}.sc_bn")
    params |= {f"BatchNorm_{i}": state.norm(norm, width) for i, norm in enumerate(norms)}
    return params, {f"BatchNorm_{i}": state.averages(norm, width) for i, norm in enumerate(norms)}
