"""HEAD for every route that accepts GET: the same headers without a body."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Answers HEAD as GET, and ends the response after its headers; an event stream would never end."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        ended = asyncio.Event()

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                ended.set()

        async def receive_until_end() -> Message:
            """Return the next message, or a disconnect once the headers are sent."""
            if not ended.is_set():
                received, end = asyncio.ensure_future(receive()), asyncio.ensure_future(ended.wait())
                done, pending = await asyncio.wait({received, end}, return_when=asyncio.FIRST_COMPLETED)
                for task in pending:
                    task.cancel()
                if received in done:
                    return received.result()
            return {"type": "http.disconnect"}

        await self.app({**scope, "method": "GET"}, receive_until_end, send_headers)
