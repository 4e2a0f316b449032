"""LorentzNet as its authors saved it, such as the released weights of arXiv:2201.08187, in `LorentzNet`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax.models.lorentz_net import LorentzNet
from hepjax.models.pretrained.pytorch import read_pytorch
from hepjax.models.pretrained.state_dicts import StateDict

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import numpy as np

    from hepjax.types import PyTree

_STEP = {True: 5e-3, False: 1e-3}
"""How far messages move coordinates: of the published networks with beams, for tops, and without, for quarks."""


def load_lorentz_net(path: str | os.PathLike[str], nodes: int | None = None) -> tuple[LorentzNet, PyTree, PyTree]:
    """A published LorentzNet.

    The file is read without executing anything in it. Where its network sees two scalars, these are the masses of
    particles and beams, as for top tagging; otherwise they are columns, as for quarks and gluons, to be named.

    Args:
      path: a state dict of PyTorch, such as `best-val-model.pt`.
      nodes: what sums over particles and beams are divided by. The authors' code divides by the slots of each batch,
        those of its jet with the most particles and of the beams, which weights do not tell: other numbers shift all
        answers. None is the number of the jet itself, with which answers are not those published.

    Returns:
      The module, its parameters, and its running averages.

    Raises:
      InputError: the file cannot be read, or holds another network.

    >>> load_lorentz_net("best-val-model.pt")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: best-val-model.pt: cannot be read (no such file); give a file of torch.save
    """
    return from_arrays(read_pytorch(path), nodes, str(path))


def from_arrays(
    arrays: Mapping[str, np.ndarray], nodes: int | None = None, source: str = "arrays"
) -> tuple[LorentzNet, PyTree, PyTree]:
    """A LorentzNet from its arrays under PyTorch's names.

    Args:
      arrays: the state dict of the authors' network, with a prefix that all names share, or without.
      nodes: as in `load_lorentz_net`.
      source: what messages call the arrays.

    Returns:
      As `load_lorentz_net`.

    Raises:
      InputError: as `load_lorentz_net`.

    >>> import numpy as np
    >>> from_arrays({"embedding.bias": np.zeros(3)})
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: arrays: has no embedding.weight; give the weights of this network
    """
    state = StateDict(arrays, source)
    scalars = (state.shape("embedding.weight") or (0, 0))[-1]
    embedding = state.dense("embedding", scalars)
    width = embedding["kernel"].shape[1]
    blocks = max(state.count("LGEBs.", ".phi_e.0.weight"), 1)
    params: dict[str, Any] = {"embedding": embedding}
    averages: dict[str, Any] = {}
    for i in range(blocks):
        params[f"block_{i}"], averages[f"block_{i}"] = _block(state, f"LGEBs.{i}", width, scalars, i < blocks - 1)
    params |= {"hidden": state.dense("graph_dec.0", width), "head": state.dense("graph_dec.3", width)}
    state.check_all_taken("LorentzNet")
    beams = scalars == 2
    model = LorentzNet(
        width=width,
        layers=blocks,
        beams=beams,
        masses=beams,
        step=_STEP[beams],
        nodes=nodes,
        outputs=params["head"]["kernel"].shape[1],
    )
    return model, params, {"batch_stats": averages}


def _block(state: StateDict, name: str, width: int, scalars: int, moves: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and running averages of a block, which may move coordinates."""
    nodes = 2 * width + scalars
    params: dict[str, Any] = {
        "edge_in": state.kernel(f"{name}.phi_e.0", 2 * width + 2),
        "edge_norm": state.norm(f"{name}.phi_e.1", width),
        "node_in": state.dense(f"{name}.phi_h.0", nodes),
        "BatchNorm_0": state.norm(f"{name}.phi_h.1", width),
        "node_out": state.dense(f"{name}.phi_h.3", width),
        **_affine(state, f"{name}.phi_e.3", "edge_out", width),
        **_affine(state, f"{name}.phi_m.0", "gate", width),
    }
    if moves:
        params |= _affine(state, f"{name}.phi_x.0", "pull_in", width)
        params["pull_out"] = state.kernel(f"{name}.phi_x.2", width)
    averages = {"edge_norm": state.averages(f"{name}.phi_e.1", width)}
    return params, averages | {"BatchNorm_0": state.averages(f"{name}.phi_h.1", width)}


def _affine(state: StateDict, name: str, ours: str, inputs: int) -> dict[str, Any]:
    layer = state.dense(name, inputs)
    return {ours: layer["kernel"], f"{ours}_bias": layer["bias"]}
