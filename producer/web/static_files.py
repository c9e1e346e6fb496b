"""Our own script, style and icon. Nothing comes from elsewhere."""

from __future__ import annotations

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from producer.web.render import STATIC


class Assets(StaticFiles):
    """Kept by browsers for a year when asked for by digest, else looked after each time."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        kept = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
        return response


def assets() -> Assets:
    return Assets(directory=STATIC)
