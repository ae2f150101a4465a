"""The terminal application: its screens, the state of the engine, messages, and what leaves it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# Textual reads these when it is imported.
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
# A change is painted a frame after the loop has come to rest.
os.environ.setdefault("TEXTUAL_FPS", "200")
os.environ.setdefault("TEXTUAL_THEME", "ansi-dark")
# A slow line may part the bytes of an arrow key by more than the default of 100 ms.
os.environ.setdefault("ESCDELAY", "250" if "SSH_CONNECTION" in os.environ else "100")

from rich.text import Text
from textual import events
from textual.filter import LineFilter
from textual.reactive import var
from textual.widgets import Input

from core.errors import JobdeckError
from tui import clipboard, outside, rooms
from tui.actions import actions, bindings, bound
from tui.dialogs import CONFIRM, Choice
from tui.drawing import Drawn
from tui.encoding import Encodable
from tui.hangup import when_gone
from tui.keymap import keymap_file, load
from tui.keys import OrderedKeys
from tui.screens.base import DeckScreen
from tui.screens.report import ReportScreen
from tui.widgets.bars import Said, engine_words, notice
from tui.words import unicode_output
from tui.work import begin

if TYPE_CHECKING:
    from core.automation import Automation, EngineState
    from core.diff import Diff
    from core.opening import Opening
    from tui.screens.diff import Version

BEAT = 1.0
"""Seconds between two looks at the engine."""
RECIPES_EVERY = 3
"""Every so many beats the recipes' files are looked at."""
LEFT = 20
"""Batches, the newest, of which it is told at the start that they have not ended."""
TWICE = 2.0
"""Seconds within which a second Ctrl+C quits."""
LAST_WORDS = 3.0
"""Seconds that are left to put the terminal right after a signal."""
READ = 1.0
"""Seconds that a message is shown at least, however fast one types or goes to another screen."""
STAYS = 5.0
"""Seconds after which the next key takes away what is no error."""
SHORT = 60
"""Characters that a message repeats of what was copied."""
LOG = 500
"""Messages that are kept."""


