"""Which agents a backend reads again, told by the versions of their rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.pg.registry_reading import Versions


def versions(rows):
    ids = sorted(rows)
    return Versions(np.array(ids, np.int64), np.array([rows[i] for i in ids], np.int64))


ROWS = st.dictionaries(st.integers(1, 20), st.integers(-3, 3), max_size=12)


@given(ROWS, ROWS)
def test_what_changed_and_what_is_gone(before, now):
    earlier, later = versions(before), versions(now)
    changed = {i for i, version in now.items() if before.get(i) != version}
    assert set(later.changed_since(earlier).tolist()) == changed
    assert set(later.gone_since(earlier).tolist()) == before.keys() - now.keys()
