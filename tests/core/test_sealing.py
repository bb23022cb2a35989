"""Secrets at rest: opened by the root secrets that are known, in the place that they were sealed for, unchanged."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.core.keys import derive_key
from limen.core.sealing import SealBroken, Sealer

OLD, NEW, OTHER = (derive_key(name, purpose="seals") for name in (b"old root", b"new root", b"another root"))


@given(secret=st.binary(max_size=4096), place=st.text())
def test_what_was_sealed_is_unsealed(secret, place):
    sealer = Sealer([NEW])
    assert sealer.unseal(sealer.seal(secret, bound_to=place), bound_to=place) == secret


def test_a_fallback_unseals_and_the_present_key_seals():
    sealed = Sealer([OLD]).seal(b"secret", bound_to="row")
    both = Sealer([NEW, OLD])
    assert both.unseal(sealed, bound_to="row") == b"secret"
    with pytest.raises(SealBroken):
        Sealer([OLD]).unseal(both.seal(b"secret", bound_to="row"), bound_to="row")


def test_resealing_moves_a_secret_under_the_present_key_once():
    both = Sealer([NEW, OLD])
    resealed = both.reseal(Sealer([OLD]).seal(b"secret", bound_to="row"), bound_to="row")
    assert resealed is not None
    assert Sealer([NEW]).unseal(resealed, bound_to="row") == b"secret"
    assert both.reseal(resealed, bound_to="row") is None


def test_what_no_known_key_sealed_is_not_resealed():
    with pytest.raises(SealBroken):
        Sealer([NEW, OLD]).reseal(Sealer([OTHER]).seal(b"secret", bound_to="row"), bound_to="row")


def test_the_wrong_key_opens_nothing():
    with pytest.raises(SealBroken):
        Sealer([OTHER, OLD]).unseal(Sealer([NEW]).seal(b"secret", bound_to="row"), bound_to="row")


def test_a_sealed_secret_does_not_open_in_another_place():
    sealer = Sealer([NEW])
    with pytest.raises(SealBroken):
        sealer.unseal(sealer.seal(b"secret", bound_to="row 1"), bound_to="row 2")


def test_any_changed_byte_breaks_the_seal():
    sealer = Sealer([NEW])
    sealed = sealer.seal(b"secret", bound_to="row")
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(SealBroken):
            sealer.unseal(changed, bound_to="row")


@given(noise=st.binary(max_size=64))
def test_noise_is_a_broken_seal_and_no_other_error(noise):
    for sealed in (noise, b"\x01" + noise):
        with pytest.raises(SealBroken):
            Sealer([NEW]).unseal(sealed, bound_to="row")


def test_the_same_secret_is_sealed_differently_each_time():
    sealer = Sealer([NEW])
    sealed = {sealer.seal(b"secret", bound_to="row") for _ in range(100)}
    assert len(sealed) == 100
    assert all(b"secret" not in each for each in sealed)


def test_a_sealer_shows_no_key():
    assert repr(Sealer([NEW])) == "Sealer(…)"


def test_importing_this_module_does_not_import_cryptography():
    program = "import sys, limen.core.sealing; assert not [m for m in sys.modules if m.startswith('cryptography')]"
    subprocess.run([sys.executable, "-c", program], check=True)