class JobdeckApp(OrderedKeys, Drawn, inherit_bindings=False):
    """The terminal on one workspace."""

    CSS_PATH = Path(__file__).with_name("app.tcss")
    TITLE = "Jobdeck"
    COMMANDS = {rooms.palette}
    BINDINGS = [*bindings("global")]
    MODES = {"jobs": ReportScreen, "recipes": rooms.recipes, "activity": rooms.activity, "errors": rooms.errors}
    DEFAULT_MODE = "jobs"

    # Screens watch these; the application itself has nothing to paint.
    engine_state: var[EngineState | None] = var(None)
    recipe_notice: var[str] = var("")
    said: var[Said] = var(Said(""))

    def __init__(self, automation: Automation | Opening) -> None:
        super().__init__()
        self.theme = os.environ.get("TEXTUAL_THEME", "ansi-dark")
        self.automation = automation
        self.keymap = load()
        self.messages: deque[Said] = deque(maxlen=LOG)
        self._said_at = 0.0
        self._encodable = [] if unicode_output() else [Encodable()]
        self._beats = 0
        self._beating = False
        self._interrupted = float("-inf")

    def on_mount(self) -> None:
        """Watch the engine, and end tidily when told to."""
        self.screen_change_signal.subscribe(self, lambda _: self._take_away(READ), immediate=True)
        self.app_resume_signal.subscribe(self, lambda _: self.draw_anew(), immediate=True)
        self._take_keymap()
        for problem in self.keymap.problems:
            self.say(f"{keymap_file().name}: {problem}", error=True)
        self.set_interval(BEAT, self._beat)
        self._beat()
        if threading.current_thread() is threading.main_thread() and not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGHUP, signal.SIGTERM):
                loop.add_signal_handler(number, self._end_on, number)
            if sys.__stdin__ is not None:
                when_gone(sys.__stdin__.fileno(), lambda: loop.call_soon_threadsafe(self._end_on, signal.SIGHUP))

    def _end_on(self, number: signal.Signals) -> None:
        # The terminal may be gone and writing to it hang: the process ends all the same.
        watchdog = threading.Timer(LAST_WORDS, os._exit, [128 + number])
        watchdog.daemon = True
        watchdog.start()
        self.exit(return_code=128 + number)

    def _settle(self) -> None:
        """Take what the start has made out of the garbage collector's sight: it lives as long as the process, and a
        full collection would look through it, and hold the event loop, for 40 ms."""
        if not self.is_headless:
            gc.freeze()
            gc.enable()

    # What it draws

    def refresh_css(self, animate: bool = True) -> None:
        """Read the styles anew if a colour changed: Textual calls this at the first screen of every mode."""
        before = self.theme_variables
        if self.get_css_variables() != before:
            super().refresh_css(animate)

    def action_command_palette(self) -> None:
        """Find an action by its name."""
        from tui.palette import Palette

        if not Palette.is_open(self):
            self.push_screen(Palette())

    def on_command_palette_opened(self) -> None:
        """Keep the palette's cursor from blinking: idle, nothing is written."""
        self.screen.query_one(Input).cursor_blink = False

    def on_resize(self) -> None:
        """Draw all: what a terminal shows that was resized is not known, even if it has its old size again."""
        self.draw_anew()
        self.refresh(layout=True)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return Textual's filters of what is written, and one for what the terminal's encoding lacks."""
        return [*super().get_line_filters(), *self._encodable]

    def _take_keymap(self) -> None:
        self.set_keymap({id: bound(keys) for id, keys in self.keymap.keys.items()})
        for action in actions("global"):
            # It has no binding of its own that could be given another key.
            if not action.keys and action.id in self.keymap.keys:
                self.bind(bound(self.keymap.keys[action.id]), action.id, description=action.label, show=False)

    # What it tells

    def say(self, text: str, error: bool = False) -> None:
        """Show `text` in the message line and keep it in the message log."""
        said = Said(text, error)
        self.messages.append(said)
        if not (self.accessible and self.said.error and not error):
            self.said, self._said_at = said, time.monotonic()

    async def on_event(self, event: events.Event) -> None:
        """Take a message that was read away with the next key; an error that lasts is told again by who looks again.

        For a screen reader it stays until Esc, which then does nothing else.
        """
        if isinstance(event, events.Key) and not event.is_forwarded:
            if self.accessible and self.said.text:
                if event.key == "escape":
                    self.said = Said("")
                    return
            else:
                self._take_away(READ if self.said.error else STAYS)
        await super().on_event(event)

    def _take_away(self, shown: float) -> None:
        """Take the message away if it was shown for so many seconds; for a screen reader only Esc does."""
        if not self.accessible and self.said.text and time.monotonic() - self._said_at >= shown:
            self.said = Said("")

    def notify(self, message: str, **options: object) -> None:
        """Show in the message line what Textual itself has to say, never parsed as markup."""
        self.say(message, error=options.get("severity") == "error")

    def _beat(self) -> None:
        if not self._beating:
            self._beating = True
            self.run_worker(self._look, group="beat")

    async def _look(self) -> None:
        try:
            # Asked for in the thread: it may still be opened.
            self.engine_state = await asyncio.to_thread(lambda: self.automation.engine())
            if not self._beats:
                await asyncio.to_thread(rooms.load)
                self._settle()
                from tui.batch_lines import told_batches

                if left := told_batches(await asyncio.to_thread(self.automation.batches.all, LEFT)):
                    self.say(left)
            if self._beats % RECIPES_EVERY == 0:
                self.recipe_notice = notice(await asyncio.to_thread(self.automation.recipes))
            self._beats += 1
        except JobdeckError as error:
            self.say(str(error), error=True)
        finally:
            self._beating = False

    # Where it goes

    def open_job(self, job_id: int, version: int | None = None, step: str | None = None) -> None:
        """Open a job's detail: the latest version, unless one is named; at the step of a path, if one is given."""
        from tui.screens.detail import DetailScreen

        self.push_screen(DetailScreen(job_id, version, step))

    def open_history(self, job_id: int) -> None:
        """Open a job's versions."""
        from tui.screens.history import HistoryScreen

        self.push_screen(HistoryScreen(job_id))

    def open_diff(
        self, job_id: int, versions: tuple[Version, Version] | None = None, made: Diff | None = None
    ) -> None:
        """Open what differs between two versions, or is `made` already; without either, see `DiffScreen`."""
        from tui.screens.diff import DiffScreen

        self.push_screen(DiffScreen(job_id, versions, made))

    def action_screen_jobs(self) -> None:
        """Go to the jobs."""
        self._go("jobs")

    def action_screen_recipes(self) -> None:
        """Go to the recipes."""
        self._go("recipes")

    def action_screen_activity(self) -> None:
        """Go to the bulk reruns."""
        self._go("activity")

    def action_screen_errors(self) -> None:
        """Go to the errors."""
        self._go("errors")

    def _go(self, mode: str) -> None:
        from tui.screens.help import HelpScreen

        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        self.switch_mode(mode)

    def action_help(self) -> None:
        """Show the keys of what has the focus."""
        from tui.screens.help import HelpScreen

        screen = self.screen
        if isinstance(screen, DeckScreen) and not isinstance(screen, HelpScreen):
            off = {action.id: why for action in actions(screen.WHERE) if (why := screen.blocked(action.id))}
            self.push_screen(HelpScreen(screen.place(), screen.offered(), off))

    def action_audit(self) -> None:
        """Show who did what."""
        from tui.screens.audit import AuditScreen

        self.push_screen(AuditScreen())

    def action_messages(self) -> None:
        """Show all that was told."""
        from tui.screens.messages import MessagesScreen

        if not isinstance(self.screen, MessagesScreen):
            self.push_screen(MessagesScreen())

    def action_redraw(self) -> None:
        """Draw the whole screen anew."""
        self.draw_anew()
        self.screen.refresh(layout=True)

    def action_interrupt(self) -> None:
        """Quit when pressed twice."""
        now = time.monotonic()
        if now - self._interrupted < TWICE:
            self.exit()
        else:
            self._interrupted = now
            self.say("Ctrl+C again quits")

    # The engine

    def action_engine(self) -> None:
        """Ask, and start or stop the engine."""
        screen = self.screen
        if isinstance(screen, DeckScreen) and self.engine_state is not None:
            screen.act(self._engine(screen, self.engine_state))

    async def _engine(self, screen: DeckScreen, state: EngineState) -> None:
        verb, lines = ("stop", _STOPPING) if state.running else ("start", _STARTING)
        now = f" ({engine_words(state)})" if state.running else ""
        head = Text(f"{verb.capitalize()} the engine?{now}", style="bold")
        if await screen.ask([head, *map(Text, lines)], Choice(CONFIRM, f"{verb} it")) is None:
            return
        self.say(f"the engine is asked to {verb}")
        change = self.automation.stop_engine if state.running else self.automation.start_engine
        self.engine_state = await asyncio.to_thread(change)
        self.say(engine_words(self.engine_state))

    # What leaves it

    def copy(self, *pieces: str, name: str = "") -> None:
        """Put a text on the clipboard and say which way it went; with a name, that is told in its stead."""
        begin(self, self._copy(pieces, name or "".join(pieces)), "copy")

    async def _copy(self, pieces: Sequence[str], name: str) -> None:
        folder = Path(self.automation.workspace, ".jobdeck")
        way = await asyncio.to_thread(clipboard.copy, pieces, self.put_raw, folder)
        self.say(f"copied {_named(name)} {way}")

    def edit(self, path: Path, line: int | None = None) -> str | None:
        """Open a file in the editor, at a line if one is given, wait, and return what went wrong, or None."""
        return outside.edit(self, path, line)

    def page(self, text: bytes) -> str | None:
        """Show `text`, safe on a terminal and in UTF-8, in the pager, wait, and return what went wrong, or None."""
        return outside.page(self, text)


def _named(text: str) -> str:
    return text if len(text) <= SHORT and "\n" not in text else f"{len(text.encode('utf-8', 'replace')):,} bytes"


_STOPPING = ("  It finishes the jobs that run, then stops. Queued jobs wait for the next engine.",)
_STARTING = ("  It runs as a process of its own and goes on when this terminal is closed.",)
