"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import settings

# A law holds or it does not; how long an example takes says how busy the machine is. On a code host the same examples
# are drawn each time, so that a failure there is a failure here; elsewhere new ones, and a failure prints its blob.
settings.register_profile("local", deadline=None, print_blob=True)
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
