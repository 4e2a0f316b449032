"""Words of the command line → a command; only the model and task that are named are imported."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union, get_type_hints

import tyro

from hepjax.choices import Recipe
from hepjax.cli.habits import check_habits
from hepjax.cli.options import Command, JetPath
from hepjax.errors import InputError
from hepjax.models.fields import attribute_docs, options_in, options_of
from hepjax.models.registry import MODELS
from hepjax.registry import import_plugin
from hepjax.runs import run_folder
from hepjax.runs.options import DEFAULT_MODEL, Experiment
from hepjax.runs.recipes import recipe_options
from hepjax.tasks.registry import DEFAULT, TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepjax.models.fields import Option
    from hepjax.registry import Registry

_CONFIG = (
    tyro.conf.CascadeSubcommandArgs,
    tyro.conf.OmitSubcommandPrefixes,
    tyro.conf.EnumChoicesFromValues,
    tyro.conf.HelptextFromCommentsOff,
)
_HELP = ("--help", "-h")
_JETS = ("data", "val", "test")
"""The fields of `Experiment` that are files of jets."""
_RECIPE_HELP = (
    "Take the published choices of optimizer, schedule, batch size and epochs for a network as the defaults of these "
    "options."
)
_OPTIONS = {"start_from": "from"}
"""Fields of `Experiment` whose options have another name, for theirs is a word of Python."""


class Choice(NamedTuple):
    """A field of `Experiment` that holds a registered dataclass, which an option names (`--task regression`).

    The options of that dataclass stand beside those of `Experiment`, without a prefix. Its file must not import jax.
    """

    field: str
    """Of `Experiment`; also the option that names the class."""
    registry: Registry[Any]
    default: str
    """Name of the class that is taken where none is named."""


CHOICES: tuple[Choice, ...] = (Choice("task", TASKS, DEFAULT),)


def parse(words: Sequence[str]) -> Any:
    """Returns the command of some words; exits with help or the message of a wrong command line.

    Args:
      words: the arguments of `hepjax`.

    Raises:
      InputError: a model or a plug-in is not usable, or `--resume` or `--from` finds no run.

    >>> parse(["train", "mlp", "--hidden", "8", "4"]).model.hidden
    (8, 4)
    """
    rest, plugins = split_plugin_words(words)
    for path in plugins:
        import_plugin(path)
    if next((word for word in rest if not word.startswith("-")), None) != "train":
        return _parse_with_tyro(_Train, rest)
    recipe = _option_value("--recipe", rest)
    outline, command, unknown = _train_options_and_rest(rest, recipe)
    saved = run_folder.resumable_experiment(command.out) if command.resume else None
    known = saved
    if saved is None and command.start_from is not None:
        known = run_folder.read_experiment(command.start_from)[0]
    if known is not None and known.plugins:  # they may register the name
        outline, command, unknown = _train_options_and_rest(rest, recipe)
    if saved is not None and recipe:
        raise InputError("--recipe: a run goes on with the options that it was begun with; leave it out")
    if unknown and not unknown[0].startswith("-"):
        MODELS.get(unknown[0])  # says what may have been meant
    name = command.model.registered if command.model.registered in rest else None
    if name is None and any(word in _HELP for word in rest):
        return _parse_with_tyro(outline, rest)
    if any(word.startswith("-") for word in unknown):  # the model's options, or nobody's
        check_habits(unknown, {option.name for option in options_in(MODELS.get(command.model.registered))})
    choices = {"model": _model_options_type(name, known)} | _choice_types(rest, saved)
    defaults = recipe_options(recipe) if saved is None else vars(saved)
    experiment = _experiment_of_options(_parse_with_tyro(_train_options_type(choices, defaults), rest))
    used = () if known is None else known.plugins
    return dataclasses.replace(experiment, plugins=tuple(dict.fromkeys((*used, *experiment.plugins, *plugins))))


def _train_options_and_rest(words: Sequence[str], recipe: str | None) -> tuple[type, Any, list[str]]:
    """The options of `hepjax train` but for those of models, and the words divided into what they say and others."""
    outline = _train_options_type({"model": _model_name_type()} | _choice_types(words, None), recipe_options(recipe))
    return outline, *_parse_with_tyro(outline, [word for word in words if word not in _HELP], return_unknown_args=True)


def split_plugin_words(words: Sequence[str]) -> tuple[list[str], tuple[Path, ...]]:
    """Divides words into those of the command and the files of `--plugins`, which may stand anywhere.

    Args:
      words: the arguments of `hepjax`.

    Returns:
      The other words, and whole paths; after `--plugins` comes one file, and further ones that end in `.py`.

    Raises:
      InputError: no file comes after `--plugins`.

    >>> split_plugin_words(["--plugins", "/a.py", "/b.py", "train", "toy"])
    (['train', 'toy'], (PosixPath('/a.py'), PosixPath('/b.py')))
    """
    rest: list[str] = []
    files: list[str] = []
    state = "other"
    for word in words:
        option, _, value = word.partition("=")
        if option == "--plugins" and value:
            files.append(value)
            state = "more"
        elif word == "--plugins":
            state = "first"
        elif state == "first" or (state == "more" and word.endswith(".py")):
            if word.startswith("-"):
                break
            files.append(word)
            state = "more"
        else:
            rest.append(word)
            state = "other"
    if state == "first":
        raise InputError("--plugins: expected a Python file that registers models, such as --plugins my_model.py")
    return rest, tuple(Path(file).expanduser().resolve() for file in files)


@dataclasses.dataclass(frozen=True)
class _Train:
    """Stands for `hepjax train` where another command is asked for."""


def _parse_with_tyro(train: type, words: Sequence[str], **options: Any) -> Any:
    if os.environ.get("NO_COLOR"):
        tyro._experimental_options["ansi_codes"] = False  # tyro does not look for itself
    named = tyro.conf.subcommand("train", description=inspect.getdoc(Experiment))
    return tyro.cli(
        Annotated[train, named] | Command,
        prog="hepjax",
        description="Deep learning on particle jets. `hepjax COMMAND --help` tells more; --debug shows tracebacks; "
        "--plugins FILE.py adds models of your own to every command.",
        args=words,
        config=_CONFIG,
        **options,
    )


def _train_options_type(choices: dict[str, tuple[Any, Any]], defaults: Mapping[str, Any]) -> type:
    """The options of `hepjax train` as a dataclass.

    Args:
      choices: field → type and default, where they are not those of `Experiment`.
      defaults: field → default, where it is not that of `Experiment`: of a recipe, or the run to go on with.
    """
    docs, hints = attribute_docs(Experiment), get_type_hints(Experiment, include_extras=True)
    fields: list[Any] = []
    for field in dataclasses.fields(Experiment):
        default = defaults.get(field.name, field.default)
        plain: Any = tuple[JetPath, ...] if field.name in _JETS else hints[field.name]
        hint = Annotated[plain, tyro.conf.arg(help=docs.get(field.name), name=_OPTIONS.get(field.name))]
        fields.append((field.name, *choices.get(field.name, (hint, default))))
    for choice in CHOICES:
        lines = "; ".join(f"{name}: {choice.registry.summary(name)}" for name in choice.registry.names())
        named = tyro.conf.arg(name=choice.field, help=f"{docs.get(choice.field, '')} {lines}")
        fields.append((f"{choice.field}_name", Annotated[str, named], choice.default))
    fields.append(("recipe", Annotated[Recipe | None, tyro.conf.arg(help=_RECIPE_HELP)], None))
    made = [(name, hint, dataclasses.field(default=default)) for name, hint, default in fields]
    return dataclasses.make_dataclass("Train", made, frozen=True, kw_only=True)


def _choice_types(words: Sequence[str], saved: Experiment | None) -> dict[str, tuple[Any, Any]]:
    """The type and the default of the fields that `CHOICES` names."""
    found: dict[str, tuple[Any, Any]] = {}
    for choice in CHOICES:
        default = None if saved is None else getattr(saved, choice.field)
        name = _option_value(f"--{choice.field}", words)
        kind = type(default) if default is not None and name is None else choice.registry.get(name or choice.default)
        if not isinstance(default, kind):
            default = kind()
        found[choice.field] = Annotated[kind, tyro.conf.arg(name="")], default
    return found


def _model_name_type() -> tuple[Any, Any]:
    """The type of the names of all models, without their options, and the default; nothing is imported."""
    kinds = {name: _named_option_type(name, MODELS.summary(name), []) for name in MODELS.names()}
    return _union_of_types(kinds), kinds[DEFAULT_MODEL]()


def _model_options_type(name: str | None, saved: Experiment | None) -> tuple[Any, Any]:
    """The type of a model's options beside the names of the others, and the default, which an earlier run may give."""
    kinds = {other: _named_option_type(other, "", []) for other in MODELS.names()}
    default = name or DEFAULT_MODEL if saved is None else MODELS.name_of(saved.model)
    for chosen in {default, name or default}:
        kind = MODELS.get(chosen)
        fields = [
            (
                option.name,
                Annotated[option.type, _option_argument(option)],
                dataclasses.field(default=option.default),
            )
            for option in options_in(kind)
        ]
        kinds[chosen] = _named_option_type(chosen, inspect.getdoc(kind) or "", fields)
    values = {} if saved is None else options_of(saved.model)
    return _union_of_types(kinds), kinds[default](**values)


