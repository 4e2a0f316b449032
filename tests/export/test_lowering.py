# ruff: noqa: E501, PLW0108
"""Single JAX operations in ONNX, against JAX itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hepjax import InputError, export

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")

TABLE = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
PLACES = np.array([0, 3, 3, -1, 9])


def whole(x, k=1.0):
    """Integers from features."""
    return jnp.floor(x * k).astype(jnp.int32)


FUNCTIONS = {
    # elementwise
    "unary": lambda x: jnp.concatenate([jnp.sin(x), jnp.cosh(x), jnp.arctan(x), jnp.sign(x), jnp.ceil(x), -x, abs(x)], -1),
    "roots": lambda x: jnp.concatenate([jnp.sqrt(abs(x)), lax.rsqrt(abs(x) + 1), jnp.log1p(abs(x)), jnp.expm1(x)], -1),
    "erf": lambda x: lax.erf(x) + lax.erfc(x / 2) + jnp.arcsinh(x) + jax.nn.sigmoid(x),
    "powers": lambda x: x**2 + x**3 + x**7 + (abs(x) + 1) ** -2 + (abs(x) + 1) ** 0.3 + lax.integer_pow(x, 0),
    "atan2": lambda x: jnp.arctan2(x, x[:, ::-1]),
    "atan2-axes": lambda x: jnp.arctan2(jnp.round(x / 2), jnp.round(x[:, ::-1] / 2)),
    "compared": lambda x: 1.0 * (x > 0) + 2.0 * (x <= x[:, :1]) + 4.0 * (x != x[:, :1]) + 8.0 * (x == x[:, 1:2]),
    "logical": lambda x: (((x > 0) & (x < 1)) | ~(x > -1) ^ (x > 2)).astype(jnp.float32),
    "bits": lambda x: ((whole(x, 9) & 5) | (whole(x, 3) ^ 2)).astype(jnp.float32) + (~whole(x)).astype(jnp.float32),
    "booleans": lambda x: 1.0 * jnp.maximum(x > 0, x > 1) + 1.0 * jnp.minimum(x > 0, x < 1) + 1.0 * ((x > 0) == (x > 1)),
    "integers": lambda x: (lax.div(whole(x, 9), 4) * 100 + lax.rem(whole(x, 9), 4)).astype(jnp.float32),
    "remainder": lambda x: lax.rem(x, jnp.float32(0.7)) + jnp.mod(x, 0.7),
    "clamped": lambda x: jnp.clip(x, -0.5, 0.5) + jnp.minimum(x, 1) + jnp.maximum(0.0, x) + jax.nn.relu(x),
    "finite": lambda x: jnp.isfinite(x / jnp.maximum(x, 0)).astype(jnp.float32),
    "softmax": lambda x: jax.nn.softmax(x * 3, axis=-1) + jax.nn.softmax(x, axis=-1)[:, ::-1],
    "no-softmax": lambda x: jnp.exp(x - x[:, :1]) / jnp.exp(x - x[:, :1]).sum(-1, keepdims=True) + jnp.exp(x - x[:, ::-1])
    / jnp.exp(x - x[:, ::-1]).sum(-1, keepdims=True),
    # shapes
    "reductions": lambda x: jnp.stack([x.sum(1), x.max(1), x.min(1), x.prod(1), x.mean(1), (x > 0).any(1) * 1.0], 1),
    "broadcast": lambda x: jnp.broadcast_to(x[:, None, :1], (x.shape[0], 3, 4)).sum((1, 2))[:, None] + jnp.ones((1, 2)),
    "all": lambda x: (x > -1).all(1, keepdims=True) * jnp.ones((x.shape[0], 2)),
    "places": lambda x: jnp.stack([jnp.argmax(x, 1), jnp.argmin(x, 1)], 1).astype(jnp.float32),
    "cumulative": lambda x: jnp.cumsum(x, 1) + lax.cumsum(x, 1, reverse=True),
    "padded": lambda x: jnp.pad(x, ((0, 0), (2, 1)), constant_values=3.0) + 1.0 * jnp.pad(x > 0, ((0, 0), (1, 2))),
    "cut": lambda x: jnp.concatenate([x[:, 1::2], x[:, ::-1], jnp.roll(x, 1, 1)], 1) + x[:, 2:3],
    "split": lambda x: jnp.split(x, [1, 3], axis=1)[1] * jnp.tile(x[:, :1], (1, 2)),
    "turned": lambda x: jnp.einsum("bi,bj->bij", x, x).transpose(0, 2, 1).reshape(x.shape[0], -1),
    "top": lambda x: lax.top_k(abs(jnp.round(x)), 3)[0] + 10.0 * lax.top_k(abs(jnp.round(x)), 3)[1],  # many are equal
    "numbered": lambda x: x + jnp.arange(4.0) + jnp.arange(x.shape[0])[:, None],
    # products
    "products": lambda x: (x @ TABLE.T) @ jnp.ones((6, 2)) + jnp.einsum("bi,kj,bj->bk", x, TABLE[:2], x),
    "batched": lambda x: jnp.einsum("bpi,bqi->bpq", x[:, :2, None], x[:, 2:, None]).reshape(x.shape[0], -1),
    "first": lambda x: jnp.einsum("ki,bi->kb", TABLE, x).T,
    "image": lambda x: jax.vmap(lambda y: lax.conv_general_dilated(
        (y[:, None] * y).reshape(1, 4, 4, 1), TABLE[:, :3].reshape(3, 3, 1, 2), (2, 1), "SAME", rhs_dilation=(1, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"))[0].reshape(-1))(x),
    # reading and writing at places, some of them outside
    "read": lambda x: jnp.asarray(TABLE)[whole(x, 2) % 6].sum(1) + x[:, np.array([3, 0, -1, 1])],
    "read-outside": lambda x: jnp.nan_to_num(jnp.take(TABLE, whole(x, 4), axis=0, fill_value=7.0, mode="fill").sum(1)),
    "read-clipped": lambda x: jnp.take(TABLE, whole(x, 4), axis=0, mode="clip").sum(1),
    "read-pairs": lambda x: jnp.asarray(TABLE)[whole(x, 2) % 6, jnp.abs(whole(x)) % 4],
    "read-along": lambda x: jnp.take_along_axis(x, jnp.argsort(np.arange(4)) * 0 + jnp.abs(whole(x)) % 4, axis=1),
    "added": lambda x: jax.vmap(lambda y: jnp.zeros(5).at[whole(y, 2)].add(y))(x),
    "added-to-many": lambda x: jax.vmap(lambda y: jnp.ones((90, 2)).at[whole(y, 40)].add(y[:, None]))(x).sum(2),
    "added-to-pairs": lambda x: jax.vmap(lambda y: jnp.zeros((3, 2)).at[whole(y), whole(y) % 2].add(y))(x).reshape(-1, 6),
    "largest-written": lambda x: jax.vmap(lambda y: jnp.zeros(5).at[whole(y, 2)].max(y))(x),
    "smallest-written": lambda x: jax.vmap(lambda y: jnp.zeros(5).at[whole(y, 2)].min(y))(x),
    "multiplied": lambda x: jax.vmap(lambda y: jnp.ones(5).at[whole(y, 2)].multiply(y))(x),
    "written": lambda x: jax.vmap(lambda y: jnp.zeros(9).at[2 * jnp.arange(4) + (y[0] > 0)].set(y))(x),
    "same-places": lambda x: jnp.zeros((x.shape[0], 5, 2)).at[:, PLACES[:4]].add(x[..., None])[:, :, 0],
    "segments": lambda x: jax.vmap(lambda y: jax.ops.segment_sum(y, whole(y, 2) % 3, 3))(x),
    # loops
    "loop": lambda x: lax.scan(lambda c, y: (0.5 * c + y, c * y), x[:, 0], x.T)[1].T,
    "loop-backwards": lambda x: lax.scan(lambda c, y: (0.5 * c + y, c), x[:, 0], x.T, reverse=True)[1].T,
    "loop-in-a-loop": lambda x: lax.scan(lambda c, y: (lax.fori_loop(0, 3, lambda i, d: d * 0.5 + y * i, c), c.sum()[None]),
                                         x[:, 0], x.T)[0][:, None],
    "one-round": lambda x: lax.fori_loop(0, 1, lambda i, c: c + x * i + 1, x),
    "calls": lambda x: jax.jit(jax.checkpoint(lambda y: jax.nn.gelu(y) + jax.nn.softplus(y)))(x),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_operation_is_the_same_in_onnx(name, tmp_path):
    function, x = FUNCTIONS[name], np.random.default_rng(0).normal(0, 1.5, size=(50, 4)).astype(np.float32)
    x[0], x[1, :2] = 0, -0.0
    path = tmp_path / "function.onnx"
    path.write_bytes(export.to_onnx(function, x[:1], {}))
    run, *_ = export.read_onnx(path)
    for count in (1, 50):
        expected = np.asarray(jax.jit(function)(x[:count]))
        result = run(x[:count])
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=2e-6, atol=2e-6)


def test_nothing_is_kept_that_nobody_needs():
    def wasteful(x):
        jax.random.normal(jax.random.key(0), (3,))
        jnp.sort(x)
        return (x + jnp.zeros_like(x) * 0) @ jnp.eye(4)

    made = onnx.load_from_string(export.to_onnx(wasteful, np.zeros((1, 4), np.float32), {}))
    assert len(made.graph.node) <= 4
    assert {array.name for array in made.graph.initializer} <= {name for node in made.graph.node for name in node.input}


@pytest.mark.parametrize(
    "function, words",
    [
        (lambda x: jnp.sort(x, axis=1), "JAX's sort, which has no form in ONNX here; export StableHLO"),
        (lambda x: lax.pad(x, np.float32(0), ((0, 0, 0), (0, 0, 1))), "padding between numbers"),
        (lambda x: jax.vmap(lambda y: lax.dynamic_slice(y, (whole(y[0]),), (2,)))(x), "reading parts of rows"),
    ],
)
def test_what_onnx_cannot_do_is_refused(function, words):
    with pytest.raises(InputError, match=words):
        export.to_onnx(function, np.zeros((1, 4), np.float32), {})
