"""All figures have one style."""

import numpy as np

from panorax.core import figures


def test_panels_have_the_requested_grid_and_size():
    figure, axes = figures.panels(columns=3, rows=2, width=2, height=1.5)
    assert len(axes) == 6 and figure.axes == axes
    np.testing.assert_array_equal(figure.get_size_inches(), [6, 3])


def test_lines_take_the_colours_in_order():
    _, (ax,) = figures.panels()
    assert [ax.plot([0, 1])[0].get_color() for _ in figures.COLORS] == list(figures.COLORS)


def test_only_panels_with_labelled_lines_have_a_legend():
    figure, (left, right) = figures.panels(2)
    left.plot([0, 1], label="line")
    right.plot([0, 1])
    figures.legends(figure)
    assert left.get_legend() is not None and right.get_legend() is None


def test_pictures_show_each_image_without_axes():
    figure = figures.pictures(np.zeros((5, 4, 4)), columns=3)
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 1, 1, 0]
    assert not any(ax.axison for ax in figure.axes)
