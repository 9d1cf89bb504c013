"""Values for hypothesis: any JSON, and bytes that are damaged JSON."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mutator import damage_json

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=12)
)
ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=15,
)
SEEDS = st.integers(0, 2**48)


def damaged(body: bytes) -> st.SearchStrategy[bytes]:
    """``body``, a JSON value, with one to three places replaced, removed or doubled."""
    return SEEDS.map(lambda seed: damage_json(random.Random(seed), body, 1 + seed % 3))
