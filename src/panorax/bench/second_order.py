"""L-BFGS beside scipy's L-BFGS-B in 10,000 dimensions, and the spectrum of a network of 100,000 parameters, its largest eigenvalues beside scipy's
`eigsh`.

Both minimisers remember ten pairs, stop at the same size of the gradient and work in float64. scipy's calls one compiled program of JAX for value and
gradient together, as who uses scipy with JAX does it; ours is compiled as a whole. Two problems: Rosenbrock's chained valley, whose value costs next
to nothing, so that what is measured is the method's own work; and logistic regression of the digits on 1,000 random features, where the data are all
the work. `eigsh` (ARPACK, implicitly restarted Lanczos) is given the same compiled Hessian product, once with the subspace that it chooses and once
with one as large as ours, which is not restarted.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from panorax.bench.rounds import compare, spread
from panorax.bench.table import Table
from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Positive, checked
from panorax.data import datasets
from panorax.engine.loop import Clock
from panorax.maths import lanczos
from panorax.maths.optimisation.curvature import hessian_product
from panorax.maths.optimisation.minimisers import lbfgs
from panorax.nets import mlp
from panorax.theory.hessian_spectrum import Config as Network
from panorax.theory.hessian_spectrum import cross_entropy, network, trained
from panorax.theory.second_order import rosenbrock

HERE = "panorax.bench.second_order:"
PROBLEMS = ("rosenbrock", "logistic")
EIGENVALUES = {
    "panorax": HERE + "top",
    "scipy": HERE + "eigsh",
    "scipy, same subspace": HERE + "eigsh_as_large",
}


@checked
class Config:
    """`dimensions` is a multiple of ten."""

    dimensions: Count = 10_000
    tolerance: Positive = 1e-5
    """of the largest entry of the gradient"""
    penalty: Positive = 1e-3
    """half of it times the squared coefficients is added to the mean logistic loss"""
    hidden: tuple[Count, ...] = (288, 288)
    """of the network"""
    trained: Count = 100
    """steps before its spectrum is computed"""
    lanczos: Count = 80
    probes: Count = 10
    largest: Count = 10
    krylov: Count = 60
    """steps of Lanczos for the largest eigenvalues"""
    rounds: Count = 5


def benchmark(cfg: Config, folder: Path) -> Table:
    """Every comparison in turn; optima and eigenvalues of all contenders are compared too."""
    table, setting = Table("solves/min"), vars(cfg)
    for name in PROBLEMS:
        found = compare(
            {"panorax": HERE + "ours", "scipy": HERE + "scipys"},
            setting | {"problem": name},
            folder,
            cfg.rounds,
        )
        table.add(name, found, "scipy")
        ours, theirs = (found[contender].facts for contender in ("panorax", "scipy"))
        table.metrics |= {
            f"{name}_value_difference": abs(ours["value"] - theirs["value"]),
            f"{name}_largest_slope": max(ours["slope"], theirs["slope"]),
            f"{name}_steps_over_scipy": ours["steps"] / theirs["steps"],
            f"{name}_scipy_evaluations": float(theirs["evaluations"]),
        }
    prepare(setting, folder)
    found = compare(EIGENVALUES, setting, folder, cfg.rounds)
    table.add("top", found, "scipy")
    values = np.array([one.facts["values"] for one in found.values()])
    table.metrics["top_largest_difference"] = float((np.ptp(values, axis=0) / values.min(0)).max())
    table.metrics["top_largest_bound"] = found["panorax"].facts["bound"]
    table.metrics |= {
        f"top_products_{name.split(',')[0]}{'_same_subspace' if ',' in name else ''}": float(
            one.facts["products"]
        )
        for name, one in found.items()
    }
    alone = compare({"panorax": HERE + "density"}, setting, folder, cfg.rounds)
    table.add("spectrum", alone, "panorax")
    del table.metrics["spectrum_panorax_ratio"]
    table.metrics["spectrum_seconds"] = 60 / spread(alone["panorax"].rates)["median"]
    table.metrics["spectrum_parameters"] = float(core_spec.count(network(cfg.hidden)))
    return table


def problem(setting: dict):
    """(f, where to start), for float64."""
    n, rng = setting["dimensions"], np.random.default_rng(0)
    if setting["problem"] == "rosenbrock":
        return rosenbrock, rng.uniform(0.5, 1.5, n)
    x, label, _, _ = datasets.digit_vectors()
    features = np.tanh(x.astype(np.float64) @ rng.normal(size=(64, n // 10)) / 8)
    target = np.eye(10)[label]

    def loss(w):
        z = features @ w.reshape(-1, 10)
        return (
            jnp.mean(jax.nn.logsumexp(z, 1) - jnp.sum(target * z, 1))
            + 0.5 * setting["penalty"] * w @ w
        )

    return loss, np.zeros(n)


def ours(setting: dict, folder: Path):
    """`panorax.maths.optimisation.minimisers.lbfgs`, one compiled program."""
    jax.config.update("jax_enable_x64", True)
    (f, start), clock = problem(setting), Clock()
    start = jnp.asarray(start)
    program = clock.compile(
        lambda x: lbfgs(f, x, steps=20_000, tolerance=setting["tolerance"]), start
    )
    facts = {"compile_seconds": clock.compiling, "version": jax.__version__}

    def work():
        found = jax.block_until_ready(program(start))
        facts.update(
            value=float(found.value),
            slope=float(jnp.max(jnp.abs(found.gradient))),
            steps=int(found.steps),
        )
        return 60

    return facts, work


def scipys(setting: dict, folder: Path):
    """scipy's L-BFGS-B with one compiled program for value and gradient."""
    import scipy

    jax.config.update("jax_enable_x64", True)
    (f, start), clock = problem(setting), Clock()
    program = clock.compile(jax.value_and_grad(f), jnp.asarray(start))
    facts = {"compile_seconds": clock.compiling, "version": scipy.__version__}

    def measure(x):
        value, gradient = program(x)
        return float(value), np.asarray(gradient)

    def work():
        options = {
            "maxcor": 10,
            "gtol": setting["tolerance"],
            "ftol": 0.0,
            "maxiter": 20_000,
            "maxfun": 100_000,
        }
        found = scipy.optimize.minimize(
            measure, start, jac=True, method="L-BFGS-B", options=options
        )
        facts.update(
            value=float(found.fun),
            slope=float(np.abs(found.jac).max()),
            steps=int(found.nit),
            evaluations=int(found.nfev),
        )
        return 60

    return facts, work


