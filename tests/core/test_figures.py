"""Figures have one style."""

import numpy as np

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
