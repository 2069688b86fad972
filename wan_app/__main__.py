"""`python -m wan_app`."""

from __future__ import annotations

import sys

from wan_app.cli import main

sys.exit(main())
