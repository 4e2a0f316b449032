"""Files of weights for weaver-core: read back by our reader, and loaded strictly where PyTorch is installed."""

from __future__ import annotations

import io
import zipfile

import jax
import numpy as np
import pytest

from hepjax.models import pretrained
from hepjax.models.pretrained import particle_net, particle_transformer, pytorch_writing
from hepjax.models.pretrained.state_dicts import fold_scaling
from hepjax.types import Scaling

from .test_weaver import READERS, arrays_of, golden, inputs_of, state_dict

__all__ = ["golden"]
SHIFT, WIDTH = np.linspace(-3, 5, 7, dtype=np.float32), np.geomspace(0.01, 300, 7).astype(np.float32)


def network_of(golden, name):
    model, params, state = READERS[name].from_arrays(state_dict(golden, name))
    return (model.clone(neighbors=2) if READERS[name] is particle_net else model), params, state


def file_of(golden, name, path, scaling, temperature=1.0):
    kind = "particle-net" if READERS[name] is particle_net else "particle-transformer"
    path.write_bytes(pretrained.weaver_file(kind, *network_of(golden, name), scaling, temperature))
    return path


def unit_scaling():
    return Scaling(np.zeros(7, np.float32), np.ones(7, np.float32))


@pytest.mark.parametrize("name", READERS)
def test_names_and_numbers_are_those_that_were_read(golden, name, tmp_path):
    """The golden arrays are a state dict of the present weaver-core; the head of one layer less comes as it was."""
    found = pretrained.read_pytorch(file_of(golden, name, tmp_path / "net.pt", unit_scaling()))
    expected = {f"mod.{key}": x for key, x in state_dict(golden, name).items()}
    tracked = {key for key in found if key.endswith("num_batches_tracked")}
    assert found.keys() - tracked == expected.keys()
    assert {key.removesuffix("num_batches_tracked") for key in tracked} == {
        key.removesuffix("running_var") for key in found if key.endswith("running_var")
    }
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=2e-7, err_msg=key)


@pytest.mark.parametrize("name", READERS)
def test_the_scaling_is_folded_into_the_first_normalization(golden, name, tmp_path):
    """Logits of inputs as they are equal those of scaled ones by the network that was trained with them."""
    model, params, state = network_of(golden, name)
    inputs = inputs_of(golden)
    wide = (inputs.values * WIDTH + SHIFT) * inputs.mask[..., None]
    scaling = Scaling(np.append(SHIFT, 9), np.append(WIDTH, 1e3))  # the last column is no input of a layer
    path = file_of(golden, name, tmp_path / "net.pt", scaling, temperature=2.0)
    again, new, averages = (
        READERS[name].load_particle_net(path)
        if READERS[name] is particle_net
        else READERS[name].load_particle_transformer(path)
    )
    again = again.clone(neighbors=2) if READERS[name] is particle_net else again
    expected = jax.jit(model.apply)({"params": params, **state}, inputs) / 2
    found = jax.jit(again.apply)({"params": new, **averages}, inputs._replace(values=wide))
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_width_of_nearly_nothing_can_be_folded():
    layer = {"scale": np.array([1.5]), "bias": np.array([0.5])}
    averages = {"mean": np.array([0.3]), "var": np.array([0.2])}
    folded, moved = fold_scaling(layer, averages, np.array([4.0]), np.array([1e-9]))
    x = 4.0 + 1e-9 * np.array([-1.0, 2.0])
    expected = ((x - 4.0) / 1e-9 - 0.3) / np.sqrt(0.2 + 1e-5) * 1.5 + 0.5
    found = (x - moved["mean"]) / np.sqrt(moved["var"] + 1e-5) * folded["scale"] + folded["bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_any_arrays_come_back(tmp_path, rng):
    arrays = {
        "empty": np.zeros((0, 3), np.float32),
        "turned": np.asarray(rng.normal(size=(4, 3)), np.float32).T,
        "double": rng.normal(size=(2, 1, 5)),
        "count": np.int64(7) * np.ones((), np.int64),
        "näme": np.ones(1, ">f4"),
    }
    data = pytorch_writing.to_pytorch(arrays)
    assert data == pytorch_writing.to_pytorch(arrays)
    (tmp_path / "a.pt").write_bytes(data)
    found = pretrained.read_pytorch(tmp_path / "a.pt")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert all(each.compress_type == zipfile.ZIP_STORED for each in zipfile.ZipFile(io.BytesIO(data)).infolist())


def test_torch_reads_them_too(tmp_path, rng):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    arrays = {"w": rng.normal(size=(4, 3)).astype(np.float32).T, "n": np.zeros((), np.int64), "d": rng.normal(size=3)}
    (tmp_path / "a.pt").write_bytes(pytorch_writing.to_pytorch(arrays))
    found = torch.load(tmp_path / "a.pt", weights_only=True)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].numpy(), array)


@pytest.mark.parametrize("name", READERS)
def test_weaver_core_loads_them_strictly_and_gives_the_same_logits(golden, name, tmp_path):
    """By the lines of the model card, in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("weaver", reason="weaver-core is not installed")
    path = file_of(golden, name, tmp_path / "net.pt", unit_scaling())
    module, scope = (particle_net if READERS[name] is particle_net else particle_transformer), {}
    exec("\n".join(module.peer_lines(network_of(golden, name)[0], 7)), scope)  # noqa: S102
    wrapper = torch.nn.Module()
    wrapper.mod = scope["network"].eval()
    assert wrapper.load_state_dict(torch.load(path, weights_only=True), strict=True)
    jets = arrays_of(golden, "jets")
    x, points, p4 = (torch.tensor(np.moveaxis(jets[key], 1, 2)).double() for key in ("columns", "points", "p4"))
    mask = torch.tensor(jets["mask"][:, None])
    network = wrapper.mod.double()
    given = (points, x * mask, mask) if module is particle_net else (x, p4, mask)
    np.testing.assert_allclose(network(*given).detach().numpy(), golden[f"{name}/logits"], atol=1e-5)
