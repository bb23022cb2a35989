"""Where keys may be fetched from, and for how long they are fresh."""

import pytest

from limen.core.discovery import check_issuer, check_url, is_exposed, keys_url, lifetime, metadata_urls, origin
from limen.errors import ConfigurationError

ISSUER = "https://id.example.com/auth"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://id.example.com", ("https", "id.example.com", 443)),
        ("https://ID.example.com:443/x", ("https", "id.example.com", 443)),
        ("http://localhost:8000/auth", ("http", "localhost", 8000)),
        ("http://[::1]:8000/auth?p=1", ("http", "::1", 8000)),
    ],
)
def test_the_origin_of_a_url(url, expected):
    assert origin(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "id.example.com",
        "//id.example.com/keys",
        "ftp://id.example.com",
        "javascript:alert(1)",
        "https://",
        "https:///keys",
        "https://a@b/keys",
        "https://a:b@c/keys",
        "https://id.example.com\\@evil.example.com/keys",
        "https://id.example.com\\.evil.example.com/keys",
        "https://id.example.com /keys",
        "https://id.example.com/\nkeys",
        "https://id.example.com/keys#x",
        "https://id.example.com:99999/keys",
        "https://id.éxample.com/keys",
        "https://id.example.com:/keys",
        "HTTPS://id.example.com",
        "https://id.example.com/" + "x" * 2048,
        None,
        7,
        ["https://id.example.com"],
    ],
)
def test_what_parsers_could_read_in_two_ways_is_no_url(url):
    with pytest.raises(ValueError, match=r"URL|range"):
        origin(url)


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        (
            "https://id.example.com",
            (
                "https://id.example.com/.well-known/oauth-authorization-server",
                "https://id.example.com/.well-known/openid-configuration",
            ),
        ),
        (
            "https://id.example.com/",
            (
                "https://id.example.com/.well-known/oauth-authorization-server",
                "https://id.example.com/.well-known/openid-configuration",
            ),
        ),
        (
            "https://id.example.com/realms/a",
            (
                "https://id.example.com/.well-known/oauth-authorization-server/realms/a",
                "https://id.example.com/realms/a/.well-known/openid-configuration",
            ),
        ),
    ],
)
def test_metadata_is_where_the_two_standards_put_it(issuer, expected):
    """RFC 8414 §3.1 inserts, OpenID Connect Discovery §4 appends."""
    assert metadata_urls(issuer) == expected


def test_keys_on_the_issuers_origin_are_taken():
    for url in ("https://id.example.com/keys", "https://id.example.com:443/keys?v=2", "https://ID.EXAMPLE.COM/keys"):
        assert keys_url({"issuer": ISSUER, "jwks_uri": url}, issuer=ISSUER) == url


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"issuer": ISSUER},
        {"jwks_uri": "https://id.example.com/keys"},
        {"issuer": ISSUER + "/", "jwks_uri": "https://id.example.com/keys"},
        {"issuer": ISSUER.upper(), "jwks_uri": "https://id.example.com/keys"},
        {"issuer": [ISSUER], "jwks_uri": "https://id.example.com/keys"},
        {"issuer": ISSUER, "jwks_uri": "http://id.example.com/keys"},
        {"issuer": ISSUER, "jwks_uri": "https://id.example.com:8443/keys"},
        {"issuer": ISSUER, "jwks_uri": "https://id.example.com.evil.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "https://evil.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "/keys"},
        {"issuer": ISSUER, "jwks_uri": None},
    ],
)
def test_metadata_cannot_send_us_elsewhere(metadata):
    with pytest.raises(ValueError, match=r"issuer|origin|URL"):
        keys_url(metadata, issuer=ISSUER)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 300),
        (["public"], 300),
        (["max-age=120"], 120),
        (["public, Max-Age=120, must-revalidate"], 120),
        (["max-age=0"], 60),
        (["max-age=31536000"], 600),
        (["max-age=99999999999999999999"], 300),
        (["max-age=-5"], 300),
        (["max-age=500", "max-age=100"], 100),
        (["max-age=600, no-cache"], 60),
        (["no-store"], 60),
        (["s-maxage=120"], 300),
    ],
)
def test_keys_are_fresh_for_a_minute_at_least_and_ten_at_most(headers, seconds):
    assert lifetime(headers) == seconds


@pytest.mark.parametrize("issuer", ["https://id.example.com?x=1", "https://id.example.com/#a", "id.example.com"])
def test_an_issuer_is_a_url_without_query_or_fragment(issuer):
    with pytest.raises(ConfigurationError, match="TrustedIssuer"):
        check_issuer(issuer)


def test_a_url_is_checked_where_it_is_configured():
    assert check_url("https://id.example.com/keys?p=policy", of="x") == "https://id.example.com/keys?p=policy"
    with pytest.raises(ConfigurationError, match="jwks_url"):
        check_url("id.example.com", of="jwks_url")


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("https://id.example.com", False),
        ("http://localhost:8000", False),
        ("http://id.localhost", False),
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000", False),
        ("http://10.0.0.1", True),
        ("http://id.example.com", True),
        ("http://localhost.example.com", True),
    ],
)
def test_plain_http_to_another_machine_is_exposed(url, exposed):
    assert is_exposed(url) is exposed
