# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the container engine whether this Orthanc answers from its database.

The route reads the database: Orthanc's /system answers 200 while PostgreSQL hangs.
"""

import base64
import json
import ssl
import sys
import urllib.request
from pathlib import Path

CONFIGURATION = Path("/etc/orthanc/orthanc.json")
TIMEOUT_SECONDS = 8


def main() -> int:
    """Return 0 where the Orthanc answers, else 1 with the reason on standard output."""
    password = json.loads(CONFIGURATION.read_text())["RegisteredUsers"]["service"]
    account = base64.b64encode(f"service:{password}".encode()).decode()
    request = urllib.request.Request(
        "https://localhost:8042/changes?last", headers={"Authorization": f"Basic {account}"}
    )
    trust = ssl.create_default_context(cafile="/etc/orthanc/tls/ca.crt")
    try:
        with urllib.request.urlopen(  # noqa: S310 - the address is fixed
            request, timeout=TIMEOUT_SECONDS, context=trust
        ) as answer:
            answer.read()
    except OSError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
