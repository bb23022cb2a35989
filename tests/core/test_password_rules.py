"""New passwords: which are refused, and with which reasons."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.core.password_rules import PasswordRules
from limen.errors import ConfigurationError, WeakPassword

RULES = PasswordRules()


def types(password: str, *context: str, rules: PasswordRules = RULES) -> list[str]:
    return [weakness.type for weakness in rules.weaknesses(password, context=context)]


@pytest.mark.parametrize(
    "password",
    ["correct horse battery staple", "xK9#mQ2v", "        §", "йцукенгшщз-море", "🐎🔋📎🐴🐎🔋📎🐴", "z" * 4096],
)
def test_no_composition_is_asked_for(password: str) -> None:
    assert types(password) == []


@pytest.mark.parametrize("password", ["", "short", "7 chars"])
def test_too_short(password: str) -> None:
    assert "too_short" in types(password)


def test_length_counts_characters_and_not_bytes_or_marks() -> None:
    assert types("e\u0301" * 7) == ["too_short"]
    assert types("e\u0301" * 8) == []
    assert types("🐎" * 8) == []


def test_the_minimum_is_a_setting() -> None:
    strict = PasswordRules(min_length=15)
    assert types("fourteen chars", rules=strict) == ["too_short"]
    assert strict.weaknesses("fourteen chars")[0].msg == "Use at least 15 characters."
    assert types("fifteen chars!!", rules=strict) == []


def test_too_long_is_counted_in_bytes_and_ends_the_matter() -> None:
    assert types("é" * 2048) == []
    assert types("é" * 2049) == ["too_long"]
    assert types("a" * 5000, "a" * 5000) == ["too_long"]
    assert types("a" * 65, rules=PasswordRules(max_bytes=64)) == ["too_long"]


@pytest.mark.parametrize("password", ["password", "Password1", "12345678", "QWERTYUIOP", "iloveyou", "!QAZ2wsx"])
def test_common_passwords_are_refused_in_any_case(password: str) -> None:
    assert types(password) == ["common"]


@pytest.mark.parametrize(
    "password", ["password by the sea", "12345678password9", "password\n12345678", "\npassword\n", "!qaz2wsx\n!qazxsw2"]
)
def test_only_the_entire_password_is_compared_with_the_list(password: str) -> None:
    assert "common" not in types(password)


@pytest.mark.parametrize(
    "password",
    [
        "anna.smith@example.com",
        "Anna.Smith@Example.com",
        "annasmith1",
        "Anna_Smith!",
        "1nnajohn-limen",
        "limen123",
        "LIMEN2026!",
        "limenlimenlimen",
        "annasmith-limen",
    ],
)
def test_derivatives_of_who_and_where_are_refused(password: str) -> None:
    assert types(password, "anna.smith@example.com", "1nnajohn", "limen") == ["context"]


@pytest.mark.parametrize(
    "password",
    [
        "Smith2026!",
        "4nn4sm1th",
        "5M1TH$$$",
        "@nna.$mith",
        "acmebank99",
        "4cm3b4nk",
        "Lovelace!1",
        "ada lovelace",
        "l1m3n123",
    ],
)
def test_parts_of_names_and_their_look_alikes_are_refused(password: str) -> None:
    assert types(password, "anna.smith@acmebank.example", "Ada Lovelace", "limen") == ["context"]


def test_a_text_that_is_no_name_says_nothing_about_a_password() -> None:
    assert types("wonderful", "a wonderful life " * 20) == types("wonderful")


@pytest.mark.parametrize("password", ["my limen is a threshold", "smithereens of glass", "limen-Xk29#mQv7"])
def test_a_long_password_may_mention_them(password: str) -> None:
    assert types(password, "anna.smith@example.com", "1nnajohn", "limen") == []


def test_words_of_under_four_letters_are_passed_over() -> None:
    assert types("bobobobob-bob", "bob", "bob@example.com", "", "@", "...") == []


def test_all_reasons_are_given_at_once() -> None:
    assert types("anna", "anna@example.com") == ["too_short", "common", "context"]


def test_check_raises_the_reasons_as_fields_of_the_body_without_the_password() -> None:
    with pytest.raises(WeakPassword) as refused:
        RULES.check("Password1", field="new_password")
    assert refused.value.data == {
        "errors": [
            {
                "loc": ["body", "new_password"],
                "msg": "This is one of the passwords that attackers try first.",
                "type": "common",
            }
        ]
    }
    assert "Password1" not in str(refused.value)


def test_check_lets_a_good_password_pass() -> None:
    RULES.check("correct horse battery staple", context=["anna@example.com"])


@given(password=st.text(st.characters(exclude_categories=[])), context=st.lists(st.text()))
def test_no_text_ends_in_an_error(password: str, context: list[str]) -> None:
    RULES.weaknesses(password, context=context)


@pytest.mark.parametrize("limits", [{"min_length": 0}, {"max_bytes": 4097}, {"min_length": 65, "max_bytes": 64}])
def test_limits_that_cannot_work_are_refused_at_start(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        PasswordRules(**limits)


def test_the_list_is_read_at_the_first_look_and_not_before() -> None:
    code = """
from limen.core import password_rules
assert password_rules._common_passwords.cache_info().currsize == 0
password_rules.PasswordRules().weaknesses("password")
assert password_rules._common_passwords.cache_info().currsize == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
