"""Compiled programs: kept on disk from one run to the next, and watched for being compiled again."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import platform
import sys
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import jax

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = ParamSpec("P")
R = TypeVar("R")

_LARGEST = 2**28
"""Bytes of programs that are kept, some hundred times what a model needs; the oldest make room."""
_ROOM = 2**20
"""Bytes that must fit on the disk still."""
_KEEP_ALL = {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_persistent_cache_min_entry_size_bytes": -1}
"""A run compiles 20 to 60 small programs beside its large ones: to read them takes half a second less."""
_SHOWN = 3
"""Changes that a warning names."""
_WORD = 60
"""The most letters of a value in a warning."""

log = logging.getLogger("hepjax")


def cache_programs() -> Path | None:
    """Keeps compiled programs on disk, so that the next run starts without compiling them again.

    To be called before anything is compiled. What the user has set stays: a folder in JAX_COMPILATION_CACHE_DIR, or
    JAX_ENABLE_COMPILATION_CACHE=false, which keeps nothing. JAX writes from the first process of a run only. A program
    that another process is just writing, or left half written, fails its checksum and is compiled.

    Returns:
      The folder; None where nothing is kept, as on a full disk.
    """
    config: Any = jax.config  # knows its names at run time only
    if not config.jax_enable_compilation_cache:
        return None
    if (chosen := config.jax_compilation_cache_dir) is not None:
        return Path(chosen)
    try:
        programs = _program_cache_folder() / "programs"
        folder = programs / _machine_name()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # who may write here may run code in our name
        _trim_program_cache(programs, _LARGEST)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_ROOM))
    except (OSError, RuntimeError) as error:
        log.info("compiled programs are not kept: %s", error)
        return None
    config.update("jax_compilation_cache_dir", str(folder))
    for name, value in _KEEP_ALL.items():
        if name.upper() not in os.environ:
            config.update(name, value)
    # JAX then compiles, as it would have done without the folder.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache", UserWarning)
    return folder


def _program_cache_folder() -> Path:
    """Finds the user's cache folder, where `fetch` keeps its files too."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "hepjax"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "hepjax"


def _machine_name() -> str:
    """Names this kind of CPU: its programs may hold instructions that another, with the same home, has not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        lines = [platform.processor()]
    lasting = ("model name", "flags", "CPU ", "Features")  # others, such as MHz, change all the time
    kind = "\n".join(line for line in lines if line.startswith(lasting) or len(lines) == 1)
    return f"{platform.machine()}-{zlib.crc32(kind.encode()):08x}"


def _trim_program_cache(folder: Path, largest: int) -> None:
    """Removes the oldest programs until half of what is allowed is left; another process may do the same."""
    files = []
    for path in folder.rglob("*-cache"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        files.append((status.st_mtime, status.st_size, path))
    size = sum(size for _, size, _ in files)
    if size > largest:
        for _, bytes_of_it, path in sorted(files):
            if size <= largest / 2:
                return
            path.unlink(missing_ok=True)
            size -= bytes_of_it


class _Trace(NamedTuple):
    """The arguments that a function was traced with."""

    leaves: dict[str, str]
    """Name and path of each value → its dtype and shape, or the value where it is static."""
    trees: dict[str, Any]
    """Argument → the structure of its pytree."""


def watch_traces(f: Callable[P, R], name: str, shapes: int = 1) -> Callable[P, R]:
    """Warns when a function that is compiled for few shapes is compiled for more, and says what changed.

    Wrap what is given to `jax.jit` or `jax.pmap`, not what they return. A function that is traced inside another, as
    by `jax.eval_shape`, is counted there too; a change of sharding alone compiles without a trace, and is not seen.

    Args:
      f: a pure function.
      name: for the warning.
      shapes: how many traces are expected.

    Returns:
      The function, with an attribute `traces`: a function that returns their number so far.

    >>> import jax.numpy as jnp
    >>> double = watch_traces(lambda x: 2 * x, "double", shapes=2)
    >>> compiled = jax.jit(double)
    >>> for length in (3, 4, 3):
    ...     _ = compiled(jnp.zeros(length))
    >>> double.traces()
    2
    """
    signature = inspect.signature(f)
    seen: list[_Trace] = []

    @functools.wraps(f)
    def watched(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        now = _describe_traced_arguments(bound.arguments)
        if len(seen) >= shapes:
            changes = min((_trace_changes(now, before) for before in reversed(seen)), key=len)
            log.warning("%s was compiled again (%d times): %s", name, len(seen) + 1, _first_few_changes(changes))
        seen.append(now)
        return f(*args, **kwargs)

    watched.traces = lambda: len(seen)  # type: ignore[attr-defined]
    return watched


def _describe_traced_arguments(arguments: Mapping[str, Any]) -> _Trace:
    leaves, trees = {}, {}
    for name, value in arguments.items():
        flat, trees[name] = jax.tree_util.tree_flatten_with_path(value)
        leaves.update({name + jax.tree_util.keystr(path): _describe_traced_leaf(leaf) for path, leaf in flat})
    return _Trace(leaves, trees)


def _describe_traced_leaf(leaf: Any) -> str:
    if not hasattr(leaf, "dtype"):
        return repr(leaf)
    weak = " of a Python number" if getattr(leaf, "weak_type", False) else ""
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]{weak}"


def _trace_changes(now: _Trace, before: _Trace) -> list[str]:
    changes = []
    for path in dict.fromkeys((*now.leaves, *before.leaves)):
        new, old = (trace.leaves.get(path, "absent") for trace in (now, before))
        if new != old:
            changes.append(f"{path} is {_short_trace_text(new)} and was {_short_trace_text(old)}")
    same = [name for name, tree in now.trees.items() if tree == before.trees.get(name)]
    return changes or [f"{name} has another structure" for name in now.trees if name not in same]


def _first_few_changes(changes: list[str]) -> str:
    if not changes:
        return "its arguments look as before; was it wrapped again, or a setting of JAX changed?"
    more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    return "; ".join([*changes[:_SHOWN], *more])


def _short_trace_text(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WORD else text[: _WORD - 1] + "…"
