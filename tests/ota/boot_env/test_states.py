"""The 24 values of the environment and the sectors that they are."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.boot_env.states import (
    SECTOR_BYTES,
    SECTORS,
    STATES,
    Bad,
    State,
    agreed,
    decode,
    encode,
    orders,
)

states = st.sampled_from(STATES)
copies = st.sampled_from([*STATES, *Bad])


def test_every_value_has_one_sector_of_its_own():
    assert len(SECTORS) == len(STATES) == 24
    assert {len(sector) for sector in SECTORS} == {SECTOR_BYTES}
    assert all(decode(encode(state)) == state for state in STATES)


@pytest.mark.parametrize("fill", [b"\x00", b"\xff", b"#", b"\n", b"\\"])
def test_empty_sector_is_bad(fill):
    assert decode(fill * SECTOR_BYTES) is Bad.GARBAGE


@pytest.mark.parametrize("size", [0, 256, 511, 513, 1024])
def test_sector_of_another_size_is_bad(size):
    assert decode((encode(State()) * 3)[:size]) is Bad.GARBAGE


def test_copy_that_cannot_be_read_is_bad():
    assert decode(None) is Bad.GARBAGE


@given(states, st.integers(0, SECTOR_BYTES - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(state, at, flip):
    sector = bytearray(encode(state))
    sector[at] ^= flip
    assert isinstance(decode(bytes(sector)), Bad)


@given(states, states, st.integers(0, SECTOR_BYTES))
def test_torn_sector_is_one_of_the_two_values_or_bad_and_can_be_mended(one, two, cut):
    torn = decode(encode(one)[:cut] + encode(two)[cut:])
    assert torn in (one, two, Bad.TORN)


def test_no_mixture_of_two_sectors_is_a_third_value():
    """Whatever bytes of a new and an old sector come together."""
    sectors = {state: encode(state) for state in STATES}
    for one, two in itertools.combinations(STATES, 2):
        pairs = list(zip(sectors[one], sectors[two], strict=True))
        for third in STATES:
            if third not in (one, two):
                made = all(byte in pair for byte, pair in zip(sectors[third], pairs, strict=True))
                assert not made, (one, two, third)


@given(st.binary(min_size=SECTOR_BYTES, max_size=SECTOR_BYTES))
def test_noise_is_garbage(noise):
    assert decode(noise) is Bad.GARBAGE


def test_noise_in_place_of_the_words_is_never_a_value():
    """What a bad flash cell makes of the sector, many times over."""
    chance = random.Random(5)
    for _ in range(5000):
        sector = bytearray(encode(chance.choice(STATES)))
        for _ in range(chance.randrange(1, 9)):
            sector[chance.randrange(SECTOR_BYTES)] = chance.randrange(256)
        found = decode(bytes(sector))
        assert isinstance(found, Bad) or encode(found) == bytes(sector)


def _apply(first, second, writes):
    for one in writes:
        first, second = (one.state, second) if one.copy == 1 else (first, one.state)
    return first, second


@given(copies, copies, states)
def test_orders_make_both_copies_say_what_is_wanted(first, second, wanted):
    assert _apply(first, second, orders(first, second, wanted)) == (wanted, wanted)


@given(copies, copies, states)
def test_a_cut_in_any_write_leaves_the_old_or_the_new_value(first, second, wanted):
    """Also where that write leaves its sector torn."""
    old = agreed(first, second)
    if old is None:
        return
    writes = orders(first, second, wanted)
    for count in range(len(writes) + 1):
        done = _apply(first, second, writes[:count])
        assert agreed(*done) in (old, wanted)
        if count < len(writes):
            torn = (Bad.TORN, done[1]) if writes[count].copy == 1 else (done[0], Bad.TORN)
            assert agreed(*torn) in (old, wanted)


@given(states)
def test_nothing_is_written_where_nothing_changes(state):
    assert orders(state, state, state) == ()
