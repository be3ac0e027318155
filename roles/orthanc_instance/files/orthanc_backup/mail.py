# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell a person by the host's own mail program, where there is one."""

from __future__ import annotations

import shutil
import socket
import subprocess
from email.message import EmailMessage

from orthanc_backup.config import Config
from orthanc_backup.running import PATH


def send(config: Config, text: str) -> bool:
    """Mail that something is wrong; return whether the mail program took it."""
    sendmail = shutil.which("sendmail", path=f"{PATH}:/usr/lib")
    if not (config.mail_to and sendmail):
        return False
    message = EmailMessage()
    message["To"] = config.mail_to
    message["Subject"] = f"The backup of {config.name} on {socket.gethostname()} needs you"
    message.set_content(
        f"{text}\n\nBackups: {config.directory}\n"
        "What to do: docs/backup.md of imaging.orthanc, section 'When a backup fails'.\n"
    )
    done = subprocess.run(
        [sendmail, "-t", "-i"], input=message.as_bytes(), capture_output=True, check=False
    )
    return done.returncode == 0
