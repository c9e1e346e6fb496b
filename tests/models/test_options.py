"""What is stored with a campaign for its adapters, and what is ours among it."""

from __future__ import annotations

from models.options import DEFAULT_PARTS, adapter_options, max_parts, stored_options


def test_no_adapter_sees_a_setting_of_ours() -> None:
    stored = stored_options({"entity_id": "7"}, 25)
    assert adapter_options(stored) == {"entity_id": "7"}
    assert max_parts(stored) == 25


def test_a_usual_campaign_stores_nothing_more_than_its_adapters_options() -> None:
    assert stored_options({"entity_id": "7"}, DEFAULT_PARTS) == {"entity_id": "7"}
    assert max_parts({}) == DEFAULT_PARTS
