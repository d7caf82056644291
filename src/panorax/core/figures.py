"""The style of all figures.

Panels have one size and a light grid, legends have no frame, and colour-blind readers can
distinguish the colours: of lines (Okabe & Ito 2008, with the pale yellow last) and of up to ten
classes (Tol 2021, muted).

Figures are made without pyplot, so that drawing needs no display and changes no global state.
matplotlib is imported when the first figure is drawn.
"""

from typing import Any

COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
CLASSES = (
    "#332288",
    "#88CCEE",
    "#44AA99",
    "#117733",
    "#999933",
    "#DDCC77",
    "#CC6677",
    "#882255",
    "#AA4499",
    "#999999",
)


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


def x_ticks(ax, values) -> None:
    """Marks exactly `values` on the x axis, as plain numbers; for few values on a log axis."""
    from matplotlib.ticker import NullLocator

    ax.set_xticks(values, [f"{x:g}" for x in values])
    ax.xaxis.set_minor_locator(NullLocator())


def class_colors():
    """The colormap of class labels 0 to 9."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(CLASSES)


def faults(figure) -> list[str]:
    """The faults that make `figure` unfit for a paper, a line for each.

    It has at most six panels. Every panel with axes has labels on both, unless it shares an axis
    with a labelled panel or its ticks are names. Titles neither leave the figure nor overlap.
    """
    panels = [ax for ax in figure.axes if ax.axison and not hasattr(ax, "_colorbar")]
    faults = [f"{len(panels)} panels, more than 6"] if len(panels) > 6 else []
    for i, ax in enumerate(panels):
        if not (_labels(ax, "x") and _labels(ax, "y")):
            faults.append(f"panel {i} ({ax.get_title()!r}) has an axis without a label")
    figure.draw_without_rendering()
    titles = [ax.title.get_window_extent() for ax in figure.axes if ax.get_title()]
    width = figure.bbox.width + 1
    cut = [box for box in titles if box.x0 < -1 or box.x1 > width]
    overlapping = [a for i, a in enumerate(titles) for b in titles[:i] if a.overlaps(b)]
    return faults + ["a title is cut"] * len(cut) + ["titles overlap"] * len(overlapping)


def _labels(ax, name: str) -> bool:
    """True if the x or y axis of a panel, or of a panel that shares it, has a label or names."""
    shared = getattr(ax, f"get_shared_{name}_axes")().get_siblings(ax)
    names = getattr(ax, f"get_{name}ticklabels")()
    has_names = any(text.get_text()[:1].isalpha() for text in names)
    return has_names or any(getattr(other, f"get_{name}label")() for other in shared)


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
