"""Particle Transformer as weaver-core saves it, with old and new names of its arrays, in `ParticleTransformer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from hepjax.choices import TransformerBlock
from hepjax.errors import InputError
from hepjax.models.particle_transformer import ParticleTransformer
from hepjax.models.pretrained.pytorch import read_pytorch
from hepjax.models.pretrained.state_dicts import StateDict, dense_arrays, norm_arrays

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from hepjax.types import PyTree

_HEAD_WIDTH = 16
"""The authors' heads have this width; arrays tell the number of heads where pairs are embedded or heads are scaled."""
_VERSIONS = {TransformerBlock.NORMFORMER: 1, TransformerBlock.SWIGLU: 2, TransformerBlock.RMS_SWIGLU: 3}
"""Form of the blocks → weaver-core's number of it."""
_PER_LAYER = 3
"""A layer that embeds particles is three of PyTorch: norm, dense layer, activation; so is one that embeds pairs."""


def load_particle_transformer(path: str | os.PathLike[str]) -> tuple[ParticleTransformer, PyTree, PyTree]:
    """A Particle Transformer that was trained with weaver-core, of one cloud of particles.

    The file is read without executing anything in it. Features of pairs are the four published ones, and the last
    layer over them is followed by its activation, as in the published network.

    Args:
      path: a state dict of PyTorch, such as `ParT_full.pt`.

    Returns:
      The module, its parameters, and its running averages.

    Raises:
      InputError: the file cannot be read, or holds another network.

    >>> load_particle_transformer("ParT_full.pt")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: ParT_full.pt: cannot be read (no such file); give a file of torch.save
    """
    return from_arrays(read_pytorch(path), str(path))


def from_arrays(arrays: Mapping[str, np.ndarray], source: str = "arrays") -> tuple[ParticleTransformer, PyTree, PyTree]:
    """A Particle Transformer from its arrays under PyTorch's names.

    Args:
      arrays: the state dict of weaver-core's `ParticleTransformer`, with a prefix that all names share, or without.
      source: what messages call the arrays.

    Returns:
      As `load_particle_transformer`.

    Raises:
      InputError: as `load_particle_transformer`.

    >>> from_arrays({"fc.weight": jnp.zeros((2, 3))})
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: arrays: has no embed.input_bn.weight; give the weights of this network
    """
    state = StateDict({name.replace("in_proj.", "in_proj_"): array for name, array in arrays.items()}, source)
    features = len(state.take("embed.input_bn.weight", 1))
    params: dict[str, Any] = {"BatchNorm_0": state.norm("embed.input_bn", features)}
    averages: dict[str, Any] = {"BatchNorm_0": state.averages("embed.input_bn", features)}
    embed: list[int] = []
    while f"embed.embed.{_PER_LAYER * len(embed)}.weight" in state:
        number, inputs = _PER_LAYER * len(embed), embed[-1] if embed else features
        params[f"LayerNorm_{len(embed)}"] = state.norm(f"embed.embed.{number}", inputs)
        params[f"Dense_{len(embed)}"] = state.dense(f"embed.embed.{number + 1}", inputs)
        embed.append(params[f"Dense_{len(embed)}"]["kernel"].shape[1])
    if not embed:
        raise InputError(f"{source}: has no embed.embed.0.weight; give the weights of this network")
    width, form = embed[-1], _form(state)
    pairs: list[int] = []
    heads = width // _HEAD_WIDTH
    if "pair_embed.embed.0.weight" in state:
        params["pair_embedding"], averages["pair_embedding"], pairs = _pair_embedding(state)
        heads = pairs.pop()
    heads = (state.shape("blocks.0.c_attn") or (heads,))[0]
    counts = [state.count(f"{kind}.", ".attn.out_proj.weight") for kind in ("blocks", "cls_blocks")]
    for name, kind, count in zip(("block", "class_block"), ("blocks", "cls_blocks"), counts, strict=True):
        params |= {f"{name}_{i}": _block(state, f"{kind}.{i}", width, form) for i in range(max(count, 1))}
    params["class_token"] = jnp.asarray(state.take("cls_token", 3, width))
    params["norm"] = _norm(state, "norm", width, form)
    hidden = [width]
    for i in range(state.count("fc.", ".0.weight")):
        layer = _dense(state, f"fc.{i}.0", hidden[-1], form)
        params[f"Dense_{len(embed) + i}"] = layer
        hidden.append(layer["kernel"].shape[1])
    params["head"] = state.dense("fc_out" if "fc_out.weight" in state else f"fc.{len(hidden) - 1}", hidden[-1])
    state.check_all_taken("Particle Transformer")
    model = ParticleTransformer(
        embed=tuple(embed),
        pair_embed=tuple(pairs),
        heads=heads,
        layers=counts[0],
        class_layers=counts[1],
        block=form,
        hidden=tuple(hidden[1:]),
        outputs=params["head"]["kernel"].shape[1],
    )
    return model, params, {"batch_stats": averages}


