"""Which words of the providers mean that a person said no: the reason to suppress a number for good."""

from __future__ import annotations

import pytest

from providers.base import FailureClass
from providers.qikberry_codes import BY_NAME, OPT_OUTS
from providers.qikberry_codes import failure_of as qikberry_failure
from providers.qikli_codes import ERRORS, OPT_OUT_ERRORS, OPT_OUT_STATUSES, STATUSES
from providers.qikli_codes import failure_of as qikli_failure
from providers.quicksms_codes import V1_OPT_OUTS, V1_SUBSTATUS


def test_every_opt_out_code_is_a_known_one_about_the_recipient() -> None:
    assert {STATUSES[number].klass for number in OPT_OUT_STATUSES} == {FailureClass.RECIPIENT}
    assert {ERRORS[number].klass for number in OPT_OUT_ERRORS} == {FailureClass.RECIPIENT}
    assert {BY_NAME[name].klass for name in OPT_OUTS} == {FailureClass.RECIPIENT}
    assert {V1_SUBSTATUS[number][0] for number in V1_OPT_OUTS} == {FailureClass.RECIPIENT}


@pytest.mark.parametrize(("number", "expected"), [(10, True), (52, False), (14, False), (9, False)])
def test_qiklis_register_is_an_opt_out_and_a_dead_number_is_none(number: int, expected: bool) -> None:
    group = STATUSES[number].groups[0]
    failure = qikli_failure({"groupId": group, "id": number})
    assert failure is not None
    assert failure.opt_out is expected


def test_a_status_that_contradicts_its_group_suppresses_nobody() -> None:
    failure = qikli_failure({"groupId": 4, "id": 10})
    assert failure is None or not failure.opt_out


@pytest.mark.parametrize(("number", "expected"), [(603, True), (2050, True), (1, False), (27, False)])
def test_qiklis_error_explains_a_failure_and_may_be_an_opt_out(number: int, expected: bool) -> None:
    failure = qikli_failure({"groupId": 2, "id": 9}, {"groupId": 1, "id": number})
    assert failure is not None
    assert failure.opt_out is expected


def test_an_opt_out_the_provider_calls_passing_is_none() -> None:
    failure = qikli_failure({"groupId": 2, "id": 9}, {"groupId": 1, "id": 603, "permanent": False})
    assert failure is not None
    assert not failure.opt_out


@pytest.mark.parametrize(
    ("name", "expected"), [("OPTOUT-REJ", True), ("DNDNUMB", True), ("BLACKLST", True), ("INV-NUMBER", False)]
)
def test_qikberrys_words_for_no(name: str, expected: bool) -> None:
    failure = qikberry_failure(BY_NAME[name])
    assert failure is not None
    assert failure.opt_out is expected
