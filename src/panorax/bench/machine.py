"""State of the GPU during a comparison."""

import subprocess

FIELDS = (
    "name",
    "driver_version",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "power.draw",
    "power.limit",
    "temperature.gpu",
)
"""what `nvidia-smi --help-query-gpu` explains, with its unit in the value"""


def gpu_state() -> dict[str, str]:
    """FIELDS of the first GPU, such as {"clocks.sm": "1980 MHz", ...}; empty without nvidia-smi."""
    command = ["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    values = map(str.strip, lines.splitlines()[0].split(","))
    return dict(zip(FIELDS, values, strict=True))
