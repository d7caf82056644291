"""Persistent homology of circle, figure eight, sphere, torus and digits, of the layers of a network, and Cover's count of separable dichotomies.

Command: panorax run theory/topology      about 75 seconds on one core
"""

from panorax.core.claims import Claim
from panorax.theory.topology.study import Config

CLAIMS = (
    Claim(
        "circle_loops",
        "==",
        1,
        "Adamaszek & Adams 2017: H1 of points evenly on a circle is one bar",
    ),
    Claim("circle_birth_gap", "<", 1e-12, "born at 2 sin(pi / n)"),
    Claim("circle_death_gap", "<", 1e-12, "and dead at sqrt 3, where 3 divides n"),
    Claim(
        "circle_hollows", "==", "circle_hollows_expected", "where n / 3 - 1 spheres are born in H2"
    ),
    Claim(
        "eight_betti_1",
        "==",
        2,
        "two loops: Betti numbers that hold over the longest interval of scales",
    ),
    Claim("sphere_betti_1", "==", 0, "the sphere has no loop"),
    Claim("sphere_betti_2", "==", 1, "and one hollow"),
    Claim("torus_betti_1", "==", 2, "the torus has two loops"),
    Claim("torus_betti_2", "==", 1, "and one hollow"),
    Claim(
        "stability_share_moved",
        "<=",
        1,
        "Chazal, de Silva & Oudot 2014: bottleneck distance <= 2 largest displacement",
    ),
    Claim("stability_share_halved", "<=", 1, "and <= 2 Hausdorff distance"),
    Claim(
        "digits_largest_loop_ratio",
        "<",
        2,
        "Bobrowski, Kahle & Skraba 2017: noise has loops of death / birth near 1, so have digits",
    ),
    Claim(
        "digits_tree_within_a_class",
        ">",
        0.9,
        "nine of ten edges of the tree that joins all digits keep to a class",
    ),
    Claim("tanh_betti_data", "==", 6, "three rings of a class: three components, three loops"),
    Claim(
        "tanh_betti_last",
        "<=",
        3,
        "Naitzat, Zhitnikov & Lim 2020: training lowers the total Betti number, here to a half at most",
    ),
    Claim("relu_betti_last", "<=", 3, "and of ReLU"),
    Claim("tanh_right", ">=", 0.99, "for it tells linked rings apart"),
    Claim("relu_right", ">=", 0.99, "as does ReLU"),
    Claim(
        "narrow_most_right",
        "<",
        1,
        "Olah 2014: homeomorphisms of R^3 do not unlink: none of width 3 does",
    ),
    Claim(
        "cover_counts_missed",
        "==",
        0,
        "Cover 1965: C(N, d) dichotomies of 8 points in 1 to 8 dimensions, all tried",
    ),
    Claim(
        "cover_largest_z",
        "<",
        4,
        "Cover 1965: shares of random dichotomies, 1/2 at N = 2d, in standard deviations",
    ),
    Claim(
        "threshold_functions",
        "==",
        1882,
        "Muroga 1971: Boolean functions of 4 bits that are linear thresholds, of 65,536",
    ),
    Claim("xor_separable_by_a_line", "==", 0, "Minsky & Papert 1969: XOR is none"),
    Claim("xor_separable_with_a_product", "==", 1, "but for the product of its bits"),
    Claim(
        "parity_degree",
        "==",
        4,
        "Minsky & Papert 1969: the parity of 4 bits needs the product of 4",
    ),
)
ORACLE = (
    "gudhi, ripser and persim; reduction of all simplices; evenly spaced points on a circle; "
    "linear programs for every dichotomy"
)


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    shapes = {"circle": 12, "eight": 20, "sphere": 20, "torus": 20, "digits": 100, "displaced": 2}
    return Config(
        **shapes,
        pairs=1,
        ring=12,
        width=3,
        layers=2,
        steps=5,
        seeds=2,
        bits=2,
        few=4,
        dimensions=(3,),
        trials=10,
    )
