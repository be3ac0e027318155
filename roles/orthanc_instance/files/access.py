# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which account may use which route of an Orthanc: the filter that all kinds share.

Orthanc knows accounts but gives each of them everything. Its filter of HTTP requests asks here
first. The decision is pure and rests on one table, `access.toml`; what the table does not allow is
denied. Orthanc answers 403 where the filter says no, and 500 where it raises.
"""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from page_token import PageTokens

TABLE = Path(__file__).with_name("access.toml")

METHODS = ("GET", "POST", "PUT", "DELETE")
PLACEHOLDERS = {
    "{id}": "[0-9a-f]{8}(?:-[0-9a-f]{8}){4}",
    "{uid}": "[0-9.]{1,64}",
    "{number}": "[0-9]{1,9}",
    "{name}": "[A-Za-z0-9_][A-Za-z0-9_.-]*",
    "**": ".*",
}
SEGMENT = re.compile(r"\{[a-z0-9.,-]+\}|\*\*|[a-z0-9.-]+")
ORTHANC_ID = re.compile(PLACEHOLDERS["{id}"])

# A browser says where a request comes from; other programs say nothing (W3C Fetch Metadata).
OWN_SITES = {"", "none", "same-origin"}
# What our own pages ask for. Requests of browsers that change something carry the page's token.
PAGES = ("/deid/", "/disk/", "/extra/")


class TableError(ValueError):
    """The table of accounts and rights cannot be used; the text says what is wrong in it."""


class Effect(Enum):
    """What a request does, in the order in which a table's right is searched."""

    EXPORTS = "exports"
    READS = "reads"
    DELIVERIES = "deliveries"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class Rule:
    """Some methods on some paths, and what they do."""

    methods: frozenset[str]
    path: re.Pattern[str]
    effect: Effect


@dataclass(frozen=True, slots=True)
class Request:
    """A request as Orthanc tells it; the names of headers are in lower case."""

    method: str
    path: str
    address: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may pass, what it would do, and why it may not."""

    allowed: bool
    effect: Effect | None
    reason: str = ""

    @property
    def noted(self) -> bool:
        """Whether the log keeps it: every denial, every change and every export."""
        return not self.allowed or self.effect in {Effect.CHANGES, Effect.EXPORTS}


class Table:
    """The rights of the accounts on one kind of Orthanc."""

    def __init__(self, content: Mapping[str, Any], kind: str) -> None:
        """Read the table.

        Raises:
            TableError: It names an unknown right, effect or method, or a path that is none.
        """
        rights = {name: list(_rules(name, told)) for name, told in content["rights"].items()}
        accounts: Mapping[str, Sequence[str]] = content["accounts"][kind]
        unknown = {right for given in accounts.values() for right in given} - set(rights)
        if unknown:
            raise TableError(f"accounts.{kind} has unknown rights: {', '.join(sorted(unknown))}")
        self._rules = {
            account: sorted(
                (rule for right in given for rule in rights[right]),
                key=lambda rule: list(Effect).index(rule.effect),
            )
            for account, given in accounts.items()
        }
        self._words = frozenset(_words(content["rights"]))
        self.accounts = {account: list(given) for account, given in accounts.items()}

    def effect(self, account: str, method: str, path: str) -> Effect | None:
        """Return what an account's request does, or None where the account may not."""
        for rule in self._rules.get(account, ()):
            if method in rule.methods and rule.path.fullmatch(path):
                return rule.effect
        return None

    def shown(self, path: str) -> str:
        """Return a path as the log may show it: no word that the table does not know.

        Orthanc's identifiers of studies, series and instances stay. That of a patient is a plain
        hash of the patient's number, which can be guessed back.
        """
        shown: list[str] = []
        for segment in path.strip("/").split("/"):
            after = shown[-1] if shown else ""
            known = segment in self._words or not segment
            identifier = ORTHANC_ID.fullmatch(segment) and after != "patients"
            shown.append(segment if known or identifier else "*")
        return "/" + "/".join(shown)


def _rules(right: str, told: Mapping[str, Sequence[str]]) -> Iterator[Rule]:
    for name, routes in told.items():
        try:
            effect = Effect(name)
        except ValueError:
            raise TableError(f"rights.{right} has {name!r}, which is no effect") from None
        for route in routes:
            method, _, path = route.partition(" ")
            if method not in (*METHODS, "ANY") or not path.startswith("/"):
                raise TableError(f"rights.{right} has {route!r}, which is no method and path")
            methods = frozenset(METHODS if method == "ANY" else (method,))
            yield Rule(methods, re.compile(_expression(path)), effect)


def _expression(path: str) -> str:
    expressions = []
    for segment in path[1:].split("/") if path != "/" else []:
        if not SEGMENT.fullmatch(segment):
            raise TableError(f"{path!r} has {segment!r}, which is no word and no placeholder")
        words = "|".join(re.escape(word) for word in segment.strip("{}").split(","))
        expressions.append(PLACEHOLDERS.get(segment, f"(?:{words})"))
    return "/" + "/".join(expressions) + "/?"


