"""Keypairs that are dear to make, made once for the whole run."""

import pytest

from privity.crypto.kem import KeyPair, Suite, generate_keypair


@pytest.fixture(scope="session")
def rsa_keypair() -> KeyPair:
    return generate_keypair(Suite.RSA)


@pytest.fixture(scope="session")
def keypairs(rsa_keypair: KeyPair) -> dict[Suite, KeyPair]:
    """One keypair of each suite."""
    return {suite: rsa_keypair if suite is Suite.RSA else generate_keypair(suite) for suite in Suite}
