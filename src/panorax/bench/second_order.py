"""L-BFGS beside scipy's L-BFGS-B, and the Hessian spectrum of a network beside scipy's `eigsh`.

L-BFGS minimises in 10,000 dimensions. Both minimisers keep ten pairs, stop at the same gradient
size and work in float64. scipy calls one compiled JAX program for value and gradient, as its JAX
users do; ours is compiled as a whole. There are two problems:

    rosenbrock  Rosenbrock's chained valley, whose value is nearly free: the method's work counts
    logistic    logistic regression of the digits on 1,000 random features: the data take all work

The network has about 100,000 parameters. `eigsh` (ARPACK, implicitly restarted Lanczos) uses our
compiled Hessian product: once with its default subspace, once with a subspace as large as ours,
which is never restarted.
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
from panorax.core.study import family
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
MINIMISERS = {"panorax": HERE + "panorax_lbfgs", "scipy": HERE + "scipy_lbfgsb"}
EIGENVALUES = {
    "panorax": HERE + "top",
    "scipy": HERE + "eigsh",
    "scipy, same subspace": HERE + "eigsh_as_large",
}


@checked
class Config:
    """Sizes of the minimisations and of the spectrum."""

    dimensions: Count = 10_000
    """variables of the minimisations, a multiple of ten"""
    tolerance: Positive = 1e-5
    """largest entry of the gradient at which minimisers stop"""
    penalty: Positive = 1e-3
    """weight of half the squared coefficients in the logistic loss"""
    hidden: tuple[Count, ...] = (288, 288)
    """units per hidden layer of the network"""
    trained: Count = 100
    """training steps before the spectrum is computed"""
    lanczos: Count = 80
    """Lanczos steps per probe of the spectrum"""
    probes: Count = 10
    """random probes of the spectrum"""
    largest: Count = 10
    """largest eigenvalues computed [k]"""
    krylov: Count = 60
    """Lanczos steps for the largest eigenvalues"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares minimisers, then the largest eigenvalues, then times the whole spectrum."""
    table = Table("solves/min")
    for problem in ("rosenbrock", "logistic"):
        add_minimisers(table, problem, cfg, folder)
    prepare(vars(cfg), folder)
    add_eigenvalues(table, cfg, folder)
    add_spectrum(table, cfg, folder)
    return table


def add_minimisers(table: Table, problem: str, cfg: Config, folder: Path) -> None:
    """Adds the minimisers on one problem, with their minima, gradients and steps."""
    setting = vars(cfg) | {"problem": problem}
    measured = compare(MINIMISERS, setting, folder, cfg.rounds)
    table.add(problem, measured, "scipy")
    ours, theirs = (measured[contender].facts for contender in MINIMISERS)
    table.metrics |= {
        f"{problem}_value_difference": abs(ours["value"] - theirs["value"]),
        f"{problem}_largest_slope": max(ours["slope"], theirs["slope"]),
        f"{problem}_steps_over_scipy": ours["steps"] / theirs["steps"],
        f"{problem}_scipy_evaluations": float(theirs["evaluations"]),
    }


def add_eigenvalues(table: Table, cfg: Config, folder: Path) -> None:
    """Adds the solvers of the largest eigenvalues, with their differences and Hessian products."""
    measured = compare(EIGENVALUES, vars(cfg), folder, cfg.rounds)
    table.add("top", measured, "scipy")
    values = np.array([rounds.facts["values"] for rounds in measured.values()])
    table.metrics["top_largest_difference"] = float((np.ptp(values, axis=0) / values.min(0)).max())
    table.metrics["top_largest_bound"] = measured["panorax"].facts["bound"]
    products = {
        name.replace(", ", "_").replace(" ", "_"): rounds.facts["products"]
        for name, rounds in measured.items()
    }
    table.metrics |= family("top_products_{}", products)


def add_spectrum(table: Table, cfg: Config, folder: Path) -> None:
    """Adds the seconds of the whole spectrum, which has no competitor."""
    measured = compare({"panorax": HERE + "density"}, vars(cfg), folder, cfg.rounds)
    table.add("spectrum", measured, "panorax")
    del table.metrics["spectrum_panorax_ratio"]
    table.metrics["spectrum_seconds"] = 60 / spread(measured["panorax"].rates)["median"]
    table.metrics["spectrum_parameters"] = float(core_spec.count(network(cfg.hidden)))


