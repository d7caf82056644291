"""Persistent homology of shapes, digits and network layers; Cover's count of dichotomies.

Command: panorax run theory/topology
"""

from panorax.core.claims import Claim
from panorax.theory.topology.study import Config

RINGS = "Naitzat, Zhitnikov & Lim 2020"
CLAIMS = (
    Claim(
        "circle_loops",
        "==",
        1,
        "Adamaszek & Adams 2017: H1 of n evenly spaced points on a circle has one bar",
    ),
    Claim(
        "circle_birth_gap",
        "<",
        1e-12,
        "Adamaszek & Adams 2017: the H1 bar of the circle is born at 2 sin(pi / n)",
    ),
    Claim(
        "circle_death_gap",
        "<",
        1e-12,
        "Adamaszek & Adams 2017: the H1 bar of the circle dies at sqrt 3 if 3 divides n",
    ),
    Claim(
        "circle_hollows",
        "==",
        "circle_hollows_expected",
        "Adamaszek & Adams 2017: n / 3 - 1 bars of H2 of the circle are born at sqrt 3",
    ),
    Claim(
        "eight_betti_1",
        "==",
        2,
        "topology: a figure eight has two loops (over the longest interval of scales)",
    ),
    Claim("sphere_betti_1", "==", 0, "topology: a sphere has no loop"),
    Claim("sphere_betti_2", "==", 1, "topology: a sphere has one void"),
    Claim("torus_betti_1", "==", 2, "topology: a torus has two loops"),
    Claim("torus_betti_2", "==", 1, "topology: a torus has one void"),
    Claim(
        "stability_share_moved",
        "<=",
        1,
        "Chazal, de Silva & Oudot 2014: bottleneck distance <= 2 largest displacement",
    ),
    Claim(
        "stability_share_halved",
        "<=",
        1,
        "Chazal, de Silva & Oudot 2014: bottleneck distance <= 2 Hausdorff distance",
    ),
    Claim(
        "digits_largest_loop_ratio",
        "<",
        2,
        "Bobrowski, Kahle & Skraba 2017: the loops of the digits are noise, with death / birth "
        "near 1",
    ),
    Claim(
        "digits_tree_within_a_class",
        ">",
        0.9,
        "Panorax: 90% of the edges of the digits' spanning tree join two digits of one class",
    ),
    Claim(
        "tanh_betti_data",
        "==",
        6,
        "topology: three rings have three components and three loops, total Betti number 6",
    ),
    Claim(
        "tanh_betti_last",
        "<=",
        3,
        f"{RINGS}: a trained tanh network lowers the total Betti number of a class, here to half",
    ),
    Claim(
        "relu_betti_last",
        "<=",
        3,
        f"{RINGS}: a trained ReLU network lowers the total Betti number of a class, here to half",
    ),
    Claim("tanh_right", ">=", 0.99, f"{RINGS}: a tanh network of width 12 separates linked rings"),
    Claim("relu_right", ">=", 0.99, f"{RINGS}: a ReLU network of width 12 separates linked rings"),
    Claim(
        "narrow_most_right",
        "<",
        1,
        "Olah 2014: no tanh network of width 3 separates linked rings, because it cannot leave R^3",
    ),
    Claim(
        "cover_counts_missed",
        "==",
        0,
        "Cover 1965: C(N, d) dichotomies of 8 points in 1 to 8 dimensions are separable",
    ),
    Claim(
        "cover_largest_z",
        "<",
        4,
        "Cover 1965: C(N, d) / 2^N of random dichotomies are separable (in standard deviations)",
    ),
    Claim(
        "threshold_functions",
        "==",
        1882,
        "Muroga 1971: 1,882 of the 65,536 Boolean functions of 4 bits are linear thresholds",
    ),
    Claim(
        "xor_separable_by_a_line", "==", 0, "Minsky & Papert 1969: XOR is not linearly separable"
    ),
    Claim(
        "xor_separable_with_a_product",
        "==",
        1,
        "Minsky & Papert 1969: XOR is linearly separable once the product of its bits is a feature",
    ),
    Claim(
        "parity_degree",
        "==",
        4,
        "Minsky & Papert 1969: the parity of 4 bits needs the product of all 4 as a feature",
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
