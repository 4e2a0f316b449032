"""What is kept of compiled programs, and what is said when a function is compiled again."""

from __future__ import annotations

import functools
import inspect
import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.runtime import compilation
from hepjax.runtime.compilation import cache_programs, watch_traces

PROGRAM = """
import collections, logging, resource, sys
log = logging.getLogger("hepjax")
log.setLevel(logging.INFO)
log.addHandler(logging.StreamHandler(sys.stdout))
import jax
from hepjax.runtime.compilation import cache_programs
events = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: events.update([event.rsplit("/")[-1]]))
folder = cache_programs()
{then}
value = jax.jit(lambda x: (x @ x).sum())(jax.numpy.full((8, 8), 2.0))
print(folder, float(value), events["cache_hits"], events["cache_misses"], sep="|")
"""
SMALL_FILES = "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
"""What is written fails beyond 100 bytes, as on a full disk."""


def start(home, first="", then="", **settings):
    """A process of its own, where every warning is an error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XDG_"))}
    settings = kept | {"XDG_CACHE_HOME": str(home)} | settings
    program = f"import resource\n{first}\n{PROGRAM.format(then=then)}"
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process):
    """Its folder, programs read and programs compiled; it must have computed the right number and warned of nothing."""
    out, error = process.communicate()
    assert (process.returncode, error) == (0, "")
    *said, result = out.splitlines()
    folder, value, hits, misses = result.split("|")
    assert float(value) == 2048
    return folder, int(hits), int(misses), said


def run(home, **settings):
    return end(start(home, **settings))


class TestCachePrograms:
    def test_the_next_run_reads_what_the_first_compiled(self, tmp_path):
        folder, hits, misses, said = run(tmp_path)
        assert folder.startswith(str(tmp_path / "hepjax" / "programs"))
        assert (hits, said) == (0, [])
        assert misses >= 2
        assert pathlib.Path(folder).stat().st_mode & 0o077 == 0
        assert run(tmp_path)[1:3] == (misses, 0)
        for entry in pathlib.Path(folder).iterdir():  # as a kill in the middle of a write leaves it
            os.truncate(entry, entry.stat().st_size // 2)
        assert run(tmp_path)[1] == 0

    def test_several_at_once(self, tmp_path):
        for process in [start(tmp_path) for _ in range(3)]:
            assert end(process)[0] != "None"

    def test_what_the_user_set_stays(self, tmp_path):
        folder, _, misses, _ = run(
            tmp_path,
            JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"),
            JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="100",
        )
        assert (folder, misses) == (str(tmp_path / "mine"), 0)
        assert run(tmp_path, JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="100")[2] == 0
        assert not (tmp_path / "none").exists()
        assert run(tmp_path / "none", JAX_ENABLE_COMPILATION_CACHE="false")[0] == "None"
        assert not (tmp_path / "none").exists()

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "hepjax").write_text("a file")
        folder, _, misses, said = run(tmp_path)
        assert (folder, misses) == ("None", 0)
        assert len(said) == 1
        assert str(tmp_path) in said[0]

    def test_a_full_disk(self, tmp_path):
        folder, _, _, said = run(tmp_path, first=SMALL_FILES)
        assert folder == "None"
        assert len(said) == 1
        assert run(tmp_path, then=SMALL_FILES)[3] == []  # it fills up later

    def test_settings_of_this_process_stay(self):
        before = dict(jax.config.values)
        assert cache_programs() == pathlib.Path(jax.config.jax_compilation_cache_dir)
        assert jax.config.values == before

    def test_the_oldest_make_room(self, tmp_path):
        for age in range(10):
            path = tmp_path / "machine" / f"{age}-cache"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(10))
            os.utime(path, (1000 - age, 1000 - age))
        compilation._trim_program_cache(tmp_path, 100)
        assert len(list(path.parent.iterdir())) == 10
        compilation._trim_program_cache(tmp_path, 99)
        assert sorted(path.name for path in path.parent.iterdir()) == [f"{age}-cache" for age in range(4)]

    def test_each_kind_of_cpu_has_its_folder(self, monkeypatch):
        def name(flags, mhz="2600"):
            text = f"processor : 0\nmodel name : A\ncpu MHz : {mhz}\nflags : {flags}\n\nprocessor : 1\nflags : other\n"
            monkeypatch.setattr(pathlib.Path, "read_text", lambda *_, **__: text)
            return compilation._machine_name()

        assert name("avx2") == name("avx2", mhz="3100")
        assert name("avx2") != name("avx2 avx512f")

    def test_without_a_list_of_cpus(self, monkeypatch):
        def none(*_, **__):
            raise FileNotFoundError

        monkeypatch.setattr(pathlib.Path, "read_text", none)
        assert compilation._machine_name()


class Window(NamedTuple):
    rows: jax.Array
    which: jax.Array


def total(state, window, scale=2.0, *rest, **named):
    return state["w"].sum() + window.rows.sum() * scale + sum(x.sum() for x in (*rest, *named.values()))


def state(size=3):
    return {"w": jnp.zeros(size)}


def window(steps=4):
    return Window(jnp.zeros((steps, 1, 128), jnp.int32), jnp.zeros(steps, jnp.int32))


@pytest.fixture
def warned(caplog):
    """The warnings so far."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


