"""From where a request came: the peer, unless a configured proxy says otherwise."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from limen.http.client import client_of

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def ip(peer, *forwarded, proxies=PROXIES):
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    client = None if peer is None else (peer, 1)
    return client_of(HTTPConnection({"type": "http", "headers": headers, "client": client}), trusted_proxies=proxies).ip


def test_the_peer_is_the_client():
    assert ip("203.0.113.7") == "203.0.113.7"


def test_without_configured_proxies_nothing_forwarded_counts():
    assert ip("10.0.0.1", "198.51.100.1", proxies=()) == "10.0.0.1"


def test_what_a_stranger_says_of_itself_does_not_count():
    assert ip("203.0.113.7", "198.51.100.1") == "203.0.113.7"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        (["6.6.6.6, 198.51.100.1, 10.0.0.9"], "198.51.100.1"),
        (["6.6.6.6", "198.51.100.1", "10.0.0.9"], "198.51.100.1"),
        (["198.51.100.1,10.0.0.9 ,\t10.0.0.8"], "198.51.100.1"),
        (["2001:db8::9, 2a00::1, 2001:db8::2"], "2a00::1"),
    ],
)
def test_the_right_most_hop_that_is_no_proxy_is_the_client(forwarded, client):
    assert ip("10.0.0.1", *forwarded) == client


@pytest.mark.parametrize(
    "forwarded", ["", "unknown", "198.51.100.1, nonsense", "10.0.0.2, 10.0.0.3", "_hidden", "1.2.3.4:80", ","]
)
def test_where_the_chain_breaks_off_the_proxy_is_the_client(forwarded):
    assert ip("10.0.0.1", forwarded) == "10.0.0.1"


def test_one_client_has_one_spelling():
    assert ip("::ffff:203.0.113.7") == "203.0.113.7"
    assert ip("::ffff:10.0.0.1", "::ffff:198.51.100.1") == "198.51.100.1"
    assert ip("2001:0DB8:0:0::1", "2A00::0001") == "2a00::1"
    assert ip("fe80::1%eth0") == "fe80::1"


@pytest.mark.parametrize("peer", [None, "", "testclient", "/run/app.sock"])
def test_a_peer_without_an_address_is_nobody_and_no_proxy(peer):
    assert ip(peer, "198.51.100.1") is None


@given(
    st.lists(st.text(st.characters(max_codepoint=255), max_size=40), max_size=5),
    st.sampled_from(["10.0.0.1", "203.0.113.7"]),
)
def test_whatever_is_forwarded_the_client_is_an_address(forwarded, peer):
    found = ip(peer, *forwarded)
    assert found is not None
    assert str(ip_address(found)) == found
    assert peer == found or peer == "10.0.0.1"


def test_the_user_agent_is_cut_and_cleaned():
    def agent(value):
        scope = {"type": "http", "headers": [(b"user-agent", value)], "client": None}
        return client_of(HTTPConnection(scope)).user_agent

    assert agent(b"Firefox/130") == "Firefox/130"
    assert agent(b"a\x00b\x1b[31m\x85") == "ab[31m"
    assert agent(b"") is None
    assert len(agent(b"x" * 5000)) == 256
