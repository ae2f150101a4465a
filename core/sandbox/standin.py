"""The app behind every stand-in: reads a request, acts and logs in one transaction, then answers or does not."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from core.sandbox.calls import Answer, Call, Refused, Rows, Unread, call_of, gone, hold, response, route
from core.sandbox.faults import OWN, Fault, Faults
from core.sandbox.kept import Kept
from core.sandbox.refusals import no_endpoint, unreadable
from core.sandbox.serve import DROP


class StandIn:
    """What all stand-ins do alike; each says what it serves, who is let in, and how it words its refusals."""

    api: Rows = ()
    own: Rows = OWN
    """The sandbox's own endpoints: nobody signs in for them, no fault hits them, and the log is without them."""
    state: Kept

    def __init__(self, clock: Callable[[], float]) -> None:
        self.faults = Faults()
        self._clock = clock

    # What each has of its own

    def admitted(self, call: Call) -> dict[str, str]:
        """Refuses who is not signed in and who asks too often; gives headers for the answer."""
        raise NotImplementedError

    def faulty(self, fault: Fault, status: int) -> Answer:
        """The refusal that a fault stands for."""
        raise NotImplementedError

    def unread(self, unread: Unread) -> Refused:
        """The refusal of a body that is no JSON."""
        raise NotImplementedError

    def nowhere(self) -> Refused:
        """The refusal of an address that there is not."""
        raise NotImplementedError

    def place(self, call: Call) -> str:
        """The path that the handlers are looked up by."""
        return call.raw

    # What they do alike

    def app(self) -> Starlette:
        """The ASGI app; to be served once, for its state is closed with it."""

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            yield
            self.state.close()

        return Starlette(routes=[Route("/{path:path}", self)], lifespan=lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            call = await call_of(Request(scope, receive), self._clock())
        except ClientDisconnect:
            return  # half a request: there is nothing to act on and nobody to tell
        if call.path.startswith("/sandbox/"):
            await response(self._own(call), call.now)(scope, receive, send)
            return
        fault = self.faults.take(call)
        answer = self._acted(call, fault)
        await hold(receive, fault.delay_ms / 1000)
        if answer is None or fault.drop:
            scope["extensions"][DROP]()
            await gone(receive)
        else:
            await response(answer, call.now)(scope, receive, send)

    def _own(self, call: Call) -> Answer:
        found = route(self.own, call.method, call.raw)
        try:
            if found is None:
                return no_endpoint().answer
            with self.state.transaction():
                return found[0](self, call, **found[1])
        except Refused as refused:
            return refused.answer
        except Unread as unread:
            return unreadable(unread).answer

    def _acted(self, call: Call, fault: Fault) -> Answer | None:
        """What the request comes to, its effect and its line in the log committed; None when it is not to be done."""
        # No await in here: requests are taken one after the other, so a check holds until the write it is for.
        with self.state.transaction():
            answer = self._answered(call, fault)
            self.state.note_request(call, answer.status if answer else None, fault.drop)
        return answer

    def _answered(self, call: Call, fault: Fault) -> Answer | None:
        if fault.drop == "before":
            return None
        if fault.status is not None:
            return self.faulty(fault, fault.status)
        return self._served(call)

    def _served(self, call: Call) -> Answer:
        headers: dict[str, str] = {}
        try:
            found = route(self.api, call.method, self.place(call))
            if found is None:
                raise self.nowhere()
            headers = self.admitted(call)
            answer: Answer = found[0](self, call, **found[1])
        except Refused as refused:
            answer = refused.answer
        except Unread as unread:
            answer = self.unread(unread).answer
        return Answer(answer.status, answer.body, {**headers, **answer.headers})
