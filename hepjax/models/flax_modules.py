"""Flax modules of one's own as models: what they see is said once, and all else is as for the models of hepjax."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import jax
from flax import linen as nn

from hepjax.choices import ModuleInputs, choose
from hepjax.errors import InputError
from hepjax.models.definitions import fields_of, find, module_of_class, read_fields, registered_place
from hepjax.models.model import FeatureModel, Model, ParticleModel
from hepjax.models.registry import register
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hepjax.types import Sequences

log = logging.getLogger("hepjax")


class _OwnModule(Model):
    """A Flax module of one's own inside a model of hepjax."""

    module: str = ""
    """Where its class is defined: package.module:Name, or file.py:Name."""
    arguments: tuple[str, ...] = ()
    """Its fields, each as name=JSON."""

    @nn.nowrap
    def rules(self) -> Iterable[Rule]:
        """Returns that the module is named; one that cannot be found or made raises an `InputError`."""
        yield Rule("--module", self.module, bool(self.module), "where a Flax module is defined, such as file.py:Name")
        self.make()

    @nn.nowrap
    def label(self) -> str:
        """Returns the name of its class."""
        made = self.make()
        return str(getattr(made, "nnx_class", type(made)).__name__)

    @nn.nowrap
    def with_outputs(self, outputs: int) -> Model:
        """Returns it with another number of outputs, where its module has a field `outputs`.

        Args:
          outputs: how many.

        Raises:
          InputError: the module has no such field.
        """
        fields = read_fields(self.arguments)
        if not isinstance(fields.get("outputs"), int):
            raise InputError(
                f"{self.label()}: has no field `outputs`, so that its last layer cannot be told from the others; give "
                "it one, which says how many numbers it returns"
            )
        words = (word for word in self.arguments if not word.startswith("outputs="))
        changed: Model = self.clone(outputs=outputs, arguments=(*words, f"outputs={outputs}"))
        return changed

    @nn.nowrap
    def make(self) -> nn.Module:
        """Makes the module, which belongs to no other."""
        return module_of_class(self._kind(), self.module, read_fields(self.arguments))

    @nn.nowrap
    def clone(self, **changes: Any) -> Any:
        """Copies it; a copy keeps the class that it was made with, whatever a notebook defines by that name later."""
        new = super().clone(**changes)
        if "module" not in changes and self.module:
            object.__setattr__(new, "_found", self._kind())
        return new

    @nn.nowrap
    def _kind(self) -> Any:
        if "_found" not in self.__dict__:
            object.__setattr__(self, "_found", find(self.module))
        return self.__dict__["_found"]


class ParticleModule(_OwnModule, ParticleModel):
    """A Flax module of one's own, called with particles (B, P, F) and their mask (B, P)."""

    @nn.compact
    def __call__(self, x: Sequences, mask: jax.Array | None = None, train: bool = False) -> jax.Array:  # noqa: ARG002
        """Returns (B, outputs) of values (B, P, F) and their mask (B, P); training draws from the rng `dropout`."""
        return _call_module(self, (x.values, x.mask), train=train)


class ObservableModule(_OwnModule, FeatureModel):
    """A Flax module of one's own, called with jet observables (B, F)."""

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> jax.Array:  # noqa: ARG002
        """Returns (B, outputs) of x, (B, F); training draws from the rng `dropout`."""
        return _call_module(self, (x,), train=train)


register("flax-particles")(ParticleModule)
register("flax-observables")(ObservableModule)


