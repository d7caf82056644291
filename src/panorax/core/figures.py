"""The style of all figures.

Panels have one size and a light grid, legends have no frame, and colour-blind readers can
distinguish the colours (Okabe & Ito 2008).

Figures are made without pyplot, so that drawing needs no display and changes no global state.
matplotlib is imported when the first figure is drawn.
"""

from typing import Any

COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")


def panels(columns: int = 1, rows: int = 1, width: float = 4.4, height: float = 3.6, **options):
    """A Figure and the list of its `rows * columns` axes, row by row.

    width, height: size of one panel in inches.  options: passed on to `Figure.subplots`.
    """
    figure = blank(width * columns, height * rows)
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).ravel())
    for ax in axes:
        ax.set_prop_cycle(color=COLORS)
        ax.grid(alpha=0.3)
    return figure, axes


def blank(width: float, height: float):
    """An empty Figure of `width` x `height` inches whose panels are laid out without overlap."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def legends(figure, **options: Any):
    """`figure` with a legend in every panel that has labelled lines; `options` as for `legend`."""
    for ax in figure.axes:
        if ax.get_legend_handles_labels()[0]:
            ax.legend(**{"frameon": False, "fontsize": 9} | options)
    return figure


def pictures(images, columns: int, size: float = 0.8, **options):
    """A Figure of grey or colour images in a grid, without axes.

    images: (N, Y, X) or (N, Y, X, C).  size: side of one image in inches.  options: for `imshow`.
    """
    rows = -(-len(images) // columns)
    figure, axes = panels(columns, rows, size, size)
    for ax in axes:
        ax.set_axis_off()
    for ax, image in zip(axes, images):
        ax.imshow(image, **{"cmap": "gray_r"} | options)
    return figure
