"""The providers that the sandbox serves."""

from importlib import import_module
from importlib.util import find_spec

from sandbox.core import Provider

_CLASSES = {"qikli": "Qikli", "quicksms": "QuickSms", "cliqtel": "Cliqtel", "qikberry": "Qikberry"}


def provider_classes() -> list[type[Provider]]:
    return [
        getattr(import_module(f"sandbox.{module}"), name)
        for module, name in _CLASSES.items()
        if find_spec(f"sandbox.{module}")
    ]
