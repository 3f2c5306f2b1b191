"""Contract suites and fixtures for authors of plugins.

They need pytest and pytest-twisted. A suite is a class to inherit from; pytest then finds its
tests under the name of the subclass.
"""

import pytest

# So that a failed assertion of a suite shows its values, as in the author's own test modules.
for _suite in ("object", "commit", "listing", "folder", "upload", "tag"):
    pytest.register_assert_rewrite(f"{__name__}.{_suite}_contract")
pytest.register_assert_rewrite(f"{__name__}.workbench")
