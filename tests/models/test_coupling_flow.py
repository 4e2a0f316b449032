import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError, models
from hepjax.models.coupling_flow import CouplingFlow
from hepjax.models.layers.splines import inverse_rational_quadratic_spline, rational_quadratic_spline
from hepjax.types import Conditioned

FLOW = CouplingFlow(outputs=3, conditions=2, layers=3, hidden=(16,), bins=5, reach=4.0)


@pytest.fixture(scope="module")
def params():
    first, _ = models.initialize(FLOW, jax.random.key(0), Conditioned(jnp.zeros((1, 3)), jnp.zeros((1, 2))))
    leaves, structure = jax.tree.flatten(first)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return structure.unflatten([x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return Conditioned(rng.normal(0, 2, (64, 3)).astype(np.float32), np.eye(2, dtype=np.float32)[np.arange(64) % 2])


@pytest.fixture(scope="module")
def ways(params):
    return (
        jax.jit(lambda x, c: FLOW.apply({"params": params}, x, c, method="to_latent")),
        jax.jit(lambda z, c: FLOW.apply({"params": params}, z, c, method="from_latent")),
    )


def test_the_determinant_is_that_of_the_jacobian(ways, data):
    there, _ = ways
    x, c = map(jnp.asarray, data)
    jacobian = jax.jit(jax.vmap(jax.jacfwd(lambda v, c: there(v[None], c[None])[0][0])))(x, c)
    _, found = there(x, c)
    np.testing.assert_allclose(found, np.linalg.slogdet(np.asarray(jacobian, np.float64))[1], atol=2e-4)
    assert np.abs(found).max() > 1


def test_it_leads_back_beyond_the_reach_too(ways, data):
    there, back = ways
    far = data.values * np.where(np.arange(64) % 5 == 0, 10, 1)[:, None].astype(np.float32)
    latent, _ = there(far, data.condition)
    np.testing.assert_allclose(back(latent, data.condition), far, rtol=1e-5, atol=1e-4)
    assert np.abs(latent - far).max() > 0.3


def test_the_condition_matters(ways, data):
    there, _ = ways
    assert np.abs(there(data.values, data.condition)[0] - there(data.values, data.condition[::-1])[0]).max() > 0.1


def test_the_answer_is_a_density(params):
    """It adds up to one, for either condition."""
    line = np.linspace(-7, 7, 45, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line, line), axis=-1).reshape(-1, 3)
    answer = jax.jit(lambda x, c: FLOW.apply({"params": params}, Conditioned(x, c), train=True))
    for one in np.eye(2, dtype=np.float32):
        p = np.exp(-np.asarray(answer(grid, np.broadcast_to(one, (len(grid), 2))), np.float64))
        assert p.sum() * (line[1] - line[0]) ** 3 == pytest.approx(1, abs=0.02)
        assert np.abs(p - np.exp(-0.5 * (grid**2).sum(axis=1)) / (2 * np.pi) ** 1.5).max() > 0.02


@pytest.fixture(scope="module")
def measure(data):
    """Parameters → -ln p, as in validation."""
    return jax.jit(lambda params: models.make_apply(FLOW)(params, {}, data, None, None)[0])


def test_it_starts_as_a_normal_distribution(measure, params, data):
    first = {name: np.zeros_like(x) if name.endswith("_1") else x for name, x in params.items()}  # the last layer
    np.testing.assert_allclose(measure(first), 0.5 * (data.values**2).sum(axis=1) + 1.5 * np.log(2 * np.pi), rtol=1e-5)
    drawn, _ = models.initialize(FLOW, jax.random.key(0), Conditioned(jnp.zeros((1, 3)), jnp.zeros((1, 2))))
    assert not np.any(drawn["kernel_1"])
    assert np.std(drawn["kernel_0"]) == pytest.approx(drawn["kernel_0"].shape[1] ** -0.5, rel=0.2)


def test_a_flow_that_does_not_lead_back_has_an_infinite_validation_loss(measure, params):
    assert np.isfinite(measure(params)).all()
    assert np.isinf(measure(jax.tree.map(lambda x: 300 * x, params))).any()


def test_a_spline_rises_from_end_to_end_and_its_slope_is_its_derivative():
    rng = np.random.default_rng(3)
    shape = tuple(jnp.asarray(x, jnp.float32) for x in (*rng.dirichlet(np.ones(6), 2), rng.uniform(0.2, 3, 7)))
    x = jnp.linspace(-1.999, 1.999, 301)
    y, log_slope = jax.jit(jax.vmap(lambda v: rational_quadratic_spline(v, shape, 2.0)))(x)
    assert (np.diff(y) > 0).all()
    np.testing.assert_allclose(y[jnp.array([0, -1])], [-2, 2], atol=0.01)
    slope = jax.jit(jax.vmap(jax.grad(lambda v: rational_quadratic_spline(v, shape, 2.0)[0])))(x)
    np.testing.assert_allclose(np.exp(log_slope), slope, rtol=2e-3)
    back = jax.jit(jax.vmap(lambda v: inverse_rational_quadratic_spline(v, shape, 2.0)))(y)
    np.testing.assert_allclose(back, x, atol=1e-4)


def test_a_flow_of_one_feature_is_refused():
    one = Conditioned(jnp.zeros((1, 1)), jnp.zeros((1, 2)))
    with pytest.raises(InputError, match="needs two or more, found 1"):
        CouplingFlow(outputs=1, conditions=2).init(jax.random.key(0), one)
