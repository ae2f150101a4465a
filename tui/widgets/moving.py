"""The keys that move in a report."""

from __future__ import annotations

from textual import events

from tui.widgets.report_rows import ReportRows


class MovingRows(ReportRows, can_focus=True, inherit_bindings=False):
    """A report with a cursor that keys move, by rows, pages and to the ends."""

    def action_down(self) -> None:
        """One row down."""
        self._step(1)

    def action_up(self) -> None:
        """One row up."""
        self._step(-1)

    def action_page_down(self) -> None:
        """One page down."""
        self._step(self._height)

    def action_page_up(self) -> None:
        """One page up."""
        self._step(-self._height)

    def action_half_page_down(self) -> None:
        """Half a page down."""
        self._step(self._height // 2)

    def action_half_page_up(self) -> None:
        """Half a page up."""
        self._step(-(self._height // 2))

    def action_top(self) -> None:
        """To the first row."""
        self._go(0, fixed=True)

    def action_bottom(self) -> None:
        """To the last row, as soon as it is known which that is."""
        if self.total is None:
            self._work(self._bottom(), "bottom")
        else:
            self._go(self.total - 1, fixed=True)

    async def _bottom(self) -> None:
        if self._report is not None:
            await self._count(self._report)
            self._go((self.total or 1) - 1, fixed=True)

    def action_open(self) -> None:
        """Open the job under the cursor."""
        if self.current is not None:
            self._opened(self.current)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move with the wheel."""
        event.stop()
        self._step(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move with the wheel."""
        event.stop()
        self._step(-3)
