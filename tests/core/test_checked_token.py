"""Checked tokens: the grammar, and that a typo shows without a look-up."""

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.core.checked_token import (
    ALPHABET,
    BODY_LENGTH,
    SCANNER,
    CheckedToken,
    checksum,
    is_token_id,
    prefix_of,
)

PREFIX = "lmk_"
BASE62 = st.sampled_from(ALPHABET)
TOKENS = st.builds(
    CheckedToken,
    st.sampled_from([PREFIX, "lmk_test_", "lmc_"]),
    *(st.text(BASE62, min_size=length, max_size=length) for length in (16, 32)),
)


def test_a_token_is_58_characters_of_one_word():
    token = CheckedToken.mint(PREFIX)
    assert re.fullmatch(r"lmk_[0-9A-Za-z]{54}", token.text)
    assert token.text.startswith(token.shown)
    assert token.shown == f"lmk_{token.id}"
    assert len(token.secret) == 32
    assert is_token_id(token.id)


def test_tokens_do_not_repeat():
    assert len({CheckedToken.mint(PREFIX).id for _ in range(1000)}) == 1000


def test_the_secret_prints_as_nothing_and_is_stored_as_its_digest():
    token = CheckedToken.mint(PREFIX)
    assert token.secret not in repr(token)
    assert len(token.digest) == 32


@given(TOKENS)
def test_what_was_minted_parses_to_itself(token):
    assert CheckedToken.parse(token.text, prefix=token.prefix) == token
    found = SCANNER.search(f'key = "{token.text}";')
    assert found is not None
    assert found[0] == token.text


@given(TOKENS, st.data())
def test_any_single_wrong_character_shows(token, data):
    text = token.text
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(exclude_characters=text[at]))
    assert CheckedToken.parse(text[:at] + other + text[at + 1 :], prefix=token.prefix) is None


@given(TOKENS, st.data())
def test_any_two_neighbours_swapped_show(token, data):
    text = token.text
    at = data.draw(st.integers(len(token.prefix), len(text) - 2))
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    assert swapped == text or CheckedToken.parse(swapped, prefix=token.prefix) is None


@given(TOKENS, st.integers(1, 60))
def test_a_token_cut_or_grown_shows(token, count):
    for text in (token.text[:-count], token.text[count:], token.text + "0" * count, "0" * count + token.text):
        assert CheckedToken.parse(text, prefix=token.prefix) is None


@given(st.text() | st.text(ALPHABET + "_", min_size=50, max_size=70) | st.binary().map(lambda b: b.decode("latin-1")))
def test_nothing_that_is_no_token_raises(text):
    for candidate in (text, PREFIX + text):
        assert CheckedToken.parse(candidate, prefix=PREFIX) is None


@given(TOKENS)
def test_a_token_of_another_kind_or_environment_is_none(token):
    others = {PREFIX, "lmk_test_", "lmc_", "lmk_live_"} - {token.prefix}
    assert all(CheckedToken.parse(token.text, prefix=other) is None for other in others)


@given(st.text(st.characters(max_codepoint=127)))
def test_the_checksum_is_crc_32_in_base_62(text):
    value = 0
    for character in checksum(text):
        value = value * 62 + ALPHABET.index(character)
    assert value == zlib.crc32(text.encode())


def test_the_checksum_has_an_outsider_s_value():
    # The check value of CRC-32/ISO-HDLC for "123456789" is cbf43926, which is 3 45 35 27 22 14 in base 62.
    digits = [3, 45, 35, 27, 22, 14]
    assert sum(digit * 62 ** (5 - at) for at, digit in enumerate(digits)) == 0xCBF43926
    assert checksum("123456789") == "".join(ALPHABET[digit] for digit in digits)


def test_environments_are_part_of_the_prefix():
    assert prefix_of("lmk", "") == "lmk_"
    assert prefix_of("lmk", "test") == "lmk_test_"
    for odd in ("Test", "a_b", "x" * 17, "ä", " "):
        with pytest.raises(ValueError, match="environment"):
            prefix_of("lmk", odd)


def test_the_scanner_finds_tokens_in_a_page_and_nothing_longer():
    tokens = [CheckedToken.mint(prefix).text for prefix in ("lmk_", "lmk_test_", "lmc_")]
    page = f"a={tokens[0]}\n<b>{tokens[1]}</b> {tokens[2]}, lmk_{'x' * (BODY_LENGTH + 1)} lmk_{'x' * (BODY_LENGTH - 1)}"
    assert SCANNER.findall(page) == tokens
