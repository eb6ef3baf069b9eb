"""Hashes of passlib, verified without it."""

import pytest
from django.contrib.auth.hashers import check_password, identify_hasher

from accounts.passlib_hashes import encoded_of

# Made by passlib 1.7.4, with a dot in salt and sum: pbkdf2_sha256.using(rounds=29000).hash(PASSWORD).
PASSWORD = "pässword"
KNOWN = "$pbkdf2-sha256$29000$H.McA2AMQahVSiklBMBY6w$WElWkYfj1frPffHDQN4UKWx7fT8/KUM.VCicQES3.IA"


@pytest.fixture(autouse=True)
def hashers(settings):
    settings.PASSWORD_HASHERS = [*settings.PASSWORD_HASHERS, "accounts.passlib_hashes.PasslibPBKDF2PasswordHasher"]


def test_a_known_hash_is_verified():
    encoded = encoded_of(KNOWN)
    assert check_password(PASSWORD, encoded)
    assert not check_password("password", encoded)
    assert identify_hasher(encoded).must_update(encoded)
    assert identify_hasher(encoded).safe_summary(encoded)["iterations"] == 29000


def test_only_the_right_password_is_hashed_anew():
    renewed: list[str] = []
    assert not check_password("wrong", encoded_of(KNOWN), renewed.append)
    assert check_password(PASSWORD, encoded_of(KNOWN), renewed.append)
    assert renewed == [PASSWORD]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "plain",
        "$pbkdf2-sha512$6400$0ZrzXitFSGltTQnBWOsdeg$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M",
        "$pbkdf2-sha256$0$0ZrzXitFSGltTQnBWOsdeg$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M",
        "$pbkdf2-sha256$9999999$0ZrzXitFSGltTQnBWOsdeg$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M",
        "$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdeg$Y11Achq",
        "$pbkdf2-sha256$6400$A$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M",
        f"$pbkdf2-sha256$6400${'A' * 80}$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M",
    ],
)
def test_anything_else_is_no_hash_of_passlib(written):
    assert encoded_of(written) is None
