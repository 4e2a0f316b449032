"""Files of PyTorch and JEDI-net's parameters: what is read, and what is refused without being run."""

from __future__ import annotations

import contextlib
import copyreg
import io
import itertools
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepjax import InputError
from hepjax.choices import Activation, Readout
from hepjax.models import pretrained
from hepjax.types import Sequences

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "jedinet"
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
STORAGES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "u1": "Byte", "b1": "Bool"}
FORMATS = ["legacy", "zip"]


class Tensor(NamedTuple):
    """A view of the flat array `storage`, counted in elements."""

    storage: np.ndarray
    offset: int
    shape: tuple
    strides: tuple
    parameter: bool = False

    @classmethod
    def of(cls, array, **fields):
        array = np.array(array, order="C")
        return cls(array.reshape(-1), 0, array.shape, tuple(s // array.itemsize for s in array.strides), **fields)


def fake(module, name):
    """A class that pickles as a global of PyTorch."""
    made = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, made)
    return made


class StatePickler(pickle.Pickler):
    """Pickles `Tensor` as PyTorch pickles tensors."""

    def __init__(self, file, legacy, protocol=2):
        super().__init__(file, protocol)
        self.storages, self.legacy = {}, legacy

    def persistent_id(self, thing):
        if not isinstance(thing, np.ndarray):
            return None
        key = self.storages.setdefault(id(thing), (str(len(self.storages)), thing))[0]
        kind = fake("torch", STORAGES[thing.dtype.str[1:]] + "Storage")
        return ("storage", kind, key, "cpu", thing.size, *([None] if self.legacy else []))

    def reducer_override(self, thing):
        if not isinstance(thing, Tensor):
            return NotImplemented
        arguments = (thing.storage, thing.offset, thing.shape, thing.strides, False, {})
        if thing.parameter:
            return fake("torch._utils", "_rebuild_parameter"), (thing._replace(parameter=False), True, {})
        return fake("torch._utils", "_rebuild_tensor_v2"), arguments


def legacy_file(pickled, storages=(), keys=None, system=SYSTEM):
    parts = [*(pickle.dumps(part, 2) for part in (MAGIC, PROTOCOL, system)), pickled]
    parts.append(pickle.dumps([key for key, _ in storages] if keys is None else keys, 2))
    for _, array in storages:
        parts += [array.size.to_bytes(8, "little"), array.tobytes()]
    return b"".join(parts)


def zip_file(pickled, storages=(), byteorder=b"little", compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("model/data.pkl", pickled)
        archive.writestr("model/byteorder", byteorder)
        for key, array in storages:
            archive.writestr(f"model/data/{key}", array.tobytes())
        archive.writestr("model/version", b"3\n")
    return file.getvalue()


def saved(thing, form, protocol=2):
    """What `torch.save` would write."""
    pickled = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("torch", "torch._utils"):
            patch.setitem(sys.modules, module, types.ModuleType(module))
        pickler = StatePickler(pickled, form == "legacy", protocol)
        pickler.dump(thing)
    write = legacy_file if form == "legacy" else zip_file
    return write(pickled.getvalue(), list(pickler.storages.values()))


@pytest.fixture
def read(tmp_path):
    def read_bytes(data):
        (tmp_path / "model.params").write_bytes(data)
        return pretrained.read_pytorch(tmp_path / "model.params")

    return read_bytes


def small_state(rng=None):
    rng = rng or np.random.default_rng(0)
    return {"fr1.weight": rng.normal(size=(3, 2)).astype(np.float32), "fr1.bias": rng.normal(size=3)}


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize("form", FORMATS)
class TestReadPytorch:
    @pytest.mark.parametrize("protocol", [2, 4])
    def test_every_type(self, form, protocol, read):
        arrays = {kind: np.arange(6).reshape(2, 3).astype(kind) for kind in STORAGES}
        arrays |= {"scalar": np.array(3.5), "empty": np.zeros((0, 4), np.float32)}
        assert_same(read(saved({k: Tensor.of(a) for k, a in arrays.items()}, form, protocol)), arrays)

    def test_views_of_one_storage(self, form, read):
        base = np.arange(24, dtype=np.float32)
        views = {
            "transposed": Tensor(base, 0, (4, 3, 2), (1, 4, 12)),
            "shifted": Tensor(base, 16, (2, 4), (4, 1)),
            "every other": Tensor(base, 1, (11,), (2,), parameter=True),
        }
        cube = base.reshape(2, 3, 4)
        expected = {"transposed": cube.transpose(2, 1, 0), "shifted": cube[1, 1:], "every other": base[1:23:2]}
        assert_same(read(saved(views, form)), expected)

    def test_metadata_is_passed_over(self, form, read):
        arrays = small_state()
        state = OrderedDict((name, Tensor.of(array)) for name, array in arrays.items())
        state._metadata = OrderedDict({"": {"version": 1}})
        assert_same(read(saved(state, form)), arrays)

    def test_a_state_dict_in_a_checkpoint(self, form, read):
        arrays = small_state()
        state = {name: Tensor.of(array, parameter=True) for name, array in arrays.items()}
        moments = {0: {"exp_avg": Tensor.of(np.ones(3))}}
        checkpoint = {"epoch": 3, "loss": 0.5, "note": "x", "model": state, "optimizer": {"state": moments}}
        assert_same(read(saved(checkpoint, form)), arrays)

    @pytest.mark.parametrize(
        "thing",
        [[1, 2], {}, {"a": 1}, {"a": {"w": Tensor.of(np.ones(2))}, "b": {"w": Tensor.of(np.ones(2))}}, {0: "x"}],
        ids=str,
    )
    def test_no_state_dict(self, form, thing, read):
        with pytest.raises(InputError, match=r"model\.params: expected one state dict"):
            read(saved(thing, form))

    @pytest.mark.parametrize(
        "tensor",
        [
            Tensor(np.ones(4), 0, (5,), (1,)),
            Tensor(np.ones(4), 1, (2, 2), (2, 1)),
            Tensor(np.ones(4), 3, (2,), (-1,)),
            Tensor(np.ones(4), 0, (10**9, 10**9), (0, 0)),
            Tensor(np.ones(4), 0, (2, 2), (1,)),
            Tensor(np.ones(4), 0, (1,) * 40, (1,) * 40),
            Tensor(np.ones(4), 0, (2**2000,) * 30, (1,) * 30),
            Tensor(np.ones(4), -1, (1,), (1,)),
            Tensor(np.ones(4), 2**70, (1,), (1,)),
            Tensor(np.ones(4), 0, ("4",), (1,)),
        ],
        ids=lambda tensor: str(tensor[1:4])[:30],
    )
    def test_a_view_that_leaves_its_storage(self, form, tensor, read):
        with pytest.raises(InputError):
            read(saved({"w": tensor}, form))

    def test_a_storage_that_is_too_short(self, form, read):
        whole = saved({"w": Tensor.of(np.ones(4))}, form)
        good = np.ones(4).tobytes()
        at = whole.index(good)
        with pytest.raises(InputError):
            read(whole[:at] + good[:-8] + whole[at + len(good) :])

    def test_every_truncation(self, form, read):
        whole = saved({name: Tensor.of(array) for name, array in small_state().items()}, form)
        for length in range(0, len(whole) - 1, 3):
            with pytest.raises(InputError):
                read(whole[:length])

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(changes=st.dictionaries(st.integers(0, 10**6), st.integers(0, 255), min_size=1, max_size=4))
    def test_changed_bytes(self, form, changes, read):
        data = bytearray(saved({name: Tensor.of(array) for name, array in small_state().items()}, form))
        for position, byte in changes.items():
            data[position % len(data)] = byte
        with contextlib.suppress(InputError):
            read(bytes(data))

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(codes=st.lists(st.sampled_from(b"(.)]}~lt\x85\x86\x87NQRabeus\x88\x89\x93\x940K\x00\x8c\x01"), max_size=30))
    def test_any_opcodes(self, form, codes, read):
        write = legacy_file if form == "legacy" else zip_file
        with contextlib.suppress(InputError):
            read(write(bytes(codes) + b"."))


def text(word):
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


def attacks(marker):
    """Pickles that would create the file `marker`, or call something else, if they were run."""
    command = text(f"touch {marker}")
    line = f"touch {marker}\n".encode()
    return {
        "REDUCE": b"\x80\x02cposix\nsystem\n" + command + b"\x85R.",
        "REDUCE in a dict": b"\x80\x02}" + text("w") + b"cposix\nsystem\n" + command + b"\x85Rs.",
        "REDUCE, then the result thrown away": b"\x80\x02cposix\nsystem\n" + command + b"\x85R0}.",
        "eval": b"\x80\x02cbuiltins\neval\n" + text(f"__import__('pathlib').Path({str(marker)!r}).touch()") + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + text("posix") + text("system") + b"\x93" + command + b"\x85R.",
        "INST": b"(V" + line + b"iposix\nsystem\n.",
        "OBJ": b"(cposix\nsystem\n" + command + b"o.",
        "EXT1": b"\x80\x02\x82\xf0" + command + b"\x85R.",
        "BUILD": b"\x80\x02cpathlib\nPath\n" + text(str(marker)) + b"\x85R}" + text("touch") + b"\x88sb.",
        "NEWOBJ": b"\x80\x02csubprocess\nPopen\n" + command + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04csubprocess\nPopen\n" + command + b"\x85}\x92.",
        "getattr": b"\x80\x02cbuiltins\ngetattr\ncposix\nsystem\n" + text("__call__") + b"\x86R" + command + b"\x85R.",
        "persistent id": b"\x80\x02(" + text("storage") + b"cposix\nsystem\n" + command + text("cpu") + b"K\x01tQ.",
        "tensor of a global": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(cposix\nsystem\nK\x00))tR.",
        "OrderedDict with arguments": b"\x80\x02ccollections\nOrderedDict\n]\x85R.",
        "dunder of an allowed name": b"\x80\x04" + text("collections") + text("OrderedDict.__init__") + b"\x93.",
    }