def objective(setting: dict):
    """The function to minimise, float64 (n,) -> (), and the start (n,)."""
    n, rng = setting["dimensions"], np.random.default_rng(0)
    if setting["problem"] == "rosenbrock":
        return rosenbrock, rng.uniform(0.5, 1.5, n)
    x, label, _, _ = datasets.digit_vectors()
    features = np.tanh(x.astype(np.float64) @ rng.normal(size=(64, n // 10)) / 8)
    target = np.eye(10)[label]

    def loss(w):
        z = features @ w.reshape(-1, 10)
        cross_entropies = jax.nn.logsumexp(z, 1) - jnp.sum(target * z, 1)
        return jnp.mean(cross_entropies) + 0.5 * setting["penalty"] * w @ w

    return loss, np.zeros(n)


def panorax_lbfgs(setting: dict, folder: Path):
    """`panorax.maths.optimisation.minimisers.lbfgs` as one compiled program."""
    jax.config.update("jax_enable_x64", True)
    (f, start), clock = objective(setting), Clock()
    start = jnp.asarray(start)
    minimise = lambda x: lbfgs(f, x, steps=20_000, tolerance=setting["tolerance"])
    program = clock.compile(minimise, start)
    facts = {"compile_seconds": clock.compiling, "version": jax.__version__}

    def work():
        minimum = jax.block_until_ready(program(start))
        facts.update(
            value=float(minimum.value),
            slope=float(jnp.max(jnp.abs(minimum.gradient))),
            steps=int(minimum.steps),
        )
        return 60

    return facts, work


def scipy_lbfgsb(setting: dict, folder: Path):
    """scipy's L-BFGS-B with one compiled program for value and gradient."""
    import scipy

    jax.config.update("jax_enable_x64", True)
    (f, start), clock = objective(setting), Clock()
    program = clock.compile(jax.value_and_grad(f), jnp.asarray(start))
    facts = {"compile_seconds": clock.compiling, "version": scipy.__version__}
    options = {"maxcor": 10, "gtol": setting["tolerance"], "ftol": 0.0}
    options |= {"maxiter": 20_000, "maxfun": 100_000}

    def value_and_gradient(x):
        value, gradient = program(x)
        return float(value), np.asarray(gradient)

    def work():
        minimum = scipy.optimize.minimize(
            value_and_gradient, start, jac=True, method="L-BFGS-B", options=options
        )
        facts.update(
            value=float(minimum.fun),
            slope=float(np.abs(minimum.jac).max()),
            steps=int(minimum.nit),
            evaluations=int(minimum.nfev),
        )
        return 60

    return facts, work


def prepare(setting: dict, folder: Path) -> None:
    """Writes the weights of the network after `setting["trained"]` training steps."""
    x, label, _, _ = map(jnp.asarray, datasets.digit_vectors())
    rows = jax.random.randint(jax.random.key(1), (setting["trained"], 64), 0, len(x))
    params = core_spec.init(network(setting["hidden"]), jax.random.key(0))
    params = jax.jit(lambda params: trained(params, x, label, rows, Network().rate))(params)
    np.savez(folder / "network.npz", *map(np.asarray, jax.tree.leaves(params)))


def _network(setting: dict, folder: Path):
    """The mean loss over all training digits, and the parameters that `prepare` wrote."""
    tree = jax.tree.structure(core_spec.init(network(tuple(setting["hidden"])), jax.random.key(0)))
    x, label, _, _ = map(jnp.asarray, datasets.digit_vectors())
    with np.load(folder / "network.npz") as file:
        params = tree.unflatten([jnp.asarray(file[f"arr_{i}"]) for i in range(tree.num_leaves)])
    return lambda params: jnp.mean(cross_entropy(mlp.perceptron(params, x), label)), params


def top(setting: dict, folder: Path):
    """Our largest eigenvalues by Lanczos, as one compiled program."""
    (loss, params), clock = _network(setting, folder), Clock()
    k, steps = setting["largest"], setting["krylov"]
    eigenpairs = lambda params, key: lanczos.top_eigenpairs(
        lambda v: hessian_product(loss, params, v), params, k, steps, key
    )
    program = clock.compile(eigenpairs, params, jax.random.key(0))
    facts = {"compile_seconds": clock.compiling, "version": jax.__version__, "products": steps}

    def work():
        values, _, bounds = jax.block_until_ready(program(params, jax.random.key(0)))
        facts.update(values=np.asarray(values).tolist(), bound=float(jnp.max(bounds / values)))
        return 60

    return facts, work


def eigsh(setting: dict, folder: Path, subspace: int | None = None):
    """The largest eigenvalues by ARPACK.

    subspace: Lanczos vectors; None is scipy's default, the larger of 2 k + 1 and 20.
    """
    import scipy
    from scipy.sparse.linalg import LinearOperator
    from scipy.sparse.linalg import eigsh as arpack

    (loss, params), clock = _network(setting, folder), Clock()
    vector, unravel = ravel_pytree(params)
    flat_product = lambda params, v: ravel_pytree(hessian_product(loss, params, unravel(v)))[0]
    program = clock.compile(flat_product, params, vector)
    facts = {"compile_seconds": clock.compiling, "version": scipy.__version__}
    start = np.random.default_rng(0).normal(size=vector.size).astype(np.float32)

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
    """The largest eigenvalues by ARPACK, with a subspace as large as in `top`."""
    return eigsh(setting, folder, setting["krylov"])


def density(setting: dict, folder: Path):
    """Our whole spectrum by stochastic Lanczos quadrature."""
    (loss, params), clock = _network(setting, folder), Clock()
    quadrature = lambda params, key: lanczos.quadrature(
        lambda v: hessian_product(loss, params, v),
        params,
        setting["lanczos"],
        setting["probes"],
        key,
    )
    program = clock.compile(quadrature, params, jax.random.key(0))

    def work():
        jax.block_until_ready(program(params, jax.random.key(0)))
        return 60

    return {"compile_seconds": clock.compiling, "version": jax.__version__}, work
