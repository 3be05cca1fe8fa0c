"""What a federation is founded with, from one strict TOML file.

Responsible for: members, terms, money and charter as the contracts' constructors take them.
Must not know:   the chain.

Example: `veriflock coordinator deploy --example`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol import rulebook
from protocol.charter import Charter, parse_charter
from protocol.encoding import Fields
from protocol.errors import EncodingError, LengthError, PolicyError, RangeError, UnavailableError, UnknownNameError
from protocol.fixedpoint import decode_model
from protocol.keys import Address, parse_address
from protocol.terms import Terms
from protocol.trees import model_root

DISCLOSURES = {"public": 0, "members": 1, "enclaves": 2}
"""Names of the spec's `disclosure`."""

EXAMPLE = """\
# A founding file.  Paths are relative to it; amounts are wei, as text; an unknown field is refused.
charter = "federation.json"
genesis_model = "genesis.model"   # int32[d], little-endian
deposit_wei = "10000000000000000"
minimum_bond_wei = "1000000000000000000"
delay_s = 86400                   # from a proposal that adds something to its execution

[terms]                           # of every round from 1 on, until the consortium votes for others
rule = "trimmed-mean"             # a rule, or stages and a rule: docs/rules.md
f = 2                             # liars tolerated
m = 0                             # multi-krum only; 0 means k - f
min_counted = 5                   # fewest updates with which a round counts
exponent = -14
norm_bound = 0                    # largest squared norm admitted; 0 for none
weight_cap = 10000
optimizer = 0                     # plain
learning_rate = 65536             # 1.0 in Q16
decay = 0                         # Q24
disclosure = "public"             # public, members, enclaves
budget_wei = "10000000000000000"
cohort_size = 0                   # 0: everybody
windows_s = [600, 60, 60, 600, 3600]  # submit, receipts, commit, propose, challenge

[[members]]
account = "0x0000000000000000000000000000000000000001"
hpke_key = "0x0000000000000000000000000000000000000000000000000000000000000000"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of the consortium."""

    account: Address
    """Its identity; 20 bytes."""
    hpke_key: bytes
    """Rows that only members may see are sealed to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """Arguments of a deployment."""

    charter: Charter
    genesis_model: bytes
    """int32[d], little-endian."""
    members: tuple[Member, ...]
    terms: Terms
    """In force from round 1 on."""
    deposit_wei: int
    """What a participant leaves while it takes part."""
    minimum_bond_wei: int
    """What a coordinator's bond has at least."""
    delay_s: int
    """From a proposal that adds something to its execution."""

    def __post_init__(self) -> None:
        if self.terms.dimension != self.charter.dimension:
            raise RangeError("dimension of the terms", expected=self.charter.dimension, actual=self.terms.dimension)
        if len(self.genesis_model) != 4 * self.charter.dimension:
            expected, actual = 4 * self.charter.dimension, len(self.genesis_model)
            raise LengthError("length of the genesis model in bytes", expected=expected, actual=actual)
        if not self.members:
            raise LengthError("members of a consortium", expected="at least 1", actual=0)

    def genesis_root(self) -> bytes:
        """Root of the genesis model."""
        return model_root(decode_model(self.genesis_model, self.charter.dimension))


def read_founding(path: Path) -> Founding:
    """Reads a founding file and the two files that it names, relative to its folder.

    Raises: UnavailableError (no such file), MalformedError's leaves.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        fields = Fields(document, path.name)
        charter = parse_charter((path.parent / fields.text("charter")).read_bytes())
        genesis_model = (path.parent / fields.text("genesis_model")).read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"{error.filename} can't be read ({error.strerror})", "`veriflock coordinator deploy --example` prints one"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EncodingError(f"{path} is not TOML ({error})") from error
    founding = Founding(
        charter=charter,
        genesis_model=genesis_model,
        members=tuple(_member(item) for item in fields.list("members", 1024)),
        terms=parse_terms(fields.map("terms"), charter.dimension),
        deposit_wei=_wei(fields.text("deposit_wei")),
        minimum_bond_wei=_wei(fields.text("minimum_bond_wei")),
        delay_s=fields.uint("delay_s", 32),
    )
    fields.done()
    return founding


def read_terms(path: Path, dimension: int) -> Terms:
    """The terms in a TOML file of their own."""
    try:
        return parse_terms(tomllib.loads(path.read_text(encoding="utf-8")), dimension)
    except OSError as error:
        raise UnavailableError(f"{path} can't be read ({error.strerror})", "write the terms there") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EncodingError(f"{path} is not TOML ({error})") from error


def parse_terms(values: Mapping[str, Any], dimension: int) -> Terms:
    """The terms in a table; the rule and the disclosure go by name, money is text in wei.

    Raises: MalformedError's leaves, PolicyError (a rule that no enclave takes).
    """
    fields = Fields(values, "terms")
    rule = fields.text("rule")
    disclosure = fields.text("disclosure")
    if disclosure not in DISCLOSURES:
        raise UnknownNameError("disclosure", known=DISCLOSURES, actual=disclosure)
    windows = tuple(fields.list("windows_s", 5))
    if len(windows) != 5 or any(type(window) is not int or window < 1 for window in windows):
        raise RangeError("terms.windows_s", expected="five integers from 1", actual=list(windows))
    terms = Terms(
        rule=int(rulebook.parse_rule(rule)),
        chain=rulebook.encode_chain(rule),
        f=fields.uint("f", 16),
        m=fields.uint("m", 16),
        min_counted=fields.uint("min_counted", 16),
        exponent=fields.int("exponent", 8),
        dimension=dimension,
        norm_bound=fields.uint("norm_bound"),
        weight_cap=fields.uint("weight_cap", 32),
        optimizer=fields.uint("optimizer", 8),
        learning_rate=fields.uint("learning_rate", 32),
        decay=fields.uint("decay", 32),
        disclosure=DISCLOSURES[disclosure],
        budget=_wei(fields.text("budget_wei")),
        cohort_size=fields.uint("cohort_size", 16),
        windows=windows,
    )
    fields.done()
    _check_rule(terms)
    return terms


def _check_rule(terms: Terms) -> None:
    """What every enclave refuses, and the ledger can't: it doesn't know the condition of a chain of number 0."""
    chain = rulebook.chain_of(terms)
    if chain.rule.name == "fltrust":
        raise PolicyError("terms.rule", expected="a rule without a trusted row, which no round has", actual=str(chain))
    needed = chain.minimum_counted(f=terms.f, m=terms.m)
    if terms.rule == rulebook.Rule.REPLAY and terms.min_counted < needed:
        what = f"terms.min_counted for {chain} with f = {terms.f}"
        raise RangeError(what, expected=f"at least {needed}", actual=terms.min_counted)


def _member(value: object) -> Member:
    fields = Fields(value, "member")
    member = Member(account=parse_address(fields.text("account")), hpke_key=parse_hex(fields.text("hpke_key")))
    fields.done()
    return member


def parse_hex(text: str, length: int | None = None) -> bytes:
    """Bytes from 0x and hexadecimal digits; of exactly `length` where given."""
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise EncodingError("bytes", expected="0x and hexadecimal digits", actual=text) from error
    if length is not None and len(value) != length:
        raise LengthError("length of bytes", expected=length, actual=len(value))
    return value


def _wei(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 256:
        raise EncodingError("an amount in wei", expected="decimal digits", actual=text)
    return int(text)
