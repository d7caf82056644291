"""panorax plan: memory and time that a system needs on a cluster, from its shapes."""

import json
from collections.abc import Callable

from panorax.commands import experiment
from panorax.core import config
from panorax.core.errors import UserError
from panorax.core.names import nearest

MOST_DEVICES = 4096  # largest cluster that is tried when a plan does not fit


def add(commands) -> None:
    sub = commands.add_parser_with_config(
        "plan",
        "compute the memory and time that a step needs on a cluster, from shapes alone; "
        "also takes the options of the system's config",
    )
    sub.add_argument("--devices", type=int, default=1, help="number of devices")
    sub.add_argument(
        "--mesh", default="", help="mesh such as fsdp=8,tensor=8; default: fsdp=DEVICES"
    )
    sub.add_argument(
        "--chip", default="h200", help="a100, h100, h200, tpu-v4, tpu-v5e, tpu-v5p or tpu-v6e"
    )
    sub.add_argument("--memory", help="memory per device, such as 80GB; default: the chip's")
    sub.add_argument(
        "--utilisation",
        type=float,
        default=0.4,
        help="share of the chip's peak that a step reaches",
    )
    sub.add_argument("--json", action="store_true", help="print JSON")


def main(args) -> int:
    if args.system is None:
        print(args.parser.format_help())
        return 0 if args.help else 2
    from panorax.engine import plan as plans

    name, _, cfg = experiment.load(args.system)
    cfg = experiment.configured(args, name, cfg)
    implementation = experiment.trainable(name, cfg, "plan")
    if args.chip not in plans.CHIPS:
        hint = nearest(args.chip, plans.CHIPS)
        raise UserError(f"--chip is one of {', '.join(plans.CHIPS)}, got {args.chip!r}{hint}")
    if args.devices < 1:
        raise UserError(f"--devices must be at least 1, got {args.devices}")
    if not 0 < args.utilisation <= 1:
        raise UserError(f"--utilisation must be above 0 and at most 1, got {args.utilisation}")
    planned = plans.report(
        name,
        implementation.system(cfg),
        args.devices,
        args.mesh,
        args.chip,
        _bytes(args.memory),
        args.utilisation,
    )
    if not planned["fits"]:

        def fits(options: list[str], devices: int) -> bool:
            system = implementation.system(config.override(cfg, options))
            needs = plans.plan(system, plans.mesh_of(devices, args.mesh))
            return sum(needs.memory.values()) <= planned["memory"]

        planned["changes"] = _changes(config.leaves(cfg), args, fits)
    print(json.dumps(planned, indent=2) if args.json else plans.shown(planned))
    return 0


def _changes(options: dict, args, fits: Callable[[list[str], int], bool]) -> list[str]:
    """The options that make the plan fit; empty if these changes are not enough.

    The layers are recomputed first, then the batch is split into more micro-batches, and then the
    devices are doubled, unless the user gives a mesh.
    """
    devices = args.devices
    remat = options.get("model.remat", "layers") != "layers"
    first = ["--model.remat", "layers"] if remat else []
    while devices <= (args.devices if args.mesh else MOST_DEVICES):
        changes = [*first, *(["--devices", str(devices)] if devices > args.devices else [])]
        for n in _micro_batches(options):
            split = ["--accumulate", str(n)] if n != options.get("accumulate", 1) else []
            try:
                if fits([*first, *split], devices):
                    return [*changes, *split]
            except UserError:  # the mesh does not divide the micro-batch
                continue
        devices *= 2
    return []


def _micro_batches(options: dict) -> list[int]:
    """The numbers of micro-batches to try: the config's, then every larger divisor of the batch."""
    present = options.get("accumulate", 1)
    if "accumulate" not in options:
        return [present]
    batch = options["batch"]
    return [n for n in range(present, batch + 1) if batch % n == 0]


def _bytes(text: str | None) -> float | None:
    """The number of bytes in a text such as 80GB or 24GiB, None for None."""
    units = {"GB": 1e9, "GiB": 2**30, "MB": 1e6, "MiB": 2**20, "TB": 1e12, "B": 1}
    if text is None:
        return None
    number = text.rstrip("BGMTi")
    try:
        return float(number) * units[text[len(number) :]]
    except (KeyError, ValueError):
        raise UserError(f"--memory {text} is no size: give one such as 80GB or 24GiB") from None
