"""The providers that the sandbox serves."""

from sandbox.cliqtel import Cliqtel
from sandbox.core import Provider
from sandbox.qikberry import Qikberry
from sandbox.qikli import Qikli
from sandbox.quicksms import QuickSms

_CLASSES: tuple[type[Provider], ...] = (Qikli, QuickSms, Cliqtel, Qikberry)


def provider_classes() -> tuple[type[Provider], ...]:
    return _CLASSES
