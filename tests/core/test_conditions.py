"""What a credential asks of every request: from where, how often."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.core.conditions import FromNetworks, Meter, Rate, parse_networks
from limen.errors import InvalidCredential, TooManyRequests
from limen.testing import FakeClock


class StoppedClock(FakeClock):
    def __init__(self):
        super().__init__()
        self.moment = 1_000_000.0

    def time(self):
        return self.moment


def admits(networks, ip):
    try:
        FromNetworks(parse_networks(networks), "id").check(ip and ip_address(ip))
    except InvalidCredential:
        return False
    return True


def test_only_addresses_of_the_networks_come_in():
    assert admits(["10.0.0.0/8"], "10.200.3.4")
    assert admits(["10.0.0.0/8", "2001:db8::/32"], "2001:db8::1")
    assert admits(["192.0.2.7"], "192.0.2.7")
    assert not admits(["192.0.2.7"], "192.0.2.8")
    assert not admits(["10.0.0.0/8"], "2001:db8::1")
    assert not admits(["0.0.0.0/0"], None)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10/8", "nonsense", "", "::/129", "10.0.0.0/8 "])
def test_what_names_no_network_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_networks([text])


def test_networks_are_bounded():
    with pytest.raises(ValueError, match="32"):
        parse_networks([f"10.0.{n}.0/24" for n in range(33)])


@pytest.mark.parametrize(
    ("text", "rate"),
    [("100/minute", (100, 60)), ("10/5minutes", (10, 300)), ("1/second", (1, 1)), ("5 / 2 hours", (5, 7200))],
)
def test_rates_are_read(text, rate):
    assert Rate.parse(text) == Rate(*rate)


@pytest.mark.parametrize(
    "text", ["", "0/minute", "100", "100/fortnight", "-1/minute", "1e9/minute", "1234567/minute", "9" * 30 + "/day"]
)
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="rate"):
        Rate.parse(text)


def taken(meter, name, rate, tries):
    done = 0
    for _ in range(tries):
        try:
            meter.take(name, rate)
        except TooManyRequests:
            continue
        done += 1
    return done


@given(st.integers(1, 200), st.sampled_from([1, 60, 300, 3600, 86400]))
def test_the_whole_rate_at_once_and_no_more(requests, seconds):
    clock = StoppedClock()
    meter, rate = Meter(clock), Rate(requests, seconds)
    assert taken(meter, "a", rate, requests + 10) == requests
    assert taken(meter, "b", rate, 1) == 1, "another key has its own"
    clock.moment += seconds
    assert taken(meter, "a", rate, requests + 10) == requests


def test_a_refusal_says_when_the_next_one_may_come():
    clock = StoppedClock()
    meter, rate = Meter(clock), Rate(3, 60)
    assert taken(meter, "a", rate, 3) == 3
    with pytest.raises(TooManyRequests) as refused:
        meter.take("a", rate)
    assert refused.value.retry_after == 20
    clock.moment += 20
    assert taken(meter, "a", rate, 5) == 1


def test_a_clock_that_is_set_back_locks_nobody_out():
    clock = StoppedClock()
    meter, rate = Meter(clock), Rate(1, 60)
    assert taken(meter, "a", rate, 2) == 1
    clock.moment -= 10_000
    assert taken(meter, "a", rate, 2) == 1


def test_what_is_measured_is_bounded():
    clock = StoppedClock()
    meter = Meter(clock)
    for number in range(Meter.MAX_MEASURED + 500):
        meter.take(str(number), Rate(1, 60))
    assert len(meter._due) <= Meter.MAX_MEASURED
