"""The interaction network, JEDI-net: every particle hears from every other (arXiv:1908.05318)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import jax
import jax.numpy as jnp
import jraph
from flax import linen as nn

from hepjax.choices import Activation, PairForm, Readout
from hepjax.models.bounds import OptionType, at_least, at_most, each_value, not_empty
from hepjax.models.layers.activations import FUNCTIONS, prelu, units
from hepjax.models.layers.empty_jets import uniform_where_empty
from hepjax.models.layers.inspection import sow_for_inspection
from hepjax.models.layers.pairs import (
    Layer,
    are_few,
    elu,
    particles_per_slot,
    run,
    selu,
    sum_all_pairs,
    sum_pairs_by_receiver,
    weights,
)
from hepjax.models.mlp import MLP
from hepjax.models.model import MOST_PARTICLES, ParticleModel
from hepjax.models.registry import register
from hepjax.types import Sequences

if TYPE_CHECKING:
    from collections.abc import Sequence

_Choice = Activation | Callable[[Any], Any]

_QUICK = {Activation.ELU: elu, Activation.SELU: selu}
"""In place of `FUNCTIONS`."""


@register("interaction-network")
class InteractionNetwork(ParticleModel):
    """JEDI-net, the interaction network on all pairs of particles (arXiv:1908.05318).

    Its section 4: for each ordered pair, f_R maps the features of receiver and sender to a message; each particle adds
    up the messages it receives; f_O maps its features and that sum to an output; the outputs of all particles, summed
    or one after another, go through a classifier. The activation follows every layer but the classifier's last.

    Three forms run the same parameters and agree to rounding. Without a choice, `Sequences` run as one dense tensor up
    to 30,000 pairs B·P·(P−1) in the batch and receiver by receiver above; a graph runs over its list of edges.

    An input may have fewer slots than `particles`, with the same answer: it then holds all particles of a jet, and
    where padding takes part at least one slot of it, which stands for all. This is not checked: how many particles
    there are is not known when the model is compiled.

    A jet without particles gets outputs of 0 where padding is left out.
    """

    particles: Annotated[int | None, at_least(1), at_most(MOST_PARTICLES), OptionType(int)] = 30  # type: ignore[assignment]
    """How many particles of each jet the model sees, the first in order; in Python None takes those of the input."""
    edge: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (50, 25, 12)
    """Widths of the layers of the edge network."""
    node: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (50, 25, 12)
    """Widths of the layers of the node network."""
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (50, 25)
    """Widths of the classifier's hidden layers."""
    activation: Annotated[_Choice | tuple[_Choice, _Choice, _Choice], OptionType(Activation)] = Activation.RELU
    """Activation after every layer but the last; in Python also three, of f_R, f_O and the classifier."""
    readout: Readout = Readout.SUM
    """The classifier sees the sum over particles, or all their outputs one after another."""
    masked: bool = True
    """Leave padding out; --no-masked lets it take part, as in the published networks."""
    form: PairForm | None = None
    """How to run over the pairs; the default is the fastest for their number."""

    @nn.nowrap
    def min_padding(self) -> int | None:
        """Returns 1 where padding takes part, for a slot of it stands for all."""
        return 0 if self.masked else 1

    @nn.compact
    def __call__(
        self, inputs: Sequences | jraph.GraphsTuple, mask: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Returns the outputs of jets as sequences, of which all pairs are joined, or as a graph of any edges.

        Args:
          inputs: `Sequences` with values (B, P, F) and mask (B, P); or a `GraphsTuple` with nodes (N, F), where edge
            features, if there are any, join f_R's input.
          mask: changes nothing here, no more than `train`.
          train: see `mask`.

        Returns:
          (B, outputs); for a `GraphsTuple` (G, outputs), padding graphs included.

        Raises:
          TypeError: the inputs are neither.
          ValueError: the form, the readout or `masked=False` does not go with a `GraphsTuple`; or there are more
            slots than `particles`.
        """
        del mask, train
        form = self._message_form(inputs)
        if isinstance(inputs, Sequences):
            counts = particles_per_slot(jnp.asarray(inputs.mask), self.particles, masked=self.masked)
            x = jnp.where(counts[..., None] > 0, inputs.values, 0)
            features, extra = x.shape[-1], 0
        else:
            features, extra = inputs.nodes.shape[-1], 0 if inputs.edges is None else inputs.edges.shape[-1]
        choice = self.activation
        activations = choice if isinstance(choice, tuple) else (choice, choice, choice)
        f_r = _Layers(self.edge, activations[0], name="edge_network")(2 * features + extra)
        f_o = _Layers(self.node, activations[1], name="node_network")(features + self.edge[-1])
        if not isinstance(inputs, Sequences):
            graphs = inputs.n_node.shape[0]
            outputs = _segment_messages(self, f_r, f_o, inputs)
            which = jnp.repeat(jnp.arange(graphs), inputs.n_node, total_repeat_length=len(outputs))
            read, filled = jraph.segment_sum(outputs, which, graphs), inputs.n_node > 0
        else:
            if form is PairForm.SEGMENTS:
                outputs = _segment_messages(self, f_r, f_o, _edges_of_all_pairs(x), counts).reshape(*x.shape[:2], -1)
            else:
                messages = (sum_all_pairs if form is PairForm.DENSE else sum_pairs_by_receiver)(f_r, x, counts)
                outputs = run(f_o, jnp.concatenate([x, messages], axis=-1))
            read, filled = self._classifier_input(outputs, counts), counts.any(axis=1)
        self.sow("intermediates", "outputs", outputs)
        classifier = MLP(hidden=self.hidden, outputs=self.outputs, activation=activations[2], name="classifier")
        return uniform_where_empty(classifier(read), filled)

    def _classifier_input(self, outputs: jax.Array, counts: jax.Array) -> jax.Array:
        """The classifier's input: (B, P, D) and (B, P) → (B, D), or (B, particles·D)."""
        if self.readout is Readout.SUM:
            return (outputs * counts[..., None].astype(outputs.dtype)).sum(axis=1)
        outputs = jnp.where(counts[..., None] > 0, outputs, 0)
        missing = (self.particles or outputs.shape[1]) - outputs.shape[1]
        if self.masked:
            outputs = jnp.pad(outputs, ((0, 0), (0, missing), (0, 0)))
        elif missing:  # the last slot that counts, again for each that it stands for
            last = (counts > 0).sum(axis=1, keepdims=True) - 1
            slot = jnp.minimum(jnp.arange(outputs.shape[1] + missing), last)
            outputs = jnp.take_along_axis(outputs, slot[..., None], axis=1)
        return outputs.reshape(len(outputs), -1)

    def _message_form(self, inputs: Sequences | jraph.GraphsTuple) -> PairForm:
        if isinstance(inputs, Sequences):
            jets, slots = inputs.mask.shape
            if self.particles is not None and slots > self.particles:
                raise ValueError(f"particles: {self.particles} are fewer than the input's {slots}")
            return self.form or (PairForm.DENSE if are_few(jets, slots) else PairForm.RECEIVERS)
        if not isinstance(inputs, jraph.GraphsTuple):
            raise TypeError(f"inputs: expected Sequences or a GraphsTuple, found {type(inputs).__name__}")
        if self.form not in {None, PairForm.SEGMENTS}:
            raise ValueError(f"form: a GraphsTuple runs over its edges (SEGMENTS), found {self.form}; give Sequences")
        if self.readout is not Readout.SUM:
            raise ValueError(f"readout: the graphs' sizes differ, which needs SUM, found {self.readout}")
        if not self.masked:
            raise ValueError("masked: False lets padding take part, which a GraphsTuple does not have; give Sequences")
        return PairForm.SEGMENTS


class _Affine(nn.Module):
    """The parameters of a dense layer, as `nn.Dense` would hold them."""

    inputs: int
    outputs: int

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.inputs, self.outputs))
        return kernel, self.param("bias", nn.initializers.zeros, (self.outputs,))


