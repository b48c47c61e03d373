"""The server's routes, put together, and the one that tests control it by."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from support.text_generation import chat, openai, tgi
from support.text_generation.gate import CONTROL, Gate
from support.text_generation.switches import State


def build() -> FastAPI:
    """The application, with switches of its own."""
    state = State()
    app = FastAPI(openapi_url=None)
    app.include_router(tgi.routes(state))
    app.include_router(chat.routes(state))
    app.include_router(openai.routes(state))
    app.add_middleware(Gate, state=state)

    @app.post(CONTROL)
    async def control(request: Request) -> dict[str, Any]:
        """Sets switches and tells what the server has seen."""
        try:
            state.set(await request.json())
        except KeyError as error:
            raise HTTPException(400, f"there is no switch {error}") from None
        return state.seen()

    return app
