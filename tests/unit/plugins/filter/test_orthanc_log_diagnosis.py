# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines are as Orthanc 1.12.7 and the client library of PostgreSQL write them."""

from __future__ import annotations

import pytest
from ansible_collections.imaging.orthanc.plugins.filter.orthanc_log_diagnosis import (
    orthanc_log_diagnosis,
)

HEALTHY = """\
W1123 20:56:26.299551             MAIN main.cpp:2102] Orthanc version: 1.12.7
W1123 20:56:26.300198             MAIN OrthancConfiguration.cpp:59] Reading the configuration from: "/etc/orthanc/orthanc.json"
W1123 20:56:26.314689             MAIN FromDcmtkBridge.cpp:383] Loading external DICOM dictionary: "/usr/share/dcmtk/dicom.dic"
W1123 20:56:26.333388             MAIN main.cpp:934] Loading plugin(s) from: /usr/share/orthanc/plugins/libOrthancPython.so
W1123 20:56:26.343594             MAIN PluginsManager.cpp:287] Registering plugin 'python' (version 5.0)
W1123 20:56:26.345026             MAIN python:/Plugin.cpp:320] Force global loading of Python shared library: /lib/x86_64-linux-gnu/libpython3.13.so.1.0
W1123 20:56:26.371919             MAIN dicom-web:/Plugin.cpp:635] URI to the DICOMweb REST API: /dicom-web/
W1123 20:56:26.373897             MAIN HttpClient.cpp:1201] No certificates are provided to validate peers.  Orthanc will use the native CA store. Set "HttpsCACertificates" if you need to do HTTPS requests and use custom CAs.
W1123 20:56:26.374872             MAIN LuaContext.cpp:95] Lua says: Lua toolbox installed
W1123 20:56:26.378792             MAIN main.cpp:1346] DICOM server listening with AET ORTHANC on port: 4242
W1123 20:56:26.380304             MAIN main.cpp:1207] REST API cannot write to the file system because the "RestApiWriteToFileSystemEnabled" configuration is set to false.  The URI /instances/../export is disabled.  This is the most secure configuration.
W1123 20:56:26.386567             MAIN HttpServer.cpp:1804] HTTP server listening on port: 8042 (HTTPS encryption is enabled, remote access is not allowed)
W1123 20:56:26.387568             MAIN main.cpp:946] Orthanc has started
"""  # noqa: E501 (a log's lines are as long as they are)

POSTGRESQL = "E1123 20:57:01.218649 MAIN PluginsManager.cpp:154] PostgreSQL error: "
SERVER = 'connection to server at "orthanc-anon-db" (172.18.0.2), port 5432 failed: '
ENDED = """
E1123 20:57:00.776357 MAIN main.cpp:2159] Uncaught exception, stopping now: {} (code {})
W1123 20:57:00.776403 MAIN main.cpp:2190] Orthanc has stopped
"""
NO_DATABASE = "[The database is currently not available (probably a transient situation)]"
GAVE_UP = (
    "\nE1123 20:57:00.775673 MAIN PluginsManager.cpp:154] "
    "Timeout when connecting to the database, giving up" + ENDED.format(NO_DATABASE, 36)
)
NO_PLUGIN = ENDED.format("[Error while using a shared library (plugin)]", 25)
PYTHON_FAILS = """\
E1123 20:56:55.035899 MAIN python:/Plugin.cpp:463] Error during the installation of the Python script, traceback:
<class 'ModuleNotFoundError'>
No module named 'pydicomm'

  File "/etc/orthanc/plugins/mod_anon.py", line 1, in <module>
    import pydicomm

E1123 20:56:55.036231 MAIN PluginsManager.cpp:92] Error while initializing plugin /usr/share/orthanc/plugins/libOrthancPython.so (code -1)
"""  # noqa: E501