RUNNING = {"REDUCE", "REDUCE in a dict", "eval", "STACK_GLOBAL", "INST", "OBJ", "EXT1", "getattr"}


@pytest.mark.parametrize("write", [legacy_file, zip_file])
@pytest.mark.parametrize("attack", attacks(""))
def test_nothing_is_run(attack, write, tmp_path, read):
    marker = tmp_path / "marker"
    data = attacks(marker)[attack]
    copyreg.add_extension("posix", "system", 0xF0)
    try:
        with pytest.raises(InputError, match=r"model\.params: no plain state dict"):
            read(write(data))
        assert not marker.exists()
        if attack in RUNNING:  # the test can fail: Python's own unpickler does run it
            pickle.loads(data)  # noqa: S301
            assert marker.exists()
    finally:
        copyreg.remove_extension("posix", "system", 0xF0)


class TestOtherFiles:
    def test_big_endian(self, read):
        for data in (legacy_file(b"}.", system={"little_endian": False}), zip_file(b"}.", byteorder=b"big")):
            with pytest.raises(InputError, match="big-endian"):
                read(data)

    def test_the_refused_name_is_told(self, read):
        with pytest.raises(InputError, match=r"names 'numpy\.core\.multiarray\.scalar'"):
            read(legacy_file(b"cnumpy.core.multiarray\nscalar\n."))

    def test_a_compressed_archive(self, read):
        with pytest.raises(InputError, match="zip archive"):
            read(zip_file(b"}." + bytes(10**6), compression=zipfile.ZIP_DEFLATED))

    def test_too_many_opcodes(self, read):
        with pytest.raises(InputError, match="1000000 opcodes"):
            read(legacy_file(b"N" * 1_000_000 + b"."))

    @pytest.mark.parametrize("data", [b"", b"PK", b"\x80\x02K\x01.", b"hello", pickle.dumps({"a": 1}), b"\x80\x02].."])
    def test_other_files(self, data, read):
        with pytest.raises(InputError, match=r"model\.params: .*torch\.save"):
            read(data)

    def test_a_folder(self, tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            pretrained.read_pytorch(tmp_path)


NUMPY = {
    Activation.RELU: lambda x: np.maximum(x, 0),
    Activation.ELU: lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    Activation.SELU: lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
}


def random_jedinet(rng, slots, summed, hidden=8, d_e=4, d_o=3, features=16):
    sizes = {
        "fr": (2 * features, hidden, hidden // 2, d_e),
        "fo": (features + d_e, hidden, hidden // 2, d_o),
        "fc": (d_o if summed else d_o * slots, hidden, hidden // 2, 5),
    }
    arrays = {}
    for name, widths in sizes.items():
        for i, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
            arrays[f"{name}{i}.weight"] = rng.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
            arrays[f"{name}{i}.bias"] = rng.normal(0, 0.3, outputs).astype(np.float32)
    return arrays


def edge_by_edge(arrays, particles, activations):
    """One jet's logits, as the authors' code has it, in float64: (P, F) → (5,)."""

    def run(name, x, activate, last=True):
        for i in (1, 2, 3):
            x = arrays[f"{name}{i}.weight"].astype(np.float64) @ x + arrays[f"{name}{i}.bias"]
            x = activate(x) if i < 3 or last else x
        return x

    f_r, f_o, f_c = (NUMPY[activation] for activation in activations)
    particles = particles.astype(np.float64)
    outputs = []
    for i, receiver in enumerate(particles):
        messages = [run("fr", np.concatenate([receiver, sender]), f_r) for j, sender in enumerate(particles) if j != i]
        outputs.append(run("fo", np.concatenate([receiver, np.sum(messages, axis=0)]), f_o))
    summed = arrays["fc1.weight"].shape[1] == len(outputs[0])
    return run("fc", np.sum(outputs, axis=0) if summed else np.concatenate(outputs), f_c, last=False)


def logits(model, params, values):
    inputs = Sequences(values, values[..., 3] > 0)
    return np.asarray(jax.jit(model.apply)({"params": params}, inputs))


THREE = (Activation.RELU, Activation.ELU, Activation.SELU)


class TestJedinet:
    @pytest.mark.parametrize("slots", [5, 50, 100])
    @pytest.mark.parametrize("summed", [True, False])
    @pytest.mark.parametrize("activations", [THREE, THREE[::-1]], ids=["r-e-s", "s-e-r"])
    def test_edge_by_edge(self, rng, tmp_path, slots, summed, activations):
        arrays = random_jedinet(rng, slots, summed)
        values = rng.normal(0, 0.5, (2 if slots == 5 else 1, slots, 16)).astype(np.float32)
        values[:, slots * 2 // 3 :] = 0
        (tmp_path / "IN.params").write_bytes(saved({k: Tensor.of(a) for k, a in arrays.items()}, "legacy"))
        model, params = pretrained.jedinet(tmp_path / "IN.params", activations)
        assert model.readout is (Readout.SUM if summed else Readout.FLATTEN)
        expected = [edge_by_edge(arrays, jet, activations) for jet in values]
        np.testing.assert_allclose(logits(model, params, values), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        "slots, summed, sizes, activations",
        [
            (150, True, (50, 14, 12), (Activation.SELU,) * 3),
            (50, True, (50, 12, 14), (Activation.RELU, Activation.RELU, Activation.SELU)),
            (50, False, (50, 12, 14), (Activation.ELU, Activation.SELU, Activation.ELU)),
            (100, False, (30, 10, 10), (Activation.ELU,) * 3),
            (150, False, (50, 14, 6), (Activation.SELU, Activation.SELU, Activation.RELU)),
        ],
    )
    def test_the_published_sizes_tell_the_activations(self, rng, slots, summed, sizes, activations):
        arrays = random_jedinet(rng, slots, summed, *sizes)
        assert pretrained.from_arrays(arrays)[0].activation == activations

    def test_other_sizes_do_not(self, rng):
        with pytest.raises(InputError, match="give activations"):
            pretrained.from_arrays(random_jedinet(rng, 30, summed=True))

    @pytest.mark.parametrize(
        "name, array, words",
        [
            ("fr2.bias", None, "fr2.bias"),
            ("conv1.weight", np.ones((2, 2), np.float32), "conv1.weight"),
            ("fr2.bias", np.ones(9, np.float32), "fr2: weight"),
            ("fr3.weight", np.ones((4, 4, 1), np.float32), "fr3: weight"),
            ("fr1.weight", np.ones(8, np.float32), "fr1: weight"),
            ("fr1.weight", np.ones((8, 30), np.float32), "the inputs of fr1"),
            ("fc1.weight", np.ones((8, 16), np.float32), "the inputs of fr1"),
            ("fo3.bias", np.full(3, np.nan, np.float32), "fo3: expected finite"),
            ("fo3.bias", np.array(1.0, np.float32), "fo3: weight"),
            ("fc3.weight", np.ones((5, 4), np.int64), "fc3: expected finite"),
        ],
    )
    def test_arrays_that_are_no_jedinet(self, rng, name, array, words):
        arrays = random_jedinet(rng, 5, summed=True) | {name: array}
        arrays = {key: value for key, value in arrays.items() if value is not None}
        with pytest.raises(InputError, match=words):
            pretrained.from_arrays(arrays, THREE)

    @pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published parameters are not here")
    def test_the_published_parameters(self, tmp_path):
        golden = np.load(REFERENCE / "IN_150_withSumO_golden.npz")
        arrays = dict(np.load(REFERENCE / "IN_150_withSumO.npz"))
        (tmp_path / "IN.params").write_bytes(saved({k: Tensor.of(a) for k, a in arrays.items()}, "legacy"))
        for model, params in (pretrained.jedinet(tmp_path / "IN.params"), pretrained.from_arrays(arrays)):
            np.testing.assert_allclose(logits(model, params, golden["inputs"]), golden["logits"], rtol=1e-4)
            trimmed = golden["inputs"][:, : (golden["inputs"][..., 3] > 0).sum(1).max() + 1]
            np.testing.assert_allclose(logits(model, params, trimmed), golden["logits"], rtol=1e-4)
