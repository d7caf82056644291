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
        parts=(),
        oracle="closed forms through scipy's Gamma function and chi distribution",
        tests=("tests/theory/test_concentration.py",),
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