class TestWatchTraces:
    def test_names_what_changed(self, warned):
        watched = watch_traces(total, "train")
        compiled = jax.jit(watched)
        for steps in (5, 5, 4, 5):
            compiled(state(), window(steps))
        assert watched.traces() == 2
        rows, which = (
            "window.rows is int32[4,1,128] and was int32[5,1,128]",
            "window.which is int32[4] and was int32[5]",
        )
        assert warned() == [f"train was compiled again (2 times): {rows}; {which}"]
        compiled(state(7), window(5))
        assert warned()[1:] == ["train was compiled again (3 times): state['w'] is float32[7] and was float32[3]"]

    def test_compares_with_the_most_similar(self, warned):
        compiled = jax.jit(watch_traces(total, "train", shapes=2))
        compiled(state(), window(5))
        compiled(state(8), window(4))
        assert not warned()
        compiled(state(3), Window(window(5).rows, window(6).which))
        assert "(3 times): window.which is int32[6] and was int32[5]" in warned()[0]

    def test_dtype_default_rest_and_python_numbers(self, warned):
        compiled = jax.jit(watch_traces(total, "f"))
        compiled(state(), window())
        compiled(state(), window(), jnp.zeros(()))
        assert warned()[0].endswith("scale is float32[] and was 2.0")
        compiled(state(), window(), 1.0)
        assert "scale is float32[] of a Python number and was" in warned()[1]
        compiled(state(), window(), 1.0, jnp.zeros(2), more=np.zeros(3, np.int8))
        assert "rest[0] is float32[2] and was absent; named['more'] is int8[3] and was absent" in warned()[2]

    def test_static_values(self, warned):
        watched = watch_traces(lambda x, size: x[:size], "f")
        compiled = jax.jit(watched, static_argnames="size")
        for size in (2, 2, 3):
            compiled(jnp.zeros(4), size)
        assert warned() == ["f was compiled again (2 times): size is 3 and was 2"]

    def test_structure(self, warned):
        compiled = jax.jit(watch_traces(lambda x: jax.tree.leaves(x)[0] + 1, "f"))
        compiled((jnp.zeros(2),))
        compiled([jnp.zeros(2)])
        assert warned() == ["f was compiled again (2 times): x has another structure"]
        compiled({"a": jnp.zeros(2), "b": jnp.zeros(3)})
        assert "x['a'] is float32[2] and was absent; x['b'] is float32[3] and was absent; x[0] is absent" in warned()[1]

    def test_many_changes_and_long_values_are_cut_short(self, warned):
        compiled = jax.jit(watch_traces(lambda x, label: jax.tree.leaves(x)[0], "f"), static_argnames="label")
        compiled([jnp.zeros(2)] * 9, label="a" * 200)
        compiled([jnp.zeros(3)] * 9, label="b" * 200)
        assert "x[2] is float32[3] and was float32[2]; and 7 more" in warned()[0]
        compiled([jnp.zeros(3)] * 9, label="c" * 200)
        assert "…" in warned()[1]
        assert len(warned()[1]) < 200

    def test_wrapped_again(self, warned):
        watched = watch_traces(lambda x: x + 1, "f")
        for _ in range(2):
            jax.jit(lambda x: watched(x) + 1)(jnp.zeros(2))
        assert len(warned()) == 1
        assert "f was compiled again (2 times): its arguments look as before" in warned()[0]

    def test_signature_and_name_stay(self):
        watched = watch_traces(total, "f")
        assert inspect.signature(watched) == inspect.signature(total)
        assert watched.__name__ == "total"
        assert jax.jit(watched, static_argnames="scale")(state(), window(), scale=3.0) == 0
        assert jax.jit(watch_traces(functools.partial(total, scale=1.0), "g"))(state(), window()) == 0

    def test_donation(self):
        compiled = jax.jit(watch_traces(lambda x: x + 1, "f"), donate_argnums=0)
        x = jnp.zeros(3)
        compiled(x)
        assert x.is_deleted()

    @pytest.mark.parametrize(
        "lift",
        [
            lambda f: jax.jit(jax.vmap(f)),
            lambda f: jax.vmap(jax.jit(f)),
            lambda f: jax.vmap(jax.jit(jax.grad(f))),
            lambda f: jax.vmap(jax.grad(jax.jit(f))),
            lambda f: jax.jit(lambda x: jax.lax.map(f, x)),
            lambda f: jax.jit(lambda x: jax.lax.scan(lambda carry, row: (carry, f(row)), 0, x)[1]),
            jax.pmap,
        ],
        ids=["jit-vmap", "vmap-jit", "vmap-jit-grad", "vmap-grad-jit", "map", "scan", "pmap"],
    )
    def test_one_trace_in_every_lift(self, lift, warned):
        def f(x):
            return jnp.sin(x).sum()

        x = jnp.arange(12.0).reshape(4, 3)
        watched = watch_traces(f, "f")
        lifted = lift(watched)
        for _ in range(3):
            np.testing.assert_allclose(lifted(x), lift(f)(x), rtol=1e-6)
        assert (watched.traces(), warned()) == (1, [])
        lifted(x[:, :2])
        assert (watched.traces(), len(warned())) == (2, 1)
        assert "x is float32[2] and was float32[3]" in warned()[0]

    def test_keeps_no_tracer(self):
        compiled = jax.jit(watch_traces(lambda x: x * 2, "f"))
        with jax.checking_leaks():
            compiled(jnp.zeros(2))
            compiled(jnp.zeros(3))