def from_flax(
    module: nn.Module,
    inputs: ModuleInputs | str = ModuleInputs.PARTICLES,
    *,
    columns: Sequence[str] = (),
    particles: int | None = None,
) -> Model:
    """Makes a model of a Flax module of one's own, which is then trained, saved and exported as others are.

    Args:
      module: an instance. With inputs "particles" it is called as module(values, mask): (B, P, F) float32, scaled, zero
        where there is no particle, and (B, P) bool, a jet's particles first. With "observables" it is called as
        module(values): (B, F) float32, scaled. It returns (B, outputs) float. Where its `__call__` has a parameter
        `train`, it is given whether it is in training; dropout draws from the rng `dropout`.
      inputs: what it looks at.
      columns: F columns of particles or of jets, by name; none are those that the dataset names.
      particles: P, how many of each jet, the first by falling pT; None is 30.

    Returns:
      The model, which records where the class is defined, and its fields.

    Raises:
      InputError: it is no Flax module, does not take these inputs, or a field cannot be recorded.

    >>> from_flax(nn.Dense(5), "observables", columns=("j_pt", "j_mass")).features
    ('j_pt', 'j_mass')
    """
    chosen = choose(ModuleInputs, inputs, "inputs")
    _check_is_module(module)
    _check_takes(module, chosen)
    own: dict[str, Any] = {"module": (place := registered_place(type(module))), "arguments": fields_of(module)}
    if "<locals>" in place or place.startswith("__main__:"):
        log.warning(
            "%s is defined in no Python file, or inside of a function: what is trained can be opened in this process "
            "alone; define it at the top of a file to use it elsewhere",
            type(module).__name__,
        )
    if chosen is ModuleInputs.PARTICLES:
        own |= {} if particles is None else {"particles": particles}
        return ParticleModule(columns=tuple(columns), **own)
    if particles is not None:
        raise InputError('particles: a module of observables sees none; leave it out, or give inputs="particles"')
    return ObservableModule(features=tuple(columns), **own)


def _check_is_module(module: Any) -> None:
    """Refuses what is no instance of a Flax module."""
    if isinstance(module, nn.Module):
        return
    name = module.__name__ if isinstance(module, type) else type(module).__name__
    kinds = [f"{kind.__module__}.{kind.__name__}" for kind in getattr(module, "__mro__", type(module).__mro__)]
    if any(kind.startswith("flax.nnx.") for kind in kinds):
        raise InputError(f"model: found {name} of flax.nnx; give flax.nnx.bridge.to_linen({name}, …)")
    if isinstance(module, type) and issubclass(module, nn.Module):
        raise InputError(f"model: found the class {name}; give an instance, such as {name}()")
    raise InputError(
        f"model: expected the name of a model, one of hepjax.models, or a Flax module, found {name}; docs/own-model.md "
        "shows how to write one"
    )


def _check_takes(module: nn.Module, inputs: ModuleInputs) -> None:
    """Refuses a module whose `__call__` does not take its inputs."""
    given = {ModuleInputs.OBSERVABLES: "(observables)", ModuleInputs.PARTICLES: "(particles, mask)"}
    (other,) = set(ModuleInputs) - {inputs}
    signature = _signature_of(module)
    try:
        signature.bind(*given[inputs].split(","), **_training_argument(module, train=False))
    except TypeError as error:
        raise InputError(
            f'{type(module).__name__}: inputs="{inputs.value}" calls it with {given[inputs]}, its __call__ takes '
            f'{signature}; give inputs="{other.value}", which is {given[other]}, or change it'
        ) from error


def _signature_of(module: nn.Module) -> inspect.Signature:
    """What a module is called with, but for itself; of one that Flax has made of an nnx class, what that takes."""
    called: Any = getattr(module, "nnx_class", type(module)).__call__
    whole = inspect.signature(called)
    return whole.replace(parameters=list(whole.parameters.values())[1:], return_annotation=inspect.Signature.empty)


def _training_argument(module: nn.Module, *, train: bool) -> dict[str, bool]:
    return {"train": train} if "train" in _signature_of(module).parameters else {}


def _call_module(model: _OwnModule, inputs: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
    """Calls the module inside of a model, and refuses outputs that do not fit the task."""
    network = model.make().clone(parent=model, name="network")
    outputs = network(*inputs, **_training_argument(network, train=train))
    shape = getattr(outputs, "shape", None)
    if shape != (expected := (len(inputs[0]), model.outputs)):
        sizes = [*map(str, shape)] if shape is not None else []
        if shape and shape[0] == expected[0]:
            sizes[0] = "B"
        found = f"({', '.join(sizes)}{',' * (len(sizes) == 1)})" if shape is not None else type(outputs).__name__
        raise InputError(
            f"{model.label()}: its outputs are {found}, those of the task (B, {model.outputs}); let its last layer "
            f"have {model.outputs}"
        )
    return jax.numpy.asarray(outputs)
