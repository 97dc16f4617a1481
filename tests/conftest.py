"""What the tests of all folders share."""

pytest_plugins = ["databases"]
