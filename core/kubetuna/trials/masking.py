"""What a trial printed, as others may read it: without the passwords, tokens and keys that stand in it.

A log is read by those who may read logs; its lines are quoted in messages, statuses, Events and reports, which more
people read. There is one list of patterns. It is applied to the whole text, before anything cuts it: the half of a
password that a cut leaves would match nothing. Each takes linear time, since a log is hostile.
"""

from __future__ import annotations

import re

MASK = "***"
# Nobody's secret is longer in one piece.
LONGEST = 2_000
_NAMES = r"passw(?:or)?d|passphrase|secret|credentials?|(?:api|access|secret|private|account|auth)[_-]?key"
# In quotes, in quotes of JSON within JSON, or one word.
_VALUE = (
    rf"(?:\"[^\"]{{0,{LONGEST}}}\"?|'[^']{{0,{LONGEST}}}'?|\\{{1,2}}\"[^\"\\]{{0,{LONGEST}}}"
    rf"|[^\s\"',;&)}}\]]{{1,{LONGEST}}})"
)
_IS = r"\\{0,2}[\"']?\s{0,3}[:=]\s{0,3}"
# "loss_per_token: 0.25" is a metric.
_NO_NUMBER = r"(?![\"']?[+-]?[\d.]{1,30}(?:e[+-]?\d{1,5})?(?![\w.-]))"

# What stands before a secret is kept.
_NAMED = re.compile(
    rf"((?:{_NAMES}){_IS}|(?<![\w-])--[\w-]{{0,40}}(?:{_NAMES}|token)\s{{1,3}}|\b(?:Bearer|Basic)\s{{1,3}}(?=\S{{8}})"
    rf"|(?:token|signature|[?&]sig){_IS}{_NO_NUMBER}){_VALUE}",
    re.IGNORECASE,
)
# Those that say what they are: Hugging Face, GitHub, GitLab, Slack, OpenAI, AWS, Google, JSON Web Tokens.
_KNOWN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}"
    r"|sk-[\w-]{16,}|A(?:KI|SI)A[0-9A-Z]{16}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
)
_WORD = re.compile(r"\S+")


def masked(text: str, begun: bool = False) -> str:
    """A text without its secrets. ``begun``: it began earlier, so its first word may be half of one."""
    first = _WORD.match(text) if begun else None
    if first is not None and "@" in first.group():
        text = f"{MASK}@{first.group().rpartition('@')[2]}{text[first.end() :]}"
    if "://" in text and "@" in text:
        text = _WORD.sub(_without_login, text)
    return _KNOWN.sub(MASK, _NAMED.sub(rf"\1{MASK}", text))


def _without_login(word: re.Match[str]) -> str:
    """A URL's user, mostly with a password, which may hold any sign."""
    scheme, _, rest = word.group().partition("://")
    return f"{scheme}://{MASK}@{rest.rpartition('@')[2]}" if "@" in rest else word.group()
