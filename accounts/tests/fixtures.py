"""The fixed cast: Alice owns, Bob may create but does not own, Charlie only reads. Loaded by the root conftest."""

import pytest

from accounts.models import Role, User
from accounts.tests.factories import make_user


@pytest.fixture
def alice(db: None) -> User:
    return make_user("alice", role=Role.USER)


@pytest.fixture
def bob(db: None) -> User:
    return make_user("bob", role=Role.USER)


@pytest.fixture
def charlie(db: None) -> User:
    return make_user("charlie", role=Role.VIEWER)


@pytest.fixture
def admin(db: None) -> User:
    return make_user("admin", role=Role.ADMIN)
