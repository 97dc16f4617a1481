"""These tests need the server that `make test` starts."""

import pytest
from documented_database import URL


@pytest.fixture(scope="session", autouse=True)
def running_server():
    """Fail once and clearly, and not in every test, where there is no server."""
    if not URL:
        pytest.exit("TINY_DANCER_TEST_URL is not set; run the tests with: make test", returncode=4)
