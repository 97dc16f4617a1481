"""What the tests of all folders share."""

from hypothesis import settings

pytest_plugins = ["databases"]

# The suite judges a commit, so it draws the same cases each time. New ones are looked for with
# `pytest --hypothesis-profile=search`.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2000, deadline=None)
settings.load_profile("repeatable")
