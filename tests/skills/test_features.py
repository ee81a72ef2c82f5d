"""The feature cache: sixty seconds, an age with everything, bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.skills.features import TTL_NS, FeatureCache


def test_feature_lives_sixty_seconds():
    cache = FeatureCache[str]()
    cache.put("part", "red", 0)
    assert cache.get("part", TTL_NS - 1) is not None
    assert cache.get("part", TTL_NS) is None


def test_feature_comes_with_its_age():
    cache = FeatureCache[str]()
    cache.put("part", "red", 1_000)
    found = cache.get("part", 5_000)
    assert found is not None
    assert found.age_ns(5_000) == 4_000


def test_feature_from_the_future_is_gone():
    cache = FeatureCache[str]()
    cache.put("part", "red", 1_000)
    assert cache.get("part", 999) is None


def test_zero_life_is_refused():
    with pytest.raises(ValueError, match="ttl_ns 0"):
        FeatureCache[str](ttl_ns=0)


@given(puts=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 10**12)), max_size=60))
def test_cache_never_holds_more_than_its_capacity_nor_anything_dead(puts):
    cache = FeatureCache[int](capacity=4)
    now_ns = 0
    for key, gap_ns in puts:
        now_ns += gap_ns
        cache.put(key, now_ns, now_ns)
        found = cache.get(key, now_ns)
        assert found is not None
        assert found.value == now_ns
        assert len(cache) <= 4
    cache.sweep(now_ns + TTL_NS)
    assert len(cache) == 0
