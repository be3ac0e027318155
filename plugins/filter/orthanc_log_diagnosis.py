# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the likely cause of a failed start from Orthanc's own log."""

from __future__ import annotations

import re
from typing import NamedTuple

DOCUMENTATION = r"""
name: orthanc_log_diagnosis
short_description: The likely cause of a failed start, from Orthanc's own log
version_added: 1.0.0
author: imaging.orthanc contributors (@imaging-orthanc)
description:
  - Looks for the messages that Orthanc, its plugins and PostgreSQL's client library write when a
    start fails, and answers with the cause and what to do.
options:
  _input:
    description: The log, as one text.
    type: str
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ log.stdout | imaging.orthanc.orthanc_log_diagnosis }}"
"""

RETURN = r"""
_value:
  description: One sentence for the first known cause found, or a sentence that says that none was.
  type: str
"""


class Cause(NamedTuple):
    """What a line of the log means, and what to do about it."""

    pattern: str
    cause: str
    remedy: str


# The order matters. PostgreSQL's client begins every complaint with "connection to server failed",
# whatever the reason; a Python script that fails ends its plugin; civetweb calls a certificate that
# it cannot use a port in use.
CAUSES = (
    Cause(
        r"password authentication failed|no password supplied|role \"[^\"]*\" does not exist",
        "PostgreSQL refuses the account",
        "run the role again, which sets the account's password from the secret's file",
    ),
    Cause(
        r"database \"[^\"]*\" does not exist|permission denied for (database|schema|table)",
        "the database or its rights are missing",
        "run the role again, which makes accounts and databases",
    ),
    Cause(
        r"SSL error: certificate|root certificate file|server certificate for \"",
        "PostgreSQL's certificate cannot be verified",
        "check that both were signed by the site's authority, or remove the tls directory of the "
        "database and run the role again",
    ),
    Cause(
        r"locked by another instance",
        "another Orthanc uses the same database",
        "stop the other one; each Orthanc needs a database of its own",
    ),
    Cause(
        r"could not translate host name|connection to server .* failed|could not connect to server"
        r"|Timeout when connecting to the database",
        "PostgreSQL cannot be reached",
        "look at the state and the log of the database's container",
    ),
    Cause(
        r"Error during the installation of the Python script|^Traceback \(most recent call last\)",
        "the Python script fails",
        "read the traceback below; restore the script from this collection",
    ),
    Cause(
        r"Inexistent path to plugin|dlopen\(.*\) failed|cannot open shared object file"
        r"|Error while using a shared library",
        "a plugin is missing or cannot be loaded",
        "check that the image has the plugins that orthanc.json lists",
    ),
    Cause(
        r"Cannot parse (a )?JSON|Bad type for a parameter|Parameter out of range|Bad file format"
        r"|The configuration file",
        "a setting of orthanc.json is wrong",
        "check the extra settings of the inventory",
    ),
    Cause(
        r"Cannot initialize SSL encryption|OpenSSL error",
        "the certificate or its key cannot be read",
        "check owner and mode of the tls directory, or remove it and run the role again",
    ),
    Cause(
        r"is privileged or already in use|Address already in use|cannot (open|listen on) .*port",
        "a port is in use, or certificate and key do not belong together",
        "choose another port or stop what listens there, or remove the certificate and run the "
        "role again",
    ),
    Cause(
        r"No space left on device|Disk quota exceeded|Read-only file system"
        r"|Unable to open the database|Cannot write to file",
        "the disk is full or cannot be written",
        "free space in the data directory, and check its owner and mode",
    ),
)


def orthanc_log_diagnosis(log: str) -> str:
    """Return one sentence with the likely cause of a failed start and its remedy."""
    for known in CAUSES:
        if re.search(known.pattern, log, re.IGNORECASE | re.MULTILINE):
            return f"Likely cause: {known.cause}; {known.remedy}."
    return "No known cause stands in the log; its last lines follow."


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"orthanc_log_diagnosis": orthanc_log_diagnosis}