class _Layers(nn.Module):
    """Dense layers as plain arrays and functions, so that each form may lay its tensors out in its own way."""

    widths: tuple[int, ...]
    activation: _Choice

    @nn.compact
    def __call__(self, features: int) -> list[Layer]:
        layers = []
        for i, width in enumerate(self.widths):
            affine = _Affine(features, units(self.activation, width), name=f"Dense_{i}")()
            activate: Any = self.activation
            if activate is Activation.PRELU:
                activate = partial(prelu, slope=self.param(f"slope_{i}", nn.initializers.constant(0.25), ()))
            elif isinstance(activate, Activation):
                activate = _QUICK.get(activate, FUNCTIONS[activate])
            elementwise = isinstance(self.activation, Activation) and self.activation is not Activation.MAXOUT
            layers.append(Layer(*affine, activate, elementwise))
            features = width
        return layers


def _edges_of_all_pairs(x: jax.Array) -> jraph.GraphsTuple:
    """Makes a node of every slot of every jet, and an edge of every pair of a jet's slots, receivers in order."""
    jets, slots, _ = x.shape
    first = slots * jnp.arange(jets)[:, None]
    return jraph.GraphsTuple(
        nodes=x.reshape(jets * slots, -1),
        edges=None,
        senders=(first + jnp.tile(jnp.arange(slots), slots)).reshape(-1),
        receivers=(first + jnp.repeat(jnp.arange(slots), slots)).reshape(-1),
        globals=None,
        n_node=jnp.full(jets, slots),
        n_edge=jnp.full(jets, slots * slots),
    )


def _segment_messages(
    module: nn.Module,
    f_r: Sequence[Layer],
    f_o: Sequence[Layer],
    graph: jraph.GraphsTuple,
    counts: jax.Array | None = None,
) -> jax.Array:
    """The nodes' outputs (N, D_O) by jraph; a node that `counts` for several sends as often, but not to itself."""

    def message(edges: jax.Array | None, sender: jax.Array, receiver: jax.Array) -> jax.Array:
        ends = [receiver, sender] if edges is None else [receiver, sender, edges]
        messages = run(f_r, jnp.concatenate(ends, axis=-1))
        if counts is not None:
            times = weights(counts.reshape(-1)[graph.senders], graph.senders == graph.receivers)
            messages = messages * times[:, None].astype(messages.dtype)
        return sow_for_inspection(module, "messages", messages)

    def output(nodes: jax.Array, messages: jax.Array) -> jax.Array:
        return run(f_o, jnp.concatenate([nodes, messages], axis=-1))

    network = jraph.InteractionNetwork(update_edge_fn=message, update_node_fn=output)
    outputs: jax.Array = network(graph._replace(globals=None)).nodes
    return outputs