def to_arrays(model: ParticleTransformer, params: PyTree, model_state: PyTree) -> dict[str, np.ndarray]:
    """The arrays of a Particle Transformer under the names that weaver-core's `ParticleTransformer` has now.

    Args:
      model: the network.
      params: its parameters.
      model_state: its running averages, as `batch_stats`.

    Returns:
      A whole state dict, without a prefix; `from_arrays` reads it back.
    """
    averages, embed = model_state["batch_stats"], len(model.embed)
    arrays: dict[str, np.ndarray] = {"cls_token": np.asarray(params["class_token"], np.float32)}
    arrays |= norm_arrays("embed.input_bn", params["BatchNorm_0"], averages["BatchNorm_0"])
    for i in range(embed):
        arrays |= norm_arrays(f"embed.embed.{_PER_LAYER * i}", params[f"LayerNorm_{i}"])
        arrays |= dense_arrays(f"embed.embed.{_PER_LAYER * i + 1}", params[f"Dense_{i}"])
    if model.pair_embed:
        pairs, of_pairs = params["pair_embedding"], averages["pair_embedding"]
        arrays |= norm_arrays("pair_embed.embed.0", pairs["BatchNorm_0"], of_pairs["BatchNorm_0"])
        for i in range(len(model.pair_embed) + 1):
            name, norm = "pair_embed.embed", f"BatchNorm_{i + 1}"
            arrays |= dense_arrays(f"{name}.{_PER_LAYER * i + 1}", pairs[f"Dense_{i}"], axes=3)
            arrays |= norm_arrays(f"{name}.{_PER_LAYER * i + 2}", pairs[norm], of_pairs[norm])
    for kind, name, count in (("block", "blocks", model.layers), ("class_block", "cls_blocks", model.class_layers)):
        for i in range(count):
            arrays |= _block_arrays(f"{name}.{i}", params[f"{kind}_{i}"])
    arrays |= norm_arrays("norm", params["norm"])
    for i in range(len(model.hidden)):
        arrays |= dense_arrays(f"fc.{i}.0", params[f"Dense_{embed + i}"])
    return arrays | dense_arrays(f"fc.{len(model.hidden)}", params["head"])


def peer_lines(model: ParticleTransformer, columns: int) -> list[str]:
    """The lines of Python that make weaver-core's network of the same form, called `network`.

    Args:
      model: the network.
      columns: that it sees of each particle.

    >>> peer_lines(ParticleTransformer(outputs=10), 7)[0]
    'from weaver.nn.model.ParticleTransformer import ParticleTransformer'
    """
    hidden = [(width, model.dropout) for width in model.hidden]
    return [
        "from weaver.nn.model.ParticleTransformer import ParticleTransformer",
        f"network = ParticleTransformer({columns}, {model.outputs}, embed_dims={[*model.embed]},",
        f"    pair_embed_dims={[*model.pair_embed] or None}, num_heads={model.heads}, num_layers={model.layers},",
        f"    num_cls_layers={model.class_layers}, fc_params={hidden}, use_pre_activation_pair=False,",
        f"    version={_VERSIONS[model.block]})",
    ]


