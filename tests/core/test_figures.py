"""Figures have one style."""

import numpy as np
import pytest

from panorax.core import figures


def test_panels_have_the_colours_and_a_size_per_panel():
    figure, axes = figures.panels(3, 2, width=2.0, height=1.0)
    assert len(axes) == 6 and tuple(figure.get_size_inches()) == (6.0, 2.0)
    lines = [axes[0].plot([0, 1])[0].get_color() for _ in figures.COLORS]
    assert tuple(lines) == figures.COLORS


def test_only_panels_with_labelled_lines_have_a_legend():
    figure, (left, right) = figures.panels(2)
    left.plot([0, 1], label="training")
    right.plot([0, 1])
    figures.legends(figure)
    assert left.get_legend() and right.get_legend() is None


def test_pictures_fill_a_grid_row_by_row():
    figure = figures.pictures(np.zeros((5, 8, 8)), columns=3)
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 1, 1, 0]
    assert not any(ax.axison for ax in figure.axes)


def luminance(color):
    """The relative luminance of a colour in hexadecimal."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_of_the_first_lines_differ_in_print():
    """The pale yellow, hardly visible on white, comes last."""
    assert [c for c in figures.COLORS if luminance(c) > 0.75] == [figures.COLORS[-1]]
    assert abs(luminance(figures.COLORS[0]) - luminance(figures.COLORS[1])) > 0.25
    assert len(set(figures.CLASSES)) == figures.class_colors().N == 10


def labelled(**names):
    figure, (ax,) = figures.panels()
    ax.plot([0, 1])
    ax.set(**{"xlabel": "step", "ylabel": "loss (nats)"} | names)
    return figure


def shared():
    figure, (left, right) = figures.panels(2, sharey=True)
    left.set(xlabel="step", ylabel="loss (nats)")
    right.set(xlabel="time (s)")
    return figure


def named():
    figure, (ax,) = figures.panels()
    ax.barh(["adam", "sgd"], [1, 2])
    ax.set(xlabel="error")
    return figure


@pytest.mark.parametrize(
    "draw",
    [labelled, shared, named, lambda: figures.pictures(np.zeros((9, 8, 8)), 3)],
    ids=["labelled", "shared", "named", "pictures"],
)
def test_figures_fit_for_a_paper_have_no_fault(draw):
    assert figures.faults(draw()) == []


@pytest.mark.parametrize(
    "draw, fault",
    [
        (lambda: labelled(xlabel=""), "panel 0 ('') has an axis without a label"),
        (lambda: labelled(ylabel=""), "panel 0 ('') has an axis without a label"),
        (lambda: labelled(title="a title " * 20), "a title is cut"),
        (lambda: figures.panels(4, 2)[0], "8 panels, more than 6"),
    ],
)
def test_faults_are_named(draw, fault):
    assert fault in figures.faults(draw())


def test_overlapping_titles_are_a_fault():
    figure, axes = figures.panels(3)
    for ax in axes:
        ax.set(
            title="a title of more than eight words, which is wider than its panel",
            xlabel="x",
            ylabel="y",
        )
    assert "titles overlap" in figures.faults(figure)