def _words(rights: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
    for told in rights.values():
        for routes in told.values():
            for route in routes:
                for segment in route.partition("/")[2].split("/"):
                    if segment not in PLACEHOLDERS:
                        yield from segment.strip("{}").split(",")


def decide(table: Table, account: str | None, request: Request, tokens: PageTokens) -> Decision:
    """Decide about one request of an account, which is None where its credentials are unknown."""
    if account is None:
        return Decision(False, None, "unknown account")
    if "x-http-method-override" in request.headers:
        return Decision(False, None, "method in disguise")
    effect = table.effect(account, request.method, request.path)
    if effect is None:
        return Decision(False, None, "not allowed")
    if effect is Effect.CHANGES:
        if request.headers.get("sec-fetch-site", "").lower() not in OWN_SITES:
            return Decision(False, effect, "from another site")
        user = request.headers.get("x-remote-user")
        token = request.headers.get("x-page-token", "")
        if user and request.path.startswith(PAGES) and not tokens.valid(token, user):
            return Decision(False, effect, "no valid page token")
    return Decision(True, effect)


def account_of(registered: Mapping[str, str]) -> Callable[[Mapping[str, str]], str | None]:
    """Return the function that tells the account of a request from its headers.

    It compares the whole header with those of all accounts, as Orthanc does, so that a request
    without a correct password has no account even where Orthanc's own check is switched off.
    """
    accounts = {
        "Basic " + base64.b64encode(f"{account}:{password}".encode()).decode(): account
        for account, password in registered.items()
    }
    return lambda headers: accounts.get(headers.get("authorization", ""))


def log_line(table: Table, account: str | None, request: Request, decision: Decision) -> str:
    """Return what the log keeps of a request: who, from where, what; nothing of its content."""
    user = request.headers.get("x-remote-user", "")
    # The proxy appends the address that it saw itself.
    seen = request.headers.get("x-forwarded-for", "").split(",")[-1].strip() if user else ""
    effect = decision.effect.value if decision.effect else "request"
    told = {
        "account": account or "-",
        "user": user or "-",
        "address": seen or request.address,
        "method": request.method,
        "route": table.shown(request.path),
    }
    words = " ".join(f"{name}={_printable(value)}" for name, value in told.items())
    verdict = f"{effect} allowed" if decision.allowed else f"denied, {decision.reason}"
    return f"access: {verdict}: {words}"


def _printable(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9@._:/*+,{}-]", "?", text)[:200]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Tells the other routes of a plugin whose request they answer, and what that account may."""

    table: Table
    find: Callable[[Mapping[str, str]], str | None]

    def of(self, headers: Mapping[str, str]) -> str:
        """Return the account of a request that has passed the table, by its headers."""
        return self.find(headers) or ""

    def may(self, account: str, method: str, path: str) -> bool:
        """Tell whether an account may use a route."""
        return self.table.effect(account, method, path) is not None


def nothing_held(_method: str, _path: str) -> str:
    """Hold no request back that the table allows."""
    return ""


def register(orthanc: Any, kind: str, held: Callable[[str, str], str] = nothing_held) -> Accounts:
    """Put the table before all routes of this Orthanc; answer with tokens and what runs here.

    `held` says, for a method and a path, why such requests are denied now; empty if they are not.
    """
    table = Table(tomllib.loads(TABLE.read_text(encoding="utf-8")), kind)
    configuration = json.loads(orthanc.GetConfiguration())
    find_account = account_of(configuration.get("RegisteredUsers", {}))
    methods = {getattr(orthanc.HttpMethod, name): name for name in METHODS}
    tokens = PageTokens()

    def allow(uri: str, **told: Any) -> bool:
        headers = {name.lower(): value for name, value in told["headers"].items()}
        request = Request(methods[told["method"]], uri, told["ip"], headers)
        account = find_account(headers)
        decision = decide(table, account, request, tokens)
        if decision.allowed and (reason := held(request.method, request.path)):
            decision = Decision(False, decision.effect, reason)
        if decision.noted:
            orthanc.LogWarning(log_line(table, account, request, decision))
        return decision.allowed

    def page_token(output: Any, _uri: str, **request: Any) -> None:
        if request["method"] != "GET":
            output.SendMethodNotAllowed("GET")
            return
        user = request["headers"].get("x-remote-user", "")
        output.SetHttpHeader("Cache-Control", "no-store")
        output.AnswerBuffer(json.dumps({"token": tokens.issue(user)}), "application/json")

    def deployment(output: Any, _uri: str, **request: Any) -> None:
        if request["method"] != "GET":
            output.SendMethodNotAllowed("GET")
            return
        told = {"kind": kind, "version": version, "accounts": table.accounts}
        output.AnswerBuffer(json.dumps(told), "application/json")

    version = configuration.get("Deployment", {}).get("Version", "")
    orthanc.RegisterIncomingHttpRequestFilter(allow)
    orthanc.RegisterRestCallback("/deployment", deployment)
    orthanc.RegisterRestCallback("/page-token", page_token)
    return Accounts(table, find_account)
