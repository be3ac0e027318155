# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines of one project: one for its profile, and one for each other that a person may want.

Each is made when it is first asked for, which takes a moment, and kept.
"""

from __future__ import annotations

import threading

from orthanc_deid.config import Config
from orthanc_deid.engine import Engine
from orthanc_deid.errors import ProfileError
from orthanc_deid.identity import read_identity
from orthanc_deid.keys import Keys
from orthanc_deid.profile import load_profile
from orthanc_deid.study_deidentification import Deidentification


class Engines:
    """Gives the engine for a profile's name; may be used by several threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._keys = Keys.derive(config.secret(), config.project)
        self._made: dict[str | None, Deidentification] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str | None = None) -> Deidentification:
        """Return how studies are de-identified, by another profile than the project's if named.

        Raises:
            ProfileError: the site does not allow this profile, or it cannot be used.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def _make(self, name: str | None) -> Deidentification:
        config = self._config
        if name is not None and name not in config.other_profiles:
            raise ProfileError([f"{name!r} is none of the profiles that the site allows; retry"])
        source = config.profile_source(config.profile if name is None else name)
        profile = load_profile(source, config.site_decisions, keep_dates=config.keep_dates)
        engine = Engine(profile, self._keys)
        return Deidentification(engine, read_identity, profile.number_modifiers)