FAILED = {
    "PostgreSQL refuses the account": [
        POSTGRESQL + SERVER + 'FATAL:  password authentication failed for user "orthanc"' + GAVE_UP,
        POSTGRESQL + SERVER + "fe_sendauth: no password supplied" + GAVE_UP,
        POSTGRESQL + SERVER + 'FATAL:  role "orthanc" does not exist' + GAVE_UP,
    ],
    "the database or its rights are missing": [
        POSTGRESQL + SERVER + 'FATAL:  database "orthanc" does not exist' + GAVE_UP,
        POSTGRESQL + "ERROR:  permission denied for schema public" + GAVE_UP,
    ],
    "PostgreSQL's certificate cannot be verified": [
        POSTGRESQL + SERVER + "SSL error: certificate verify failed" + GAVE_UP,
        POSTGRESQL + SERVER + 'root certificate file "/etc/orthanc/tls/ca.crt" does not exist',
        POSTGRESQL + SERVER + 'server certificate for "db" does not match host name "other"',
    ],
    "another Orthanc uses the same database": [
        POSTGRESQL + "The PostgreSQL database is locked by another instance of Orthanc" + GAVE_UP,
    ],
    "PostgreSQL cannot be reached": [
        POSTGRESQL + SERVER + "Connection refused" + GAVE_UP,
        POSTGRESQL + SERVER + "timeout expired" + GAVE_UP,
        POSTGRESQL
        + 'could not translate host name "nowhere" to address: Temporary failure in name resolution'
        + GAVE_UP,
    ],
    "the Python script fails": [PYTHON_FAILS + NO_PLUGIN],
    "a plugin is missing or cannot be loaded": [
        "E1123 20:56:54.678937 MAIN OrthancException.cpp:62] Error while using a shared library "
        "(plugin): Inexistent path to plugin: /usr/share/orthanc/plugins/libNone.so" + NO_PLUGIN,
        "E1123 20:57:36.604915 MAIN SharedLibrary.cpp:99] dlopen(/p/libOrthancGdcm.so) failed: "
        "Error /p/libOrthancGdcm.so: file too short" + NO_PLUGIN,
    ],
    "a setting of orthanc.json is wrong": [
        "E1123 20:57:35.960976 MAIN OrthancException.cpp:62] Cannot parse a JSON document: The "
        "configuration file does not follow the JSON syntax: /etc/orthanc/orthanc.json",
        "E1123 20:56:54.243514 UNSTABLE-MON OrthancException.cpp:62] Bad type for a parameter: The "
        'configuration option "StableAge" must be an integer',
        "E1123 20:57:37.315954 MAIN OrthancException.cpp:62] Parameter out of range: Configuration "
        'option "StorageAccessOnFind" should be "Always", "Never" or "Answers": Foo',
    ],
    "the certificate or its key cannot be read": [
        "E1123 20:56:55.934113 MAIN HttpServer.cpp:1780] OpenSSL error: error:10080002:BIO "
        "routines::system lib"
        + ENDED.format("[Cannot initialize SSL encryption, check out your certificates]", 39),
    ],
    "a port is in use, or certificate and key do not belong together": [
        "E1123 20:57:02.599091 MAIN OrthancException.cpp:62] The TCP port of the HTTP server is "
        "privileged or already in use:  (port = 8042)",
    ],
    "the disk is full or cannot be written": [
        "E1123 20:57:04.488785 MAIN SystemToolbox.cpp:125] Cannot write to file: No space left on "
        "device",
        ENDED.format("[SQLite: Unable to open the database]", 1002),
    ],
}


@pytest.mark.parametrize(
    ("cause", "line"),
    [(cause, line) for cause, lines in FAILED.items() for line in lines],
)
def test_each_cause_is_told_from_the_line_that_shows_it(cause: str, line: str) -> None:
    begun = "\n".join(HEALTHY.splitlines()[:-3])

    assert orthanc_log_diagnosis(f"{begun}\n{line}").startswith(f"Likely cause: {cause}; ")


@pytest.mark.parametrize("log", [HEALTHY, ""])
def test_no_cause_is_invented(log: str) -> None:
    assert orthanc_log_diagnosis(log).startswith("No known cause")
