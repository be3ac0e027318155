# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors of the certificates' program."""


class CertificateError(Exception):
    """Something is wrong with a certificate; the message says what, where and what to do."""