def _block_arrays(name: str, block: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a block; which there are depends on its form."""
    packed = np.asarray(block["attention_in"], np.float32)
    width = len(packed)
    arrays: dict[str, np.ndarray] = {f"{name}.attn.in_proj.weight": packed.transpose(1, 2, 0).reshape(3 * width, width)}
    if "attention_in_bias" in block:
        arrays[f"{name}.attn.in_proj.bias"] = np.asarray(block["attention_in_bias"], np.float32).reshape(-1)
    dense = {"attention_out": "attn.out_proj", "hidden": "fc1", "gate": "fc1_g", "hidden_out": "fc2"}
    norms = {
        "attention_norm": "pre_attn_norm",
        "hidden_norm": "pre_fc_norm",
        "attention_out_norm": "post_attn_norm",
        "hidden_out_norm": "post_fc_norm",
    }
    for ours, theirs in dense.items():
        arrays |= dense_arrays(f"{name}.{theirs}", block[ours]) if ours in block else {}
    for ours, theirs in norms.items():
        arrays |= norm_arrays(f"{name}.{theirs}", block[ours]) if ours in block else {}
    scales = {"head_scale": "c_attn", "residual_scale": "w_resid"}
    return arrays | {
        f"{name}.{theirs}": np.asarray(block[ours], np.float32) for ours, theirs in scales.items() if ours in block
    }


def _form(state: StateDict) -> TransformerBlock:
    if "blocks.0.fc1_g.weight" not in state:
        return TransformerBlock.NORMFORMER
    return TransformerBlock.SWIGLU if "blocks.0.fc1.bias" in state else TransformerBlock.RMS_SWIGLU


def _pair_embedding(state: StateDict) -> tuple[dict[str, Any], dict[str, Any], list[int]]:
    """Parameters and running averages, and the widths."""
    inputs = len(state.take("pair_embed.embed.0.weight", 1))
    params: dict[str, Any] = {"BatchNorm_0": state.norm("pair_embed.embed.0", inputs)}
    averages: dict[str, Any] = {"BatchNorm_0": state.averages("pair_embed.embed.0", inputs)}
    if inputs != 4:
        raise InputError(f"{state.source}: pair_embed: expected 4 features of pairs, found {inputs}")
    widths: list[int] = []
    while f"pair_embed.embed.{_PER_LAYER * len(widths) + 1}.weight" in state:
        number = _PER_LAYER * len(widths) + 1
        layer: dict[str, Any] = {"kernel": state.kernel(f"pair_embed.embed.{number}", inputs, axes=3)}
        inputs = layer["kernel"].shape[1]
        if f"pair_embed.embed.{number}.bias" in state:
            layer["bias"] = jnp.asarray(state.take(f"pair_embed.embed.{number}.bias", 1, inputs))
        params[f"Dense_{len(widths)}"] = layer
        widths.append(inputs)
        params[f"BatchNorm_{len(widths)}"] = state.norm(f"pair_embed.embed.{number + 1}", inputs)
        averages[f"BatchNorm_{len(widths)}"] = state.averages(f"pair_embed.embed.{number + 1}", inputs)
    return params, averages, widths


def _block(state: StateDict, name: str, width: int, form: TransformerBlock) -> dict[str, Any]:
    packed = state.take(f"{name}.attn.in_proj_weight", 2, width)
    params: dict[str, Any] = {
        "attention_norm": _norm(state, f"{name}.pre_attn_norm", width, form),
        "attention_in": jnp.asarray(packed.reshape(3, width, width).transpose(2, 0, 1)),
        "attention_out": _dense(state, f"{name}.attn.out_proj", width, form),
        "hidden_norm": _norm(state, f"{name}.pre_fc_norm", width, form),
        "hidden": _dense(state, f"{name}.fc1", width, form),
    }
    wide = params["hidden"]["kernel"].shape[1]
    params["hidden_out"] = _dense(state, f"{name}.fc2", wide, form)
    if form is not TransformerBlock.RMS_SWIGLU:
        params["attention_in_bias"] = jnp.asarray(state.take(f"{name}.attn.in_proj_bias", 1).reshape(3, width))
    if form is not TransformerBlock.NORMFORMER:
        return params | {"gate": _dense(state, f"{name}.fc1_g", width, form)}
    return params | {
        "head_scale": jnp.asarray(state.take(f"{name}.c_attn", 1)),
        "attention_out_norm": state.norm(f"{name}.post_attn_norm", width),
        "hidden_out_norm": state.norm(f"{name}.post_fc_norm", wide),
        "residual_scale": jnp.asarray(state.take(f"{name}.w_resid", 1, width)),
    }


def _norm(state: StateDict, name: str, width: int, form: TransformerBlock) -> dict[str, Any]:
    if form is TransformerBlock.RMS_SWIGLU:
        return {"scale": jnp.asarray(state.take(f"{name}.weight", 1, width))}
    return state.norm(name, width)


def _dense(state: StateDict, name: str, inputs: int, form: TransformerBlock) -> dict[str, Any]:
    if form is TransformerBlock.RMS_SWIGLU:
        return {"kernel": state.kernel(name, inputs)}
    return state.dense(name, inputs)
