"""Routes of the wizard: pages whose draft may have become a campaign, or not be so far yet."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response

from producer.web.guard import PageRoute, UploadRoute
from producer.web.wizard.flow import Elsewhere, away

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def _led(handler: Handler) -> Handler:
    async def enter(request: Request) -> Response:
        try:
            return await handler(request)
        except Elsewhere as elsewhere:
            return away(elsewhere.url)

    return enter


class WizardRoute(PageRoute):
    def checked(self, handler: Handler) -> Handler:
        return _led(super().checked(handler))


class WizardUpload(UploadRoute):
    def checked(self, handler: Handler) -> Handler:
        return _led(super().checked(handler))


def wizard_router(route: type[WizardRoute] | type[WizardUpload] = WizardRoute) -> APIRouter:
    return APIRouter(route_class=route, include_in_schema=False)