def prepare(setting: dict, folder: Path) -> None:
    """The weights of the network after some training."""
    x, label, _, _ = map(jnp.asarray, datasets.digit_vectors())
    rows = jax.random.randint(jax.random.key(1), (setting["trained"], 64), 0, len(x))
    params = core_spec.init(network(setting["hidden"]), jax.random.key(0))
    params = jax.jit(lambda params: trained(params, x, label, rows, Network().rate))(params)
    np.savez(folder / "network.npz", *map(np.asarray, jax.tree.leaves(params)))


def _network(setting: dict, folder: Path):
    """(mean loss over all digits, the parameters of `prepare`)."""
    tree = jax.tree.structure(core_spec.init(network(tuple(setting["hidden"])), jax.random.key(0)))
    x, label, _, _ = map(jnp.asarray, datasets.digit_vectors())
    with np.load(folder / "network.npz") as file:
        params = tree.unflatten([jnp.asarray(file[f"arr_{i}"]) for i in range(tree.num_leaves)])
    return lambda params: jnp.mean(cross_entropy(mlp.perceptron(params, x), label)), params


def top(setting: dict, folder: Path):
    """The largest eigenvalues by Lanczos, one compiled program."""
    (loss, params), clock = _network(setting, folder), Clock()
    k, steps = setting["largest"], setting["krylov"]
    find = lambda params, key: lanczos.top_eigenpairs(
        lambda v: hessian_product(loss, params, v), params, k, steps, key
    )
    program = clock.compile(find, params, jax.random.key(0))
    facts = {"compile_seconds": clock.compiling, "version": jax.__version__, "products": steps}

    def work():
        values, _, bounds = jax.block_until_ready(program(params, jax.random.key(0)))
        facts.update(values=np.asarray(values).tolist(), bound=float(jnp.max(bounds / values)))
        return 60

    return facts, work


def eigsh(setting: dict, folder: Path, subspace: int | None = None):
    """The same by ARPACK, of the size that scipy chooses, which is 2 k + 1 or 20, or of another."""
    import scipy
    from scipy.sparse.linalg import LinearOperator
    from scipy.sparse.linalg import eigsh as arpack

    (loss, params), clock = _network(setting, folder), Clock()
    vector, back = ravel_pytree(params)
    program = clock.compile(
        lambda params, v: ravel_pytree(hessian_product(loss, params, back(v)))[0], params, vector
    )
    facts, start = (
        {"compile_seconds": clock.compiling, "version": scipy.__version__},
        np.random.default_rng(0).normal(size=vector.size).astype(np.float32),
    )

    def work():
        facts["products"] = 0

        def product(v):
            facts["products"] += 1
            return np.asarray(program(params, v.astype(np.float32).ravel()))

        operator = LinearOperator((vector.size,) * 2, product, dtype=np.float32)
        values, _ = arpack(
            operator, setting["largest"], which="LA", tol=1e-3, ncv=subspace, v0=start
        )
        facts["values"] = np.sort(values)[::-1].astype(float).tolist()
        return 60

    return facts, work


def eigsh_as_large(setting: dict, folder: Path):
    """With the subspace of `top`."""
    return eigsh(setting, folder, setting["krylov"])


def density(setting: dict, folder: Path):
    """The whole spectrum by stochastic Lanczos quadrature."""
    (loss, params), clock = _network(setting, folder), Clock()
    find = lambda params, key: lanczos.quadrature(
        lambda v: hessian_product(loss, params, v),
        params,
        setting["lanczos"],
        setting["probes"],
        key,
    )
    program = clock.compile(find, params, jax.random.key(0))

    def work():
        jax.block_until_ready(program(params, jax.random.key(0)))
        return 60

    return {"compile_seconds": clock.compiling, "version": jax.__version__}, work
