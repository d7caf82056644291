"""Everything there is, as data: one entry a system. README's table, the command line and the tests all read it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One system: `module` holds it, `configs` are its experiments (the first is the one its claims are about)."""

    id: str
    title: str
    paper: str
    module: str
    configs: tuple[str, ...]
    parts: tuple[str, ...]
    oracle: str
    tests: tuple[str, ...]
    parameters: tuple[tuple[str, int], ...] = ()
    """parameter counts of the paper's models, by config"""


CATALOGUE = (
    Entry(
        id="ppo",
        title="PPO: clipped policy gradient on vectorised environments, training as one pure function",
        paper="Schulman et al. 2017, arXiv:1707.06347; generalised advantages, Schulman et al. 2016, arXiv:1506.02438",
        module="panorax.rl.ppo",
        configs=("rl/ppo", "rl/ppo_pendulum", "rl/ppo_breakout", "rl/ppo_memory"),
        parts=(
            "panorax.interop.gymnasium", "panorax.nets.mlp", "panorax.nets.recurrent", "panorax.ops.distributions", "panorax.ops.permutation", "panorax.ops.returns",
            "panorax.rl.actions", "panorax.rl.environment", "panorax.rl.episodes", "panorax.rl.from_gymnax", "panorax.rl.from_pgx",
            "panorax.rl.gru_policy", "panorax.rl.mlp_policy", "panorax.rl.moments", "panorax.rl.probes", "panorax.rl.rollout",
            "panorax.rl.seeds", "panorax.rl.wrappers",
        ),
        oracle="torch PPO loss and distributions; stable-baselines3 rollout buffer; gymnasium dynamics; probe worlds whose values are known",
        tests=("tests/parity/test_parity_rl.py", "tests/rl/test_ppo.py"),
    ),
    Entry(
        id="flow-matching",
        title="Flow matching: straight paths from noise to data, with classifier-free guidance",
        paper="Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003; Ho & Salimans 2022, arXiv:2207.12598",
        module="panorax.generative.flow_matching",
        configs=("generative/flow_matching", "generative/flow_matching_unet", "generative/flow_matching_2d"),
        parts=(
            "panorax.generative.densities", "panorax.generative.digits", "panorax.nets.convnet", "panorax.nets.dit",
            "panorax.nets.mlp", "panorax.nets.unet", "panorax.nets.velocity_mlp", "panorax.ops.convolution", "panorax.ops.frechet", "panorax.ops.solvers",
        ),
        oracle="the velocity between Gaussians in closed form; diffusers' FlowMatchEulerDiscreteScheduler and UNet2DModel; scipy's solve_ivp",
        tests=("tests/parity/test_parity_flow.py", "tests/parity/test_parity_unet.py", "tests/generative/test_flow_matching.py", "tests/ops/test_solvers.py"),
    ),
    Entry(
        id="concentration",
        title="Concentration of measure: ball in cube, shell of a ball, norm of a Gaussian",
        paper="Blum, Hopcroft & Kannan, Foundations of Data Science, chapter 2",
        module="panorax.theory.concentration",
        configs=("theory/concentration",),
        parts=("panorax.theory.estimates",),
        oracle="closed forms through scipy's Gamma function and chi distribution",
        tests=("tests/theory/test_concentration.py", "tests/theory/test_estimates.py"),
    ),
    Entry(
        id="orthogonality",
        title="Orthogonality: the law of the angle between random directions, and how many nearly orthogonal ones fit",
        paper="Cai, Fan & Jiang 2013, arXiv:1306.0256",
        module="panorax.theory.orthogonality",
        configs=("theory/orthogonality",),
        parts=("panorax.theory.estimates",),
        oracle="scipy's Beta distribution and Kolmogorov test",
        tests=("tests/theory/test_orthogonality.py",),
    ),
    Entry(
        id="dot-product",
        title="Dot products: their variance, and what a softmax of them lets through with and without 1 / sqrt(d)",
        paper="Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1",
        module="panorax.theory.dot_product",
        configs=("theory/dot_product",),
        parts=("panorax.theory.estimates",),
        oracle="jax.jacobian of softmax; exact moments",
        tests=("tests/theory/test_dot_product.py",),
    ),
    Entry(
        id="linear-maps",
        title="Linear maps: rotation, scaling, shear and projection; rank; the best approximation of lower rank",
        paper="Eckart & Young 1936; Trefethen & Bau, Numerical Linear Algebra, lectures 4 and 5",
        module="panorax.theory.linear_maps",
        configs=("theory/linear_maps",),
        parts=(),
        oracle="scipy's polar decomposition, numpy's singular values",
        tests=("tests/theory/test_linear_maps.py",),
    ),
    Entry(
        id="manifold",
        title="The manifold hypothesis: intrinsic dimension, autoencoders with a narrow middle, the field of a denoiser",
        paper="Facco et al. 2017; Levina & Bickel 2004; Alain & Bengio 2014, arXiv:1211.4246",
        module="panorax.theory.manifold",
        configs=("theory/manifold",),
        parts=("panorax.theory.dimension", "panorax.theory.autoencoders", "panorax.theory.neighbors"),
        oracle="spheres; scikit-learn's neighbours and principal components; the exact denoiser of a circle",
        tests=(
            "tests/theory/test_manifold.py",
            "tests/theory/test_dimension.py",
            "tests/theory/test_autoencoders.py",
            "tests/theory/test_neighbors.py",
        ),
    ),
    Entry(
        id="embedding",
        title="Maps of a cloud to the plane: t-SNE and UMAP, and how much of each neighbourhood they keep",
        paper="van der Maaten & Hinton 2008; McInnes, Healy & Melville 2018, arXiv:1802.03426",
        module="panorax.theory.embedding",
        configs=("theory/embedding",),
        parts=("panorax.theory.tsne", "panorax.theory.umap", "panorax.theory.embedding_quality"),
        oracle="scikit-learn's t-SNE, step for step, and trustworthiness; umap-learn's graph and curve",
        tests=(
            "tests/theory/test_embedding.py",
            "tests/theory/test_tsne.py",
            "tests/theory/test_umap.py",
            "tests/theory/test_embedding_quality.py",
            "tests/parity/test_parity_theory.py",
        ),
    ),
    Entry(
        id="em",
        title="Expectation maximisation for Gaussian mixtures: full, diagonal and tied covariances, and the bound that never falls",
        paper="Dempster, Laird & Rubin 1977; Neal & Hinton 1998",
        module="panorax.theory.em",
        configs=("theory/em",),
        parts=(),
        oracle="scikit-learn's GaussianMixture, step for step",
        tests=("tests/theory/test_em.py",),
    ),
    Entry(
        id="variational-inference",
        title="Variational inference with Gaussians, mean field and full rank; Bayes by backprop; Hamiltonian Monte Carlo beside them",
        paper="Kucukelbir et al. 2017, arXiv:1603.00788; Blundell et al. 2015, arXiv:1505.05424; Neal 2011, arXiv:1206.1901",
        module="panorax.theory.variational_inference",
        configs=("theory/variational_inference",),
        parts=("panorax.theory.gaussian_family", "panorax.theory.hamiltonian"),
        oracle="the posterior of linear regression in closed form; scipy's Gaussians",
        tests=("tests/theory/test_variational_inference.py",),
    ),
    Entry(
        id="elbo",
        title="The evidence lower bound learned: variational autoencoder, importance-weighted bounds, and the linear one, which is probabilistic PCA",
        paper="Kingma & Welling 2014, arXiv:1312.6114; Burda et al. 2016, arXiv:1509.00519; Tipping & Bishop 1999",
        module="panorax.theory.elbo",
        configs=("theory/elbo", "theory/elbo_linear"),
        parts=("panorax.theory.gaussian_family",),
        oracle="scikit-learn's PCA, scipy's Gaussians; the exact likelihood of the linear model",
        tests=("tests/theory/test_elbo.py",),
    ),
    Entry(
        id="information",
        title="Mutual information from samples: neighbours, InfoNCE, MINE and their kin against the truth; the capacity of channels",
        paper="Kraskov et al. 2004, arXiv:cond-mat/0305641; van den Oord et al. 2018, arXiv:1807.03748; Belghazi et al. 2018, arXiv:1801.04062; Blahut 1972",
        module="panorax.theory.information",
        configs=("theory/information",),
        parts=("panorax.theory.blahut_arimoto", "panorax.theory.mutual_information"),
        oracle="Gaussians and channels in closed form; scikit-learn's mutual_info_regression; scipy's trees and convex optimisation",
        tests=("tests/theory/test_information.py", "tests/theory/test_mutual_information.py", "tests/theory/test_blahut_arimoto.py"),
    ),
    Entry(
        id="information-bottleneck",
        title="The information bottleneck: the curve by self-consistent equations, and its variational bound on digits",
        paper="Tishby, Pereira & Bialek 1999, arXiv:physics/0004057; Chechik et al. 2005; Alemi et al. 2017, arXiv:1612.00410",
        module="panorax.theory.information_bottleneck",
        configs=("theory/information_bottleneck",),
        parts=("panorax.theory.blahut_arimoto", "panorax.theory.bottleneck_curves", "panorax.theory.gaussian_family"),
        oracle="Mrs Gerber's lemma, the Gaussian bottleneck in closed form; scipy's optimiser",
        tests=("tests/theory/test_information_bottleneck.py", "tests/theory/test_bottleneck_curves.py"),
    ),
    Entry(
        id="losses",
        title="Losses as likelihoods: squared error, cross entropy, label smoothing, Kullback-Leibler, and the focal loss on rare objects",
        paper="Lin et al. 2017, arXiv:1708.02002",
        module="panorax.theory.likelihoods",
        configs=("theory/losses",),
        parts=(),
        oracle="scipy's distributions, scikit-learn's average precision",
        tests=("tests/theory/test_likelihoods.py", "tests/ops/test_losses.py"),
    ),
    Entry(
        id="autodiff",
        title="Automatic differentiation of a jaxpr in forward and reverse mode, scans included, and what a gradient costs",
        paper="Linnainmaa 1970; Griewank & Walther, Evaluating Derivatives, chapter 3",
        module="panorax.theory.autodiff",
        configs=("theory/autodiff",),
        parts=("panorax.theory.chain_rule", "panorax.theory.derivatives"),
        oracle="jax.jvp and jax.vjp",
        tests=("tests/theory/test_autodiff.py",),
    ),
    Entry(
        id="optimizers",
        title="First-order optimisers from their rules: SGD, momentum, Nesterov, AdaGrad, RMSProp, Adam, AdamW, Lion, Muon, clipping, schedules",
        paper="Loshchilov & Hutter 2019, arXiv:1711.05101; Chen et al. 2023, arXiv:2302.06675; Jordan et al. 2024, Muon",
        module="panorax.theory.optimizers",
        configs=("theory/optimizers",),
        parts=("panorax.theory.update_rules",),
        oracle="optax, step for step",
        tests=("tests/theory/test_optimizers.py",),
    ),
    Entry(
        id="second-order",
        title="Minimisation by curvature: Newton, Newton-CG, BFGS, L-BFGS, trust region; products with Hessian, Gauss-Newton and Fisher matrices",
        paper="Nocedal & Wright, Numerical Optimization; Pearlmutter 1994; Schraudolph 2002",
        module="panorax.theory.second_order",
        configs=("theory/second_order",),
        parts=("panorax.theory.curvature", "panorax.theory.minimisers"),
        oracle="scipy.optimize by the same methods; dense Hessians and Jacobians",
        tests=("tests/theory/test_second_order.py",),
    ),
    Entry(
        id="flat-minima",
        title="Flat and sharp minima: batch size, warmup and SAM at the same training loss",
        paper="Keskar et al. 2017, arXiv:1609.04836; Foret et al. 2021, arXiv:2010.01412; Gilmer et al. 2021, arXiv:2110.04369",
        module="panorax.theory.flat_minima",
        configs=("theory/flat_minima",),
        parts=("panorax.theory.curvature", "panorax.theory.estimates", "panorax.theory.lanczos"),
        oracle="optax's SAM; a bowl whose sharpness is known; steps of gradient descent one by one",
        tests=("tests/theory/test_flat_minima.py",),
    ),
    Entry(
        id="topology",
        title="Topology of data: persistent homology of shapes, digits and the layers of a network; Cover's count of separable dichotomies",
        paper="Bauer 2021, arXiv:1908.02518; Naitzat, Zhitnikov & Lim 2020, arXiv:2004.06093; Cover 1965",
        module="panorax.theory.topology",
        configs=("theory/topology",),
        parts=(
            "panorax.nets.mlp", "panorax.theory.diagrams", "panorax.theory.estimates", "panorax.theory.persistence", "panorax.theory.separability",
            "panorax.theory.shapes", "panorax.theory.untangling",
        ),
        oracle="gudhi, ripser and persim; reduction of all simplices; evenly spaced points on a circle; linear programs for every dichotomy",
        tests=(
            "tests/parity/test_parity_topology.py", "tests/theory/test_topology.py", "tests/theory/test_persistence.py", "tests/theory/test_diagrams.py",
            "tests/theory/test_separability.py", "tests/theory/test_shapes.py", "tests/theory/test_untangling.py",
        ),
    ),
    Entry(
        id="hessian-spectrum",
        title="The spectrum of a network's Hessian by stochastic Lanczos quadrature: negative mass early, outliers and a bulk late",
        paper="Ghorbani, Krishnan & Xiao 2019, arXiv:1901.10159; Sagun et al. 2017, arXiv:1706.04454; Papyan 2019, arXiv:1901.08244",
        module="panorax.theory.hessian_spectrum",
        configs=("theory/hessian_spectrum",),
        parts=("panorax.theory.curvature", "panorax.theory.lanczos"),
        oracle="scipy's eigsh; all eigenvalues of a small network",
        tests=("tests/theory/test_hessian_spectrum.py", "tests/theory/test_lanczos.py"),
    ),
    Entry(
        id="saddle-points",
        title="Saddle points: how few critical points are minima in many dimensions, and how noise leaves the others",
        paper="Bray & Dean 2007; Dauphin et al. 2014, arXiv:1406.2572; Jin et al. 2017, arXiv:1703.00887; Du et al. 2017, arXiv:1705.10412",
        module="panorax.theory.saddle_points",
        configs=("theory/saddle_points",),
        parts=("panorax.theory.perturbed_descent", "panorax.theory.random_fields", "panorax.theory.saddles"),
        oracle="closed forms of shares and indices; quadrature of Kac and Rice's formula by scipy; numpy's eigenvalues",
        tests=(
            "tests/theory/test_saddle_points.py", "tests/theory/test_random_fields.py", "tests/theory/test_perturbed_descent.py",
            "tests/theory/test_saddles.py",
        ),
    ),
    Entry(
        id="natural-gradient",
        title="Natural gradients: exact, sampled and empirical Fisher matrices, and K-FAC for dense and convolutional layers",
        paper="Amari 1998; Martens & Grosse 2015, arXiv:1503.05671; Grosse & Martens 2016, arXiv:1602.01407; Kunstner et al. 2019, arXiv:1905.12558",
        module="panorax.theory.natural_gradient",
        configs=("theory/natural_gradient",),
        parts=("panorax.theory.fisher", "panorax.theory.invariance", "panorax.theory.kfac", "panorax.theory.kfac_training"),
        oracle="curvlinops' K-FAC of a perceptron and of a convolutional net; the block of a linear layer in closed form; dense Jacobians",
        tests=(
            "tests/theory/test_natural_gradient.py", "tests/theory/test_fisher.py", "tests/theory/test_kfac.py", "tests/theory/test_invariance.py",
            "tests/theory/test_kfac_training.py", "tests/parity/test_parity_kfac.py",
        ),
    ),
    Entry(
        id="data-parallel",
        title="Data parallelism: one all-reduce per update, whatever the number of micro-batches; and the same with pmap",
        paper="Li et al. 2020, arXiv:2006.15704",
        module="panorax.scaling.data_parallel",
        configs=("scaling/data_parallel",),
        parts=("panorax.scaling.measures",),
        oracle="the same updates on one device; optax.adam on the gradient of the whole batch",
        tests=("tests/scaling/test_data_parallel.py", "tests/scaling/test_measures.py", "tests/core/test_step.py"),
    ),
    Entry(
        id="tensor-parallel",
        title="Megatron: column- and row-parallel layers, a vocabulary split over devices",
        paper="Shoeybi et al. 2019, arXiv:1909.08053",
        module="panorax.scaling.tensor_parallel",
        configs=("scaling/tensor_parallel",),
        parts=("panorax.ops.attention", "panorax.ops.norms", "panorax.ops.positions", "panorax.scaling.measures"),
        oracle="llama.loss_fn and its gradient on one device",
        tests=("tests/scaling/test_tensor_parallel.py", "tests/scaling/test_measures.py"),
    ),
    Entry(
        id="zero",
        title="ZeRO: optimiser state, gradients and parameters split over data-parallel devices, stage by stage",
        paper="Rajbhandari et al. 2020, arXiv:1910.02054",
        module="panorax.scaling.zero",
        configs=("scaling/zero",),
        parts=("panorax.ops.attention", "panorax.ops.losses", "panorax.scaling.measures"),
        oracle="llama.loss_fn, its gradient and optax.adam on one device; the paper's bytes per parameter",
        tests=("tests/scaling/test_zero.py", "tests/scaling/test_measures.py"),
    ),
    Entry(
        id="llama",
        title="Llama: decoder-only language model with RMSNorm, RoPE, grouped-query attention, SwiGLU",
        paper="Touvron et al. 2023, arXiv:2302.13971, arXiv:2307.09288; Llama 3, arXiv:2407.21783",
        module="panorax.lm.llama",
        configs=("lm/llama", "lm/llama2_7b", "lm/llama2_70b", "lm/llama3_8b"),
        parts=(
            "panorax.interop.hf_config", "panorax.interop.hf_text", "panorax.interop.hf_weights", "panorax.interop.huggingface",
            "panorax.lm.baselines", "panorax.lm.chat", "panorax.lm.corpus", "panorax.lm.gemma", "panorax.lm.generate", "panorax.lm.qwen",
            "panorax.lm.report", "panorax.lm.text", "panorax.lm.tokenizer", "panorax.lm.writing", "panorax.nets.decoder", "panorax.ops.attention",
            "panorax.ops.blockwise", "panorax.ops.dot", "panorax.ops.losses", "panorax.ops.norms", "panorax.ops.positions", "panorax.ops.sampling",
        ),
        oracle="transformers: logits and all gradients of Llama 2 and 3, Mistral, Qwen 2 and 3, Gemma 1 and 2; parameter counts of Llama 2 and 3",
        tests=(
            "tests/parity/test_parity_llama.py", "tests/parity/test_parity_layers.py", "tests/parity/test_parity_sampling.py",
            "tests/parity/test_parity_optim.py", "tests/lm/test_llama.py",
        ),
        parameters=(("lm/llama2_7b", 6_738_415_616), ("lm/llama2_70b", 68_976_648_192), ("lm/llama3_8b", 8_030_261_248)),
    ),
)  # fmt: skip

CONFIGS = tuple(config for entry in CATALOGUE for config in entry.configs)


def entry_of(name: str) -> Entry | None:
    """The entry with this id, or with this config."""
    return next((entry for entry in CATALOGUE if name == entry.id or name in entry.configs), None)
