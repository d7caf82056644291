import dataclasses
import json

import jax
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from panorax.configs.generative import flow_matching as digits
from panorax.configs.lm import llama as small_llama
from panorax.configs.rl import ppo

from panorax import cli
from panorax.core.config import module_of
from panorax.engine import plan
from panorax.engine.run import with_shardings
from panorax.lm import language_model
from panorax.nets.decoders import llama
from panorax.parallel.measures import collectives
from panorax.parallel.sharding import make_mesh, mesh_sizes, placement, planned_mesh

SCALARS = 2e-3
"""share of one number per token among the bytes of the activations"""
MODEL = llama.Model(vocab=512, d_model=128, n_layers=4, n_heads=8, n_kv_heads=4, d_ff=256)
LM = dataclasses.replace(small_llama.get_config(), model=MODEL, batch=16, context=128, stride=128)
REMAT = dataclasses.replace(LM, model=dataclasses.replace(MODEL, remat="layers"))
SPLIT = dataclasses.replace(LM, accumulate=4)
WIDE = dataclasses.replace(  # gradients need more memory than activations
    SPLIT,
    context=32,
    stride=32,
    model=dataclasses.replace(MODEL, d_model=256, d_ff=1024, remat="layers"),
)
PPO = dataclasses.replace(ppo.get_config(), n_envs=512)


def compiled(cfg, mesh):
    """The compiled training step on a mesh."""
    system, key = module_of(cfg).system(cfg), jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(system.init_state, key)
    place = placement(system, state, make_mesh(mesh))
    rows = NamedSharding(place.replicated.mesh, PartitionSpec(("data", "fsdp")))
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows), system.batch
    )
    with jax.set_mesh(place.replicated.mesh):
        step = jax.jit(
            system.train_step, donate_argnums=0, out_shardings=(place.state, place.replicated)
        )
        return step.lower(with_shardings(state, place.state), batch, key).compile()


def allocated(cfg, mesh):
    """Memory that the compiler allocates for a training step on each device of a mesh."""
    return compiled(cfg, mesh).memory_analysis()


@pytest.mark.parametrize(
    "cfg, mesh",
    [
        (LM, ""),
        (LM, "fsdp=4"),
        (LM, "fsdp=2,tensor=2"),
        (REMAT, "fsdp=4"),
        (digits.get_config(), "fsdp=4"),
        (SPLIT, "fsdp=4"),
        (WIDE, ""),
        (WIDE, "fsdp=4"),
    ],
)
def test_the_plan_agrees_with_the_allocation_of_the_compiler(cfg, mesh):
    planned, actual = plan.plan(module_of(cfg).system(cfg), mesh_sizes(mesh)), allocated(cfg, mesh)
    held = sum(planned.memory[name] for name in ("parameters", "optimizer", "extra"))
    assert held <= actual.argument_size_in_bytes <= 1.01 * held + 64_000
    assert 0.7 < (sum(planned.memory.values()) - held) / actual.temp_size_in_bytes < 1.3


def test_micro_batches_share_the_activations_and_communicate_for_each():
    whole, split = (
        plan.plan(language_model.system(cfg), mesh_sizes("fsdp=4")) for cfg in (LM, SPLIT)
    )
    assert split.memory["activations"] < 0.4 * whole.memory["activations"]
    assert split.memory["parameters"] == whole.memory["parameters"]
    assert max(split.activations) != max(whole.activations)
    bytes_of_parameters = 4 * whole.memory["parameters"]
    assert whole.communication["gather_parameters"] == 2 * 0.75 * bytes_of_parameters
    assert split.communication["sum_gradients"] == 4 * 0.75 * bytes_of_parameters
    assert split.communication["gather_parameters"] == 4 * whole.communication["gather_parameters"]


def test_the_plan_agrees_with_the_all_reduces_over_tensor():
    """Each device of a ring of n sends 2 (n - 1) / n of the bytes of an all-reduce."""
    cfg = dataclasses.replace(REMAT, accumulate=2)
    exchanged = collectives(compiled(cfg, "tensor=4").as_text())
    assert {c.kind for c in exchanged} == {"all-reduce"}
    planned = plan.plan(language_model.system(cfg), mesh_sizes("tensor=4")).communication
    sent = 1.5 * sum(c.bytes for c in exchanged)
    assert planned["sum_activations"] == pytest.approx(sent, rel=SCALARS)
    stream = 4 * cfg.batch * cfg.context * MODEL.d_model  # bytes of the residual stream
    assert sent == pytest.approx(1.5 * stream * (8 * MODEL.n_layers + 2), rel=SCALARS)


