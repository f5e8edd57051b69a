"""Decisions, pure: for each aggregate a State, `decide` and `evolve`; no clock, no randomness, no I/O."""
