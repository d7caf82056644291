"""The roofline of this machine, what its ceilings come from, and every kernel below it.

Command: panorax run hardware/roofline
On a GPU: add --cases gpu --matrix 8192 --arrays 1024,4096,16384,65536,262144,1048576
"""

from panorax.hardware.roofline.study import Config

CLAIMS = ()
ORACLE = "closed forms; enumeration in numpy"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        arrays=(16, 64),
        traffic=1,
        matrix=32,
        lengths=(16, 64),
        products=8,
        warps=50,
        elements=2**10,
        repeats=1,
        cases="small",
    )
