"""What a picture can do, for type checkers: Plotly has no types of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from os import PathLike


class Figure(Protocol):
    """A `plotly.graph_objects.Figure`, as far as somebody who shows, changes or keeps one needs it."""

    @property
    def data(self) -> tuple[Any, ...]:
        """Its traces."""

    @property
    def layout(self) -> Any:  # noqa: ANN401 - Plotly's
        """Its axes, title and so on."""

    def show(self, renderer: str | None = None, **options: Any) -> None:  # noqa: ANN401
        """Show it in the notebook or in a browser."""

    def add_trace(self, trace: Any, row: Any = None, col: Any = None) -> Self:  # noqa: ANN401
        """Add a trace."""

    def add_scatter(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Add a line or points."""

    def add_bar(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Add bars."""

    def add_histogram(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Add a histogram."""

    def add_box(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Add boxes."""

    def add_violin(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Add violins."""

    def add_heatmap(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Add a heat map."""

    def add_hline(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Add a horizontal line."""

    def add_vline(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Add a vertical line."""

    def add_hrect(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Shade a horizontal band."""

    def add_vrect(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Shade a vertical band."""

    def add_annotation(self, *places: Any, **options: Any) -> Self:  # noqa: ANN401
        """Add words."""

    def update_layout(self, layout: dict[str, Any] | None = None, **changes: Any) -> Self:  # noqa: ANN401
        """Change the layout."""

    def update_traces(self, patch: dict[str, Any] | None = None, **changes: Any) -> Self:  # noqa: ANN401
        """Change its traces."""

    def update_xaxes(self, patch: dict[str, Any] | None = None, **changes: Any) -> Self:  # noqa: ANN401
        """Change its horizontal axes."""

    def update_yaxes(self, patch: dict[str, Any] | None = None, **changes: Any) -> Self:  # noqa: ANN401
        """Change its vertical axes."""

    def to_dict(self) -> dict[str, Any]:
        """It as plain data."""

    def to_json(self, **options: Any) -> str:  # noqa: ANN401
        """It as JSON."""

    def to_html(self, **options: Any) -> str:  # noqa: ANN401
        """It as a page."""

    def write_html(self, file: str | PathLike[str], **options: Any) -> None:  # noqa: ANN401
        """Write it as a page."""

    def write_image(self, file: str | PathLike[str], **options: Any) -> None:  # noqa: ANN401
        """Write it as a picture; needs kaleido."""
