"""The tables that are shown without importing the parts say what the parts say."""

import json

import pytest

from restore.commands import tabulated


@pytest.mark.parametrize("kind", tabulated.REGISTRIES)
def test_the_stored_table_is_that_of_the_parts(kind):
    live = json.loads(json.dumps(tabulated.live(kind)))
    assert tabulated.stored(kind) == live, f"a part changed; write the tables anew: {tabulated.COMMAND}"
