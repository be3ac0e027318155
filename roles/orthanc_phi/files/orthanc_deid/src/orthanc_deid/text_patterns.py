# SPDX-License-Identifier: GPL-3.0-or-later
"""What identifies by its shape alone: numbers of people and records, net and postal addresses.

Every quantifier is bounded or runs over characters that its neighbours exclude, so that each
pattern reads a text in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple


class Span(NamedTuple):
    """A part of the text that must go, and what it is."""

    start: int
    end: int
    kind: str


_STATE_CODES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY"
    "|NC|ND|OH|OK|OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|PR"
)
_STATE_NAMES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii"
    "|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan"
    "|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico"
    "|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island"
    "|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia"
    "|Wisconsin|Wyoming"
)
_STATE = rf"(?:(?-i:{_STATE_CODES})|{_STATE_NAMES})(?![A-Za-z])"
_WORD = r"[^\W_][\w.'\u2019-]{0,24}"
_ZIP = r"\d{5}(?:-\d{4})?(?!\d)"
_LONG_SUFFIX = (
    "street|avenue|road|boulevard|lane|drive|court|circle|terrace|highway|parkway|turnpike|crescent"
    "|ave|rd|blvd|ln|hwy|pkwy|expy|cres|mews|close"
)
# These also say CT, segment, doctor, place: the words before them must not be radiology's.
_SHORT_SUFFIX = (
    "st|dr|ct|pl|sq|cir|ter|way|row|square|place|plaza|walk|trail|trl|loop|path|pike|alley"
)
_UNIT = r"(?:,?[ ](?:apt|apartment|suite|ste|unit|floor|fl|room|rm|#)\.?[ ]?#?[\w-]{1,8})?"
_TOWN = (
    rf"(?:,?[ \r\n]{{1,3}}{_WORD}(?:[ ]{_WORD}){{0,2}},?[ \r\n]{{1,2}}{_STATE}"
    rf"(?:,?[ ]{{1,2}}{_ZIP})?)?"
)
_POSTCODE = (
    rf"(?:,?[ \r\n]{{1,3}}(?:[A-Z]{{1,2}}-)?\d{{4,5}}[ ]?[A-Z]{{0,2}}[ ]{_WORD}"
    rf"(?:[ ,]{{1,2}}{_WORD}){{0,2}})?"
)
_HOUSE = r"(?<![\w.])\d{1,6}(?:[-/]\d{1,4})?[A-Za-z]?,?[ ](?:[NSEW]{1,2}\.?[ ])?"


def _street(suffix: str) -> str:
    return rf"{_HOUSE}(?P<named>(?:{_WORD}[ ]){{1,4}}?)(?:{suffix})(?![A-Za-z])\.?{_UNIT}{_TOWN}"


_FLAGS = re.IGNORECASE
_ADDRESS = [
    re.compile(pattern, _FLAGS)
    for pattern in (
        _street(_LONG_SUFFIX),
        _street(_SHORT_SUFFIX),
        rf"(?<!\w)P\.?[ ]?O\.?[ ]?Box[ ]?#?\d{{1,8}}{_TOWN}",
        r"(?<!\w)(?:Postfach|postbus|apartado|casella postale)[ ]?[\d ]{2,10}",
        r"(?<!\w)(?:\d{1,4}(?:[-/]\d{1,4})?[ ]?)?(?:[^\W\d_]{2,24}[ -]){0,2}?"
        r"(?:[^\W\d_]{2,24}(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|damm|ufer|gürtel|guertel|laan"
        r"|straat|gracht|plein|singel|dijk|gatan|vägen|gade|vej|katu)"
        r"|(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ufer|gürtel|guertel))"
        rf"(?:[ ]\d{{1,4}}(?:[ ]?[a-z](?![a-z]))?(?:[-/]\d{{1,4}})?){_POSTCODE}",
        r"(?<!\w)\d{1,4}(?:[-/]\d{1,4})?[ ]?[^\W\d_]{3,24}[ ]"
        r"(?:g[uü]e?rtel|gasse|stra(?:ß|ss)e|platz)"
        rf"(?!\w){_POSTCODE}",
        r"(?<!\w)\d{1,4}(?:[ ]?(?:bis|ter))?,?[ ]"
        r"(?:rue|avenue|boulevard|bd|chemin|impasse|quai|place|cours)[ ]"
        r"(?:(?:de|du|des|la|le|les|d['\u2019]|l['\u2019])[ ]?){0,3}"
        rf"{_WORD}(?:[ -]{_WORD}){{0,2}}?"
        rf"(?:,?[ \r\n]{{1,3}}\d{{5}}[ ]{_WORD}|(?=[,;.\r\n]|$))",
        r"(?<!\w)(?:calle|c/|avda\.?|avenida|plaza|paseo|carrer|viale|piazza|corso|rua|travessa|ul\."
        r"|ulica|rue|(?-i:Via|VIA))[ ](?:(?:de|del|della|di|da|do|dos|das|la|los|las)[ ]){0,2}"
        rf"(?P<unknown>{_WORD})(?:[ ](?!\d){_WORD}){{0,2}},?[ ](?:n[º°.]{{1,2}}[ ]?)?\d{{1,4}}"
        rf"{_POSTCODE}",
        r"(?<!\w)(?-i:[A-Z]{1,2})-\d{4,5}[ ](?P<unknown>[^\W\d_]{3,24})",
        r"(?<!\w)(?-i:[A-Z]\d[A-Z][ ]\d[A-Z]\d)(?!\w)",
        r"(?<!\w)(?:address|addr\.?|adresse|dirección|indirizzo)[ ]?[:=][ ]?[^\r\n;]{1,90}",
        r"(?<!\w)(?:lives?|living|resides?|residing|wohnhaft)[ ](?:at|in)[ ][^\r\n;.]{1,60}",
    )
]
_POSTCODED = re.compile(r"[A-Z]-\d{4}|[A-Z]\d[A-Z] \d")
_TOWN_STATE = re.compile(
    rf"(?P<town>{_WORD}),?[ ]{{1,2}}(?-i:{_STATE_CODES}),?[ ]{{1,2}}{_ZIP}"
    r"|(?P<town2>[^\W\d_][\w.'\u2019-]{1,24}),[ ]?"
    rf"(?:(?-i:{_STATE_CODES})(?![A-Za-z])|{_STATE})(?:,?[ ]{{1,2}}{_ZIP})?",
    _FLAGS,
)
_NET = [
    ("email", re.compile(r"[\w.+%-]{1,64}[ ]?@[ ]?[\w-]{1,63}(?:\.[\w-]{1,63}){0,6}")),
    ("url", re.compile(r"(?:\b[a-z]{2,10}://|\bwww\.)\S{1,2048}", _FLAGS)),
    (
        "url",
        re.compile(r"(?<!\w)(?:[a-z]:\\|\\\\)[^\s\\]{1,128}(?:\\[^\s\\]{1,128}){0,32}", _FLAGS),
    ),
    (
        "url",
        re.compile(
            r"(?<![\w.-])(?:[a-z0-9-]{2,63}\.){1,5}(?:com|org|net|edu|gov|mil|info|biz|health|de|uk|fr"
            r"|it|es|nl|ch|at|be|eu|jp|cn|ca|au|dk|se|no|fi|pl|local)(?![\w-])(?:[:/]\S{0,2048})?",
            _FLAGS,
        ),
    ),
]
_LABEL = (
    r"m\.?r\.?n|mr[ ]?#|pat(?:ient)?[ .-]?(?:id|no|nr|number)|pid|pt[ .]?id"
    r"|hosp(?:ital)?[ .]?(?:id|no)"
    r"|acc(?:ession)?|acct|account|ssn|social security|nhs|medicare|medicaid|insurance|policy"
    r"|chart|visit|encounter|csn|mpi|fin|license|licence|passport|badge|employee|order|req(?:uisition)?"
    r"|case|record|file|s/n|serial|id|study[ ]?id|ref(?:erence)?|room|bed|pager|beeper|fallnummer"
)
_NUMBER_WORD = r"(?:[ ]?(?:number|num|no|nr|nummer|id)(?![A-Za-z]))?"
_PHONE_LABEL = (
    r"tel(?:ephone|efon|éfono)?|ph(?:one)?|fax|cell|mobile|call(?:ed)?|ext(?:ension)?|contact"
    r"|pager|beeper|x"
)
_LABEL_WORDS = """
mrn mr m pat patient pid pt hosp hospital acc accession acct account ssn social nhs medicare
medicaid insurance policy chart visit encounter csn mpi fin license licence passport badge
employee order req requisition case record file s serial id study ref reference room bed pager
beeper fallnummer tel telephone telefon telefono ph phone fax cell mobile call called ext
extension contact x dob d born birth birthdate birthyear date geb geboren ne nee
"""
LABEL_WORDS = frozenset(_LABEL_WORDS.split())
_AGE_WORDS = """
year years yr yrs y yo jahr jahre jahriger jahrige ans anos anni age aged alter edad eta yold
"""
AGE_WORDS = frozenset(_AGE_WORDS.split())
_Patterns = list[tuple[str, re.Pattern[str]]]


def _compiled(patterns: list[tuple[str, str]]) -> _Patterns:
    return [(kind, re.compile(pattern, _FLAGS)) for kind, pattern in patterns]


_DOTTED = _compiled(
    [
        ("uid", r"(?<![\d.])\d{1,20}(?:\.\d{1,64}){4,20}(?![\d.])"),
        ("ip", r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"),
    ]
)
_COLONED = _compiled(
    [
        ("ip", r"(?<![\w:])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:])"),
        ("ip", r"(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}:?[0-9a-f]{1,4}(?![\w:])"),
    ]
)
_AGES = _compiled(
    [
        (
            "age",
            r"(?<!\d)0?(?:9\d|1[0-4]\d)[ -]{0,2}"
            r"(?:years?|yrs?|y[./]?[ ]?o|y|jahre?|jährige?r?|ans|años|anni)"
            r"(?![A-Za-z])(?:[ -]?(?:old|olds|o|alt)(?![A-Za-z]))?",
        ),
        (
            "age",
            r"(?<!\w)(?:aged?|alter|âge|edad|età)[ ]?(?:of[ ])?[:=]?[ ]?(?:9\d|1[0-4]\d)"
            r"(?!\d|\.\d)",
        ),
    ]
)
_SLASHED = _compiled(
    [
        (
            "date",
            r"(?<!\w)(?:on|dated?|since|from|until|till|called|seen|exam|dos|prior|of)[ ]?[:=]?[ ]?"
            r"(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01])(?![\d/.])",
        )
    ]
)
_SEXED_AGE = _compiled([("age", r"(?<![\d.])(?-i:9\d[ ]?[FM])(?![A-Za-z0-9])")])
_LABELLED = _compiled(
    [
        (
            "birth",
            r"(?<!\w)(?:d\.?o\.?b\.?|born|birth[ ]?(?:date|year)|date of birth|geb\.?|geboren|née?)"
            r"(?:[ ](?:on|in|am|le|en))?[ ]?[:=]?[ ]?[0-9][0-9./-]{1,9}",
        ),
        (
            "phone",
            rf"(?<!\w)(?:{_PHONE_LABEL})\.?{_NUMBER_WORD}[ ]?[:#=.]?[ ]?"
            r"\+?\(?\d[\d ().-]{1,20}\d(?!\w)",
        ),
        (
            "number",
            rf"(?<!\w)(?:{_LABEL}){_NUMBER_WORD}[ ]?[:#=.]{{1,2}}[ ]?"
            r"(?:[A-Z]{1,6}[-_ ]?)?\d[\w/-]{0,40}",
        ),
        (
            "number",
            rf"(?<!\w)(?:{_LABEL}){_NUMBER_WORD}[ ](?:[A-Z]{{1,6}}[-_]?)?\d[\w/-]{{3,40}}",
        ),
    ]
)
_LONG = _compiled(
    [
        ("number", r"(?<!\d)\d{3}[- ]\d{2}[- ]\d{4}(?!\d)"),
        (
            "phone",
            r"(?<![\w.])(?:\+?1[ .-]?)?(?:\(\d{3}\)[ .-]?|\d{3}[ .-])\d{3}[ .-]\d{4}(?!\d)"
            r"(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?",
        ),
        # Ranges of round numbers ("100-1000") are no phone numbers.
        ("phone", r"(?<![\w.-])(?!\d[05]0-\d{2}[05]0)\d{3}-\d{4}(?![\w-])"),
        ("phone", r"(?<![\w.])\+\d{1,3}[ ./()-]{0,3}\d(?:[ ./()-]{0,2}\d){5,13}"),
        ("phone", r"(?<![\w.,-])\(?0[1-9]\d{0,4}\)?[ /-]{1,3}\d{2,4}(?:[ -]?\d{2,4}){1,4}(?!\w)"),
        ("number", r"(?<![\w.])(?:(?-i:[A-Z]{1,6})[-_#]?)?\d{1,3}-\d{2}-\d{2,6}(?![\w-])"),
        ("number", r"(?<![\w.])(?-i:[A-Z]{1,4})[-_]?\d{2}-\d{3,}(?!\w)"),
        ("number", r"(?<![\d.])(?<!\d,)\d{6,}(?!\d|\.\d)"),
    ]
)


def digit_spans(text: str, norms: AbstractSet[str], digits: int) -> Iterator[Span]:
    """Yield what is a number of a person, record, phone or machine, and ages over 89.

    The normal forms of the text's words and the count of its digits tell what need not be tried.
    """
    chosen: _Patterns = []
    if text.count(".") > 2:
        chosen += _DOTTED
    if text.count(":") > 2 or text.count("-") > 4:
        chosen += _COLONED
    if "/" in text:
        chosen += _SLASHED
    if "9" in text:
        chosen += _SEXED_AGE
    if digits > 4:
        chosen += _LONG
    if not norms.isdisjoint(LABEL_WORDS):
        chosen += _LABELLED
    if not norms.isdisjoint(AGE_WORDS):
        chosen += _AGES
    for kind, pattern in chosen:
        for match in pattern.finditer(text):
            yield Span(match.start(), match.end(), kind)


def net_spans(text: str) -> Iterator[Span]:
    """Yield e-mail addresses, web addresses and file paths."""
    for kind, pattern in _NET:
        for match in pattern.finditer(text):
            yield Span(match.start(), match.end(), kind)


class Address(NamedTuple):
    """A possible postal address; `named` must hold no term, `unknown` no word at all."""

    span: Span
    named: str
    unknown: str


_ADDRESS_WORDS = """
box postfach postbus apartado casella address addr adresse direccion indirizzo live lives living
reside resides residing wohnhaft rue boulevard bd chemin impasse quai cours calle c avda avenida
plaza paseo carrer viale piazza corso rua travessa ul ulica via guertel gurtel gasse strasse platz
allee weg ufer
"""
_SUFFIXES = f"{_LONG_SUFFIX}|{_SHORT_SUFFIX}".split("|")
ADDRESS_WORDS = frozenset((*_ADDRESS_WORDS.split(), *_SUFFIXES))
_ADDRESS_ENDINGS = (
    *(
        "strasse",
        "str",
        "weg",
        "platz",
        "allee",
        "gasse",
        "damm",
        "ufer",
        "gurtel",
        "guertel",
        "laan",
    ),
    *("straat", "gracht", "plein", "singel", "dijk", "gatan", "vagen", "gade", "vej", "katu"),
)


def address_spans(text: str, norms: AbstractSet[str], digits: int) -> Iterator[Address]:
    """Yield streets, boxes and towns as the United States and Europe write them."""
    worded = not norms.isdisjoint(ADDRESS_WORDS) or any(n.endswith(_ADDRESS_ENDINGS) for n in norms)
    if worded or (digits > 2 and _POSTCODED.search(text)):
        for position, pattern in enumerate(_ADDRESS):
            for match in pattern.finditer(text):
                groups = match.groupdict()
                named = groups.get("named") if position == 1 else None
                span = Span(match.start(), match.end(), "address")
                yield Address(span, named or "", groups.get("unknown") or "")
    if "," in text or digits > 4:
        for match in _TOWN_STATE.finditer(text):
            span = Span(match.start(), match.end(), "address")
            yield Address(span, "", match["town2"] or "")
