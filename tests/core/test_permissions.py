"""Permissions: what covers what, what a scope leaves, and which texts are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.core.permissions import (
    MAX_PERMISSION_LENGTH,
    MAX_SCOPE_LENGTH,
    MAX_SCOPE_TOKENS,
    check_permission,
    covering,
    covers,
    covers_any,
    format_scope,
    intersect,
    is_permission,
    minimal,
    parse_scope,
)
from limen.core.roles import Role, check_role
from limen.errors import ConfigurationError, InvalidScope

LONGEST = "a" * MAX_PERMISSION_LENGTH
TOO_LONG = "a:" + "b" * (MAX_PERMISSION_LENGTH - 1)

COVERED = [
    ("items", "items"),
    ("items", "items:read"),
    ("items", "items:write:own"),
    ("items:write", "items:write"),
    ("items:write", "items:write:own"),
    ("items:write:own", "items:write:own"),
    ("items:*", "items"),
    ("items:*", "items:read"),
    ("items:*", "items:write:own"),
    ("items:write:*", "items:write"),
    ("items:write:*", "items:write:own"),
    ("items", "items:*"),
    ("items:*", "items:*"),
    ("*", "*"),
    ("*", "items"),
    ("*", "items:*"),
    ("*", "items:read"),
    ("*", "items:write:own:draft"),
    ("a", "a:b:c:d:e:f:g"),
    ("a:b:c", "a:b:c:d"),
    ("api_keys", "api_keys:create"),
    ("api-keys", "api-keys:create"),
    ("v1.items", "v1.items:read"),
    ("2fa", "2fa:reset"),
    ("_internal", "_internal:read"),
    ("tokens:introspect", "tokens:introspect"),
    ("openid", "openid"),
    (LONGEST, LONGEST),
]

NOT_COVERED = [
    # narrower, elsewhere, the other way round
    ("items:read", "items"),
    ("items:read", "items:*"),
    ("items:read", "items:write"),
    ("items:write:own", "items:write"),
    ("items:read", "*"),
    ("items", "*"),
    ("items", "users:read"),
    ("read", "items:read"),
    ("own", "items:write:own"),
    ("write:own", "items:write:own"),
    # prefixes of text that are not prefixes by segment
    ("item", "items"),
    ("items", "item"),
    ("item", "items:read"),
    ("items", "itemsx"),
    ("items", "itemsx:read"),
    ("items", "items.read"),
    ("items", "items-archive:read"),
    ("items", "items_old"),
    ("items:re", "items:read"),
    ("items:read", "items:reads"),
    ("items:read", "items:read-all"),
    # case
    ("Items", "items"),
    ("items", "Items:read"),
    ("items:read", "items:READ"),
    ("ITEMS", "ITEMS"),
    # blanks and control characters
    ("items ", "items:read"),
    (" items", "items:read"),
    ("items", "items :read"),
    ("items", "items: read"),
    ("items", "items:read "),
    ("items", "items:read\n"),
    ("items\n", "items:read"),
    ("items", "items:\tread"),
    ("items", "items:read\x00"),
    ("items\x00", "items:read"),
    ("items users", "users:read"),
    # empty, and empty segments
    ("", ""),
    ("", "items"),
    ("", "items:read"),
    ("items", ""),
    ("*", ""),
    (" ", " "),
    (":", ":"),
    ("items:", "items:read"),
    ("items:", "items:"),
    ("items", "items:"),
    ("items", "items::read"),
    ("items", ":read"),
    (":items", "items"),
    ("*", "items:"),
    # stars anywhere but alone or last
    ("*:read", "items:read"),
    ("*:*", "items:read"),
    ("**", "items:read"),
    ("*", "**"),
    ("item*", "items:read"),
    ("items*", "items:read"),
    ("items:r*", "items:read"),
    ("items:*:own", "items:write:own"),
    ("items:*:*", "items:write:own"),
    (":*", "items"),
    ("items", "items:*:own"),
    # other grammars
    ("?tems", "items"),
    ("i.ems", "items"),
    ("items/read", "items/read"),
    ("items,users", "users"),
    (".", "."),
    ("-items", "-items"),
    ("items|users", "users"),
    # look-alikes
    ("іtems", "items"),  # CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I  # noqa: RUF001
    ("items", "іtems:read"),  # noqa: RUF001
    ("ｉtems", "items"),  # FULLWIDTH LATIN SMALL LETTER I  # noqa: RUF001
    ("items", "items：read"),  # FULLWIDTH COLON  # noqa: RUF001
    ("items", "items\u200b:read"),
    ("＊", "items"),  # FULLWIDTH ASTERISK  # noqa: RUF001
    ("ıtems", "ıtems"),  # DOTLESS I  # noqa: RUF001
    ("items", "items:re\u0301ad"),
    ("items:١", "items:١"),  # ARABIC-INDIC DIGIT ONE  # noqa: RUF001
    # length
    (TOO_LONG, TOO_LONG),
    ("a", TOO_LONG),
    ("*", "a:" * 60 + "x" * 20_000),
]

segments = st.sampled_from(["a", "b", "ab", "a.b", "_", "7-x"])
names = st.lists(segments, min_size=1, max_size=4).map(":".join)
permissions = names | st.just("*")
spellings = permissions | names.map(lambda name: f"{name}:*")
sets = st.frozensets(spellings, max_size=6)


@pytest.mark.parametrize(("held", "needed"), COVERED)
def test_covers(held: str, needed: str) -> None:
    assert covers(held, needed)
    assert covers_any(frozenset({"other:thing", held}), needed)


@pytest.mark.parametrize(("held", "needed"), NOT_COVERED)
def test_does_not_cover(held: str, needed: str) -> None:
    assert not covers(held, needed)
    assert not covers_any(frozenset({"other:thing", held}), needed)


def test_nothing_held_covers_nothing() -> None:
    assert not covers_any(frozenset(), "items:read")
    assert not covers_any(frozenset(), "*")


def test_long_texts_are_not_remembered() -> None:
    before = covering.cache_info().currsize
    assert not covers_any(frozenset({"*"}), "a" * 1_000_000)
    assert not covers("*", "a" * 1_000_000)
    assert covering.cache_info().currsize == before


@given(permissions)
def test_cover_is_reflexive(one: str) -> None:
    assert covers(one, one)


@given(permissions, permissions, permissions)
def test_cover_is_transitive(wide: str, middle: str, narrow: str) -> None:
    assert covers(wide, narrow) or not (covers(wide, middle) and covers(middle, narrow))


@given(permissions, permissions)
def test_cover_is_antisymmetric(one: str, other: str) -> None:
    assert one == other or not (covers(one, other) and covers(other, one))


@given(spellings, spellings)
def test_both_spellings_mean_the_same(one: str, other: str) -> None:
    assert covers(one, other) is covers(check_permission(one), check_permission(other))


@given(sets, spellings)
def test_covers_any_is_covers_over_the_set(held: frozenset[str], needed: str) -> None:
    assert covers_any(held, needed) is any(covers(each, needed) for each in held)


@given(st.text(max_size=20), st.text(max_size=20))
def test_what_is_no_permission_neither_covers_nor_is_covered(one: str, other: str) -> None:
    assert covers(one, other) <= (is_permission(one) and is_permission(other))
    assert covers("*", one) is is_permission(one)


@pytest.mark.parametrize(
    ("granted", "scopes", "effective"),
    [
        ({"items"}, {"items:read"}, {"items:read"}),
        ({"items:read"}, {"items"}, {"items:read"}),
        ({"items:read"}, {"items:*"}, {"items:read"}),
        ({"items:*"}, {"items"}, {"items"}),
        ({"*"}, {"items:read", "users"}, {"items:read", "users"}),
        ({"items:read", "users"}, {"*"}, {"items:read", "users"}),
        ({"*"}, {"*"}, {"*"}),
        ({"items:read"}, {"items:write"}, set()),
        ({"item"}, {"items:read"}, set()),
        ({"items"}, set(), set()),
        (set(), {"*"}, set()),
        ({"items", "users:read"}, {"items:write", "users"}, {"items:write", "users:read"}),
        ({"items"}, {"items", "items:read"}, {"items"}),
        ({"items:read"}, {"*", "admin"}, {"items:read"}),
        ({"items:read"}, {"openid", "offline_access", "items:read"}, {"items:read"}),
        ({"*"}, {"https://example.com/read", "Items:Read", "items:read"}, {"items:read"}),
        ({"Items", "items:"}, {"*"}, set()),
        ({"Items"}, {"Items"}, set()),
    ],
)
def test_intersect(granted: set[str], scopes: set[str], effective: set[str]) -> None:
    assert intersect(granted, scopes) == effective


@given(sets, sets)
def test_intersect_is_commutative(one: frozenset[str], other: frozenset[str]) -> None:
    assert intersect(one, other) == intersect(other, one)


@given(sets)
def test_intersect_is_idempotent(one: frozenset[str]) -> None:
    assert intersect(one, one) == minimal(one)
    assert intersect(one, {"*"}) == minimal(one)


@given(sets, sets, sets)
def test_intersect_is_associative(one: frozenset[str], two: frozenset[str], three: frozenset[str]) -> None:
    assert intersect(intersect(one, two), three) == intersect(one, intersect(two, three))


@given(sets, sets, spellings)
def test_intersect_covers_exactly_what_both_cover(one: frozenset[str], other: frozenset[str], point: str) -> None:
    assert covers_any(intersect(one, other), point) is (covers_any(one, point) and covers_any(other, point))


@given(sets, spellings)
def test_minimal_keeps_every_right(one: frozenset[str], point: str) -> None:
    assert covers_any(minimal(one), point) is covers_any(one, point)


@given(sets, sets)
def test_intersect_is_canonical_and_minimal(one: frozenset[str], other: frozenset[str]) -> None:
    effective = intersect(one, other)
    assert not [(a, b) for a in effective for b in effective if a != b and covers(a, b)]
    assert all(check_permission(each) == each for each in effective)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [("items", "items"), ("items:*", "items"), ("items:write:*", "items:write"), ("*", "*"), ("a:b:c", "a:b:c")],
)
def test_declared_names_become_canonical(written: str, canonical: str) -> None:
    assert check_permission(written) == canonical


@pytest.mark.parametrize("name", ["", "Items", "items:", "items read", "*:read", "items:*:own", TOO_LONG, None, 7])
def test_malformed_declared_names_are_named(name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_permission(name)
    assert ascii(name) in str(refused.value)


def test_look_alike_letters_are_escaped_in_the_message() -> None:
    with pytest.raises(ConfigurationError, match=r"\\u0456tems:read"):
        check_permission("іtems:read")  # noqa: RUF001


def test_scope_is_split_at_single_spaces() -> None:
    assert parse_scope("items:read users openid") == {"items:read", "users", "openid"}
    assert parse_scope("items:* items:*") == {"items:*"}
    assert parse_scope("https://example.com/read?x=[1] !#~") == {"https://example.com/read?x=[1]", "!#~"}


def test_scope_without_a_value_is_no_scope() -> None:
    assert parse_scope("") == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        " ",
        " items:read",
        "items:read ",
        "items:read  users",
        "items:read\tusers",
        "items:read\nusers",
        "items:read\n",
        "items:read\r\nSet-Cookie: a=b",
        "items:read\x00",
        "items:read\x7f",
        'items:"read"',
        "items\\read",
        "items:re\u0301ad",
        "іtems:read",  # noqa: RUF001
        "items:read\u00a0users",
        "items:read\u2028users",
        "\ud800",
        "a" * (MAX_SCOPE_LENGTH + 1),
        " ".join(["a"] * (MAX_SCOPE_TOKENS + 1)),
        "items:read " * 1_000_000,
    ],
)
def test_malformed_scope_is_refused(text: str) -> None:
    with pytest.raises(InvalidScope) as refused:
        parse_scope(text)
    assert text.strip() == "" or text not in str(refused.value)


def test_scope_at_its_bounds_is_read() -> None:
    assert parse_scope("a" * MAX_SCOPE_LENGTH) == {"a" * MAX_SCOPE_LENGTH}
    assert len(parse_scope(" ".join(f"a{n}" for n in range(MAX_SCOPE_TOKENS)))) == MAX_SCOPE_TOKENS


@given(st.frozensets(spellings, max_size=20))
def test_scope_survives_the_round_trip(scope: frozenset[str]) -> None:
    assert parse_scope(format_scope(scope)) == scope


@given(st.text())
def test_any_text_is_a_scope_or_is_refused(text: str) -> None:
    try:
        tokens = parse_scope(text)
    except InvalidScope:
        return
    assert all(0x21 <= ord(letter) <= 0x7E and letter not in '"\\' for token in tokens for letter in token)


def test_formatted_scope_is_sorted() -> None:
    assert format_scope({"users", "items:read", "*"}) == "* items:read users"
    assert format_scope(frozenset()) == ""


def test_role_holds_its_permissions_canonically() -> None:
    role = Role("editor", ["items:*", "tags:write", "items:*"], description="Writes.", default=True)
    assert role.permissions == {"items", "tags:write"}
    assert role == Role("editor", ("tags:write", "items"), description="Writes.", default=True)
    assert (role.description, role.default) == ("Writes.", True)
    assert not Role("guest", []).default


def test_role_refuses_a_bare_text_of_permissions() -> None:
    with pytest.raises(ConfigurationError, match=r"as a list, \['items:read'\]"):
        Role("member", "items:read")


@pytest.mark.parametrize("name", ["", "Admin", "two words", "a:b", "*", "a\n", "-a", "a" * 65, None])
def test_malformed_role_names_are_named(name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Role(name, [])
    assert ascii(name) in str(refused.value)
    with pytest.raises(ConfigurationError):
        check_role(name)


def test_role_refuses_a_malformed_permission() -> None:
    with pytest.raises(ConfigurationError, match="'items:Read'"):
        Role("member", ["items:Read"])
