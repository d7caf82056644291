"""panorax play: shows episodes of the policy of a run, as text and as an animated GIF."""

from pathlib import Path

from panorax.commands import experiment
from panorax.core import config, files
from panorax.core.errors import UserError

MILLISECONDS = 50  # of a frame
LINES = 12  # of an episode that are printed from its start and its end


def add(commands) -> None:
    sub = commands.add_parser(
        "play", "show episodes of the policy of a run, as text and as an animated GIF"
    )
    sub.add_argument("run", metavar="RUN", type=experiment.path, help="directory of the run")
    sub.add_argument(
        "--config",
        metavar="FILE.py",
        help="config file that the run was started with, if its system is not part of Panorax",
    )
    sub.add_argument("--episodes", type=int, default=1, help="number of episodes, at most 4")
    sub.add_argument("--seed", type=int, default=0, help="seed of the episodes")
    sub.add_argument(
        "--to", type=experiment.path, help="GIF to write; default: episodes.gif in the run"
    )


def main(args) -> int:
    import jax

    from panorax.engine import run as runs

    if not 1 <= args.episodes <= 4:
        raise UserError(f"--episodes must be 1 to 4, got {args.episodes}")
    if not 0 <= args.seed < 2**31:
        raise UserError(f"--seed must be at least 0 and below 2^31, got {args.seed}")
    experiment.start_jax()
    if args.config:
        experiment.load(args.config)
    cfg = runs.config_of(args.run)
    implementation = config.module_of(cfg)
    system = implementation.system(cfg) if hasattr(implementation, "system") else None
    if system is None or system.play is None:
        raise UserError(f"{args.run} is a run of {implementation.__name__}; play runs of an agent")
    state = runs.restore(args.run, system.init_state)
    episodes = system.play(state, jax.random.key(args.seed))[: args.episodes]
    for i, episode in enumerate(episodes, 1):
        print(f"episode {i}")
        print("\n".join(shortened(episode.lines)))
    if episodes[0].frames is None:
        print("no GIF: this environment's observations cannot be drawn")
        return 0
    path = args.to or args.run / "episodes.gif"
    write_gif(path, [frame for episode in episodes for frame in episode.frames])
    print(f"written to {path}")
    return 0


def shortened(lines: list[str]) -> list[str]:
    """The first and last LINES of `lines`, with a line that counts the others between."""
    left_out = len(lines) - 2 * LINES
    if left_out <= 1:
        return lines
    return [*lines[:LINES], f"... {left_out} more steps", *lines[-LINES:]]


def write_gif(path: Path, frames: list) -> None:
    """Writes RGB images as an animation that repeats. Raises UserError if it cannot be written."""
    from PIL import Image

    first, *rest = [Image.fromarray(frame) for frame in frames]
    with files.writing(path):
        first.save(path, "GIF", save_all=True, append_images=rest, duration=MILLISECONDS, loop=0)
