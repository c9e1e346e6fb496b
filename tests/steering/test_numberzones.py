"""The fast way to a number's zones says what phonenumbers says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from models.msisdn import Msisdn, zones
from models.numberzones import zones_of

# Reserved ranges: UK, US (several area codes), Germany, France, Australia, Ireland, Sweden, Netherlands; and Russia's
# shape, which has many zones.
_RANGES = (
    "+4477009001##", "+120255501##", "+131255501##", "+121355501##", "+4917139200###", "+336399810##", "+6149157####",
    "+35320915###", "+467406050##", "+3161234567#", "+23320507####", "+790000000##",
)  # fmt: skip
_numbers = st.sampled_from(_RANGES).flatmap(
    lambda shape: st.integers(0, 9999).map(lambda n: shape.replace("#", "") + f"{n:04}"[-shape.count("#") :])
)


@settings(max_examples=300, deadline=None)
@given(_numbers)
def test_the_fast_way_agrees_with_phonenumbers(number: str) -> None:
    assert zones_of(number) == zones(Msisdn(number))


def test_a_caribbean_mobile_has_the_zone_of_its_area_code() -> None:
    assert zones_of("+18765550123") == ("America/Jamaica",)


def test_freephone_belongs_to_every_zone_of_its_country_code() -> None:
    assert {"America/New_York", "Pacific/Honolulu"} <= set(zones_of("+18005550123"))


def test_a_number_of_no_country_has_no_zone() -> None:
    assert zones_of("+999123456789") == ()