def test_the_plan_says_if_it_does_not_count_the_activations_over_tensor(monkeypatch, capsys):
    command = "plan lm/llama --devices 2 --mesh tensor=2".split()
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "B  sent by each device to sum activations" in out and "not counted" not in out

    def different(whole, part):
        raise ValueError("different sums")

    monkeypatch.setattr(plan, "partial_sums", different)
    assert cli.main(command) == 0
    assert "and activations over tensor, which are not counted" in capsys.readouterr().out


@pytest.mark.parametrize("cfg", [PPO, LM, digits.get_config()], ids=["ppo", "llama", "digits"])
def test_four_devices_share_the_activations(cfg):
    one, four = (allocated(cfg, mesh).temp_size_in_bytes for mesh in ("", "fsdp=4"))
    assert four < 0.4 * one


def test_sharded_parts_shrink_with_the_number_of_devices():
    system = language_model.system(LM)
    one, four, tensor = (plan.plan(system, mesh_sizes(mesh)) for mesh in ("", "fsdp=4", "tensor=4"))
    for kind in ("parameters", "optimizer"):
        assert four.memory[kind] * 4 < 1.05 * one.memory[kind]
    assert tensor.memory["parameters"] * 4 < 1.05 * one.memory["parameters"]


def test_micro_batches_and_recomputation_change_the_operations_as_they_should():
    whole, split, remat = (plan.flops(language_model.system(cfg)) for cfg in (LM, SPLIT, REMAT))
    assert whole == split and 1.2 < remat / whole < 4 / 3


def test_a_planned_mesh_gives_the_shardings_of_a_real_mesh():
    system = language_model.system(LM)
    state = jax.eval_shape(system.init_state, jax.random.key(0))
    real, planned = (
        placement(system, state, mesh).state
        for mesh in (make_mesh("fsdp=2,tensor=2"), planned_mesh(mesh_sizes("fsdp=2,tensor=2")))
    )
    assert jax.tree.map(lambda s: s.spec, real) == jax.tree.map(lambda s: s.spec, planned)


def test_the_command_prints_whether_a_system_fits(capsys):
    command = "plan lm/llama3_8b --devices 64 --memory 80GB --json --batch 64 --accumulate 1"
    assert cli.main(command.split()) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["mesh"] == "fsdp=64" and planned["memory"] == 80e9
    parameters = planned["bytes_per_device"]["parameters"]
    assert parameters == pytest.approx(8_030_261_248 * 4 / 64, rel=1e-3)
    assert planned["footprint"]["cache_bytes_per_token"] == 2 * 32 * 8 * 128 * 2
    assert planned["parameters"] == 8_030_261_248


def test_a_plan_that_does_not_fit_names_options_that_do(capsys):
    wide = "plan lm/llama --model.d-model 512 --batch 64 --memory 400MB"
    assert cli.main(wide.split()) == 0
    text = capsys.readouterr().out
    assert "DOES NOT FIT" in text and "float32[64,128," in text
    changes = text.rpartition("to make it fit: ")[2]
    assert changes.startswith("--model.remat layers --accumulate")
    assert cli.main([*wide.split(), *changes.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fits"]


@pytest.mark.parametrize(
    "args, message",
    [
        ("lm/llama --devices 3 --mesh data=2", "mesh data=2 has 2 devices, --devices is 3"),
        ("lm/llama --devices 3", "splits a batch 3 ways"),
        ("lm/llama --devices 4 --accumulate 8", "has 2 rows of the batch, which accumulate 8"),
        ("lm/llama --chip h10", "tpu-v6e, got 'h10'; did you mean 'h100'?"),
        ("lm/llama --devices 0", "--devices must be at least 1, got 0"),
        ("lm/llama --utilisation 40", "--utilisation must be above 0 and at most 1, got 40.0"),
        ("lm/llama --memory lots", "is no size"),
        ("lm/llama --memory 80", "--memory 80 is no size: give one such as 80GB"),
        ("theory/concentration", "it has no training step"),
        ("lm/llama --model.n-layer 3", "unknown option"),
    ],
)
def test_invalid_options_are_one_line(capsys, args, message):
    assert cli.main(["plan", *args.split()]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
