# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the `.env` of the old setup into variables of an inventory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

# By the parts of a setting's name, in their order; the first one that fits.
_KNOWN: Final = (
    (r"SECRET|PASS|TOKEN|SALT|(^|_)KEY", ""),  # before all others: never shown
    (r"BASE.*NAME|NAME.*BASE|^ORTHANC_NAME$", "orthanc_site_base_name"),
    (r"UID$|USER_?ID$", "orthanc_site_uid"),
    (r"GID$|GROUP_?ID$", "orthanc_site_gid"),
    (r"PHI.*AET|AET.*PHI", "orthanc_phi_aet"),
    (r"ANON.*AET|AET.*ANON", "orthanc_anon_aet"),
    (r"DISK.*AET|AET.*DISK", "orthanc_disk_aet"),
    (r"SUBJ", "orthanc_site_certificate_subject"),
    (r"MAIL|SMTP", ""),
    (r"DISK.*(DIR|DATA|PATH)|(DIR|DATA|PATH).*DISK", "orthanc_disk_tree_dir"),
    (r"DATA.*DIR|DIR.*DATA|(^|_)DATA$", "orthanc_site_data_dir"),
    (r"HOST|(^|_)IP(_|$)|ADDR", "orthanc_site_address"),
)
_SUBJECT: Final = {
    "C": "countryName",
    "ST": "stateOrProvinceName",
    "L": "localityName",
    "O": "organizationName",
    "OU": "organizationalUnitName",
}
_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)")


def inventory_of(lines: Iterable[str]) -> str:
    """Return YAML for `group_vars/all.yml`; what is not taken over is told by name only."""
    found: dict[str, str] = {}
    left: list[str] = []
    for name, value in _settings(lines):
        variable = next((word for part, word in _KNOWN if re.search(part, name.upper())), "")
        if variable and value and variable not in found:
            found[variable] = value
        else:
            left.append(name)
    return "\n".join(_written(found, left)) + "\n"


def _settings(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        match = _LINE.fullmatch(line.strip())
        if match:
            value = match[2].strip()
            quoted = re.fullmatch(r"(['\"])(.*)\1.*", value)
            yield match[1], quoted[2] if quoted else re.sub(r"\s+#.*", "", value)


def _written(found: Mapping[str, str], left: list[str]) -> Iterator[str]:
    yield "---"
    yield "# Taken over from the old .env. Look at every line, and add the DICOM nodes."
    for variable, value in found.items():
        if variable == "orthanc_site_certificate_subject":
            yield f"{variable}:"
            for short, text in _subject(value).items():
                yield f"  {_SUBJECT[short]}: {json.dumps(text)}"
        elif variable.endswith(("_uid", "_gid")) and value.isdecimal():
            yield f"{variable}: {int(value)}"
        else:
            yield f"{variable}: {json.dumps(value)}"
    if left:
        yield "# Not taken over; secrets are made anew, the rest has other names or none:"
        yield from (f"#   {name}" for name in left)


def _subject(value: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in re.split(r"[/,]", value) if "=" in part)
    return {key.strip().upper(): text.strip() for key, _, text in pairs if key.strip() in _SUBJECT}