def _named_option_type(name: str, words: str, fields: list[Any]) -> type:
    namespace = {"__doc__": words, "registered": name}
    return dataclasses.make_dataclass(name, fields, frozen=True, kw_only=True, namespace=namespace)


def _union_of_types(kinds: dict[str, type]) -> Any:
    return Union[  # noqa: UP007 — of a computed number
        tuple(Annotated[kind, tyro.conf.subcommand(name, description=kind.__doc__)] for name, kind in kinds.items())
    ]


def _option_argument(option: Option) -> Any:
    """The help of an option, with its bounds; an empty default has words of its own there."""
    bounds = ", ".join(bound.expected for bound in option.bounds)
    words = f"{option.help} Expected: {bounds}." if bounds else option.help
    return tyro.conf.arg(help=words, help_behavior_hint="" if option.default == () else None)


def _option_value(option: str, words: Sequence[str]) -> str | None:
    for word, after in itertools.pairwise((*words, "")):
        if word == option and after:
            return after
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _experiment_of_options(command: Any) -> Experiment:
    values = {field.name: getattr(command, field.name) for field in dataclasses.fields(Experiment)}
    kind = MODELS.get(command.model.registered)
    options = {field.name: getattr(command.model, field.name) for field in dataclasses.fields(command.model)}
    return Experiment(**values | {"model": kind(**options)})
