"""What came of the inputs of each attack, counted in all processes of a test run."""

from collections import Counter

import pytest

ATTACKS = pytest.StashKey[dict[str, Counter]]()
"""Counts of outcomes, by the name of the test."""
