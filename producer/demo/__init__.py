"""The demonstration: a real campaign through four simulated providers, checked message by message."""
