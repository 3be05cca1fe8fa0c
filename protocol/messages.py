"""The signed messages: EIP-712 structs of static fields, their hashes and their digests.

Responsible for: the one place where a message becomes the 32 bytes that are signed.
Must not know:   keys, clocks, files, sockets, or why a message is being signed.

Spec: docs/protocol.md section 2 (EIP-712).  Twin: contracts/src/libraries/Messages.sol.
Vectors: tests/vectors/messages/.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from protocol.encoding import Fields
from protocol.errors import EncodingError, LengthError, RangeError
from protocol.hashing import keccak256, sha256
from protocol.keys import Address

ZERO = bytes(32)
MAX_SLOTS = 256
"""Bitmaps are one word on the ledger, so a cohort has at most 256 slots."""

ENCLAVE_BODY_BYTES = 432
"""Header (48) and report body (384) of an SGX quote v3: what names an enclave."""

DEADLINES = ("submit", "receipts", "commit", "propose", "challenge")
"""The five deadlines of a round, and the windows before them, in their order.  In time: block.timestamp <= deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Where a signature counts: EIP-712 domain `Veriflock`, version `1`."""

    chain_id: int
    """EIP-155 chain id; uint256."""

    ledger: Address
    """The RoundLedger, which is the verifying contract of every struct; 20 bytes."""

    def __post_init__(self) -> None:
        _check("chain id of a domain", "uint256", self.chain_id)
        _check("ledger of a domain", "address", self.ledger)

    def separator(self) -> bytes:
        """hashStruct of the domain (EIP-712)."""
        return keccak256(
            keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
            keccak256(b"Veriflock"),
            keccak256(b"1"),
            self.chain_id.to_bytes(32),
            self.ledger.rjust(32, b"\0"),
        )


def solidity(kind: str, name: str | None = None) -> Any:
    """A field with its Solidity type, and its Solidity name where that is not the camel case of the Python one."""
    return field(metadata={"type": kind, "name": name})


def solidity_name(item: dataclasses.Field[Any]) -> str:
    """The name that Solidity and envelopes have for a field of a message, or of a dataclass that mirrors a struct."""
    head, *rest = item.name.split("_")
    return item.metadata.get("name") or head + "".join(part.capitalize() for part in rest)


class Struct:
    """What all messages share: type string, words, hash, digest, and the map that travels in an envelope."""

    __slots__ = ()
    NAME: ClassVar[str]

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            _check(f"{type(self).__name__}.{item.name}", item.metadata["type"], getattr(self, item.name))

    @classmethod
    def type_string(cls) -> str:
        """The EIP-712 type, such as `Receipt(bytes32 federation,...)`."""
        items = dataclasses.fields(cls)  # type: ignore[arg-type]
        members = ",".join(f"{item.metadata['type']} {solidity_name(item)}" for item in items)
        return f"{cls.NAME}({members})"

    @classmethod
    def type_hash(cls) -> bytes:
        """keccak256 of the type string."""
        return keccak256(cls.type_string().encode())

    def words(self) -> list[bytes]:
        """One 32-byte word a field (an array: the hash of its words), as EIP-712's encodeData."""
        items = dataclasses.fields(self)  # type: ignore[arg-type]
        return [abi_word(item.metadata["type"], getattr(self, item.name)) for item in items]

    def hash_struct(self) -> bytes:
        """EIP-712 hashStruct, without the domain: what a field that names this message holds."""
        return keccak256(self.type_hash(), *self.words())

    def digest(self, domain: Domain) -> bytes:
        """What is signed: keccak256(0x19 0x01 || domain separator || hashStruct)."""
        return keccak256(b"\x19\x01", domain.separator(), self.hash_struct())

    def to_map(self) -> dict[str, Any]:
        """For an envelope: Solidity's names; integers wider than 64 bits as 32 bytes."""
        out: dict[str, Any] = {}
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value: Any
            value, kind = getattr(self, item.name), item.metadata["type"]
            if kind.endswith("]"):
                value = list(value)
            elif kind == "uint256":
                value = value.to_bytes(32)
            out[solidity_name(item)] = value
        return out

    @classmethod
    def from_map(cls, value: Mapping[str, Any]) -> Self:
        """The message in an envelope; nothing missing, nothing left over, nothing coerced."""
        fields = Fields(value, cls.NAME)
        values: dict[str, Any] = {}
        for item in dataclasses.fields(cls):  # type: ignore[arg-type]
            name, kind = solidity_name(item), item.metadata["type"]
            if kind == "uint256":
                values[item.name] = int.from_bytes(fields.bytes(name, 32))
            elif kind.endswith("]"):
                values[item.name] = tuple(fields.list(name, 64))
            elif kind in ("address", "bytes32"):
                values[item.name] = fields.bytes(name)
            elif kind.startswith("uint"):
                values[item.name] = fields.uint(name, int(kind[4:]))
            else:
                values[item.name] = fields.int(name, int(kind[3:]))
        fields.done()
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec(Struct):
    """What one round is: everything that a coordinator opens and that updates and result are bound to."""

    NAME: ClassVar[str] = "Spec"

    federation: bytes = solidity("bytes32")
    """Random id drawn at deployment: chain ids and addresses repeat on local chains, signatures must not."""
    round_id: int = solidity("uint64", "round")
    """Which round; from 1, never used twice."""
    previous: bytes = solidity("bytes32")
    """hashStruct of the last settled RoundResult; zero until one settles."""
    base_model: bytes = solidity("bytes32")
    """Root of the model that updates start from."""
    cohort: bytes = solidity("bytes32")
    """keccak256 of the packed ascending addresses."""
    enclave: bytes = solidity("bytes32")
    """The one enclave of this round: keccak256(quote header || body)."""
    rule: int = solidity("uint8")
    """Which predicates apply (`protocol.rulebook.Rule`)."""
    chain: bytes = solidity("bytes32")
    """The rule's text in ASCII, padded with zero bytes, such as `trimmed-mean` or `nnm+krum`."""
    f: int = solidity("uint16")
    """Liars tolerated."""
    m: int = solidity("uint16")
    """Rows that Multi-Krum keeps; 0 means k - f."""
    min_counted: int = solidity("uint16")
    """Fewest counted updates with which the round counts."""
    exponent: int = solidity("int8")
    """e_u: an update's value is q * 2**e_u."""
    dimension: int = solidity("uint32")
    """d: coordinates of the model."""
    norm_bound: int = solidity("uint64")
    """Largest squared norm (in units of q) admitted; 0 for none."""
    weight_cap: int = solidity("uint32")
    """Largest weight of the weighted mean; below 2**24."""
    optimizer: int = solidity("uint8")
    """0 plain, 1 momentum, 2 adam."""
    learning_rate: int = solidity("uint32")
    """The server's, Q16: 65536 is 1."""
    decay: int = solidity("uint32")
    """The server's weight decay, Q24."""
    disclosure: int = solidity("uint8")
    """0 public, 1 members, 2 enclaves."""
    budget: int = solidity("uint256")
    """Wei that the round pays at most."""
    deadlines: tuple[int, ...] = solidity("uint64[5]")
    """Unix seconds in the order of `DEADLINES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(Struct):
    """A participant's signed statement: this row, of these samples, for this round and enclave."""

    NAME: ClassVar[str] = "Update"

    federation: bytes = solidity("bytes32")
    """As in Spec."""
    round_id: int = solidity("uint64", "round")
    """Which round."""
    spec: bytes = solidity("bytes32")
    """hashStruct of the round's Spec."""
    enclave: bytes = solidity("bytes32")
    """The enclave that it is sealed to."""
    participant: Address = solidity("address")
    """Who trained."""
    update_root: bytes = solidity("bytes32")
    """Root of the row's tree."""
    samples: int = solidity("uint32")
    """Samples trained on; nobody can check it, so the spec caps what it weighs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(Struct):
    """The enclave's signed promise that an update is counted."""

    NAME: ClassVar[str] = "Receipt"

    federation: bytes = solidity("bytes32")
    """As in Spec."""
    round_id: int = solidity("uint64", "round")
    """Which round."""
    slot: int = solidity("uint16")
    """Index of the participant in the cohort."""
    update: bytes = solidity("bytes32")
    """hashStruct of the Update received."""
    enclave: bytes = solidity("bytes32")
    """The enclave that signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult(Struct):
    """The enclave's signed statement about a round."""

    NAME: ClassVar[str] = "RoundResult"

    federation: bytes = solidity("bytes32")
    """As in Spec."""
    round_id: int = solidity("uint64", "round")
    """Which round."""
    spec: bytes = solidity("bytes32")
    """hashStruct of the round's Spec."""
    previous: bytes = solidity("bytes32")
    """The last settled result, as in Spec: compare and set."""
    set_root: bytes = solidity("bytes32")
    """Root of the set tree: what was received of every slot."""
    counted: int = solidity("uint256")
    """Bitmap of the slots whose update is in."""
    selected: int = solidity("uint256")
    """Bitmap of the slots that the rule selected; `counted` where a rule does not select."""
    column_root: bytes = solidity("bytes32")
    """Root of the column tree."""
    gram_root: bytes = solidity("bytes32")
    """Root of the Gram tree; zero for rules that don't need one."""
    outcomes: bytes = solidity("bytes32")
    """keccak256 of one word a slot."""
    new_model: bytes = solidity("bytes32")
    """Root of the model after the step."""
    state: bytes = solidity("bytes32")
    """Commits what lives across rounds; zero for rules 1 to 6 with the plain step."""
    enclave: bytes = solidity("bytes32")
    """The enclave that signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Struct):
    """A member's signed memory of a settled round."""

    NAME: ClassVar[str] = "Checkpoint"

    federation: bytes = solidity("bytes32")
    """As in Spec."""
    round_id: int = solidity("uint64", "round")
    """Which round."""
    result: bytes = solidity("bytes32")
    """hashStruct of its RoundResult."""
    block_hash: bytes = solidity("bytes32")
    """Hash of the block in which it settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable(Struct):
    """A member's signed complaint that the data of a proposed result can't be had."""

    NAME: ClassVar[str] = "Unavailable"

    federation: bytes = solidity("bytes32")
    """As in Spec."""
    round_id: int = solidity("uint64", "round")
    """Which round."""
    result: bytes = solidity("bytes32")
    """hashStruct of its RoundResult."""


def cohort_hash(cohort: Sequence[Address]) -> bytes:
    """keccak256 of the packed addresses, which must ascend strictly; at most 256."""
    if len(cohort) > MAX_SLOTS:
        raise LengthError("size of a cohort", expected=f"at most {MAX_SLOTS}", actual=len(cohort))
    if any(a >= b for a, b in itertools.pairwise(cohort)):
        raise EncodingError("a cohort", expected="addresses in strictly ascending order")
    return keccak256(*cohort)


def enclave_id(header_and_body: bytes) -> bytes:
    """keccak256 of a quote's header and body: what names an enclave.  Never of the signatures: those are malleable."""
    if len(header_and_body) != ENCLAVE_BODY_BYTES:
        raise LengthError(
            "length of a quote's header and body", expected=ENCLAVE_BODY_BYTES, actual=len(header_and_body)
        )
    return keccak256(header_and_body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims(Struct):
    """What an enclave says of itself; its SHA-256 is in the quote's report data."""

    NAME: ClassVar[str] = "Claims"

    federation: bytes = solidity("bytes32")
    """The federation that it serves."""
    chain_id: int = solidity("uint256")
    """EIP-155 chain id."""
    ledger: Address = solidity("address")
    """The RoundLedger that it serves."""
    operator: Address = solidity("address")
    """The coordinator whose enclave it is; only that address can register it."""
    kem: int = solidity("uint16")
    """HPKE KEM id of its sealing key (`protocol.sealing`)."""
    hpke_key: bytes = solidity("bytes32")
    """SHA-256 of its HPKE public key."""
    policy: bytes = solidity("bytes32")
    """SHA-256 of the federation's charter."""
    nonce: bytes = solidity("bytes32")
    """The verifier's, or a recent block hash: freshness."""
    state_version: int = solidity("uint64")
    """Version of its sealed state."""
    state_hash: bytes = solidity("bytes32")
    """Hash of its sealed state."""
    protections: int = solidity("uint32")
    """Bit i: the i-th of `protocol.attestation.protections.Protection` is in force in its process."""

    def encode(self) -> bytes:
        """abi.encode of the struct: eleven words."""
        return b"".join(self.words())

    def sha256(self) -> bytes:
        """What the report data carries."""
        return sha256(self.encode())


REPORT_DATA_TAG = b"VFL1"


def report_data(*, signer: Address, claims: bytes, epoch: int) -> bytes:
    """The 64 bytes of a quote that the enclave chooses: address || SHA-256 of the claims || epoch || `VFL1`.

    signer: 20 bytes; claims: `Claims.sha256()`; epoch: which pair of keys, uint64 from 1.
    """
    if len(signer) != 20 or len(claims) != 32:
        raise LengthError("signer and claims in report data", expected="20 and 32", actual=(len(signer), len(claims)))
    _check("epoch in report data", "uint64", epoch)
    return signer + claims + epoch.to_bytes(8) + REPORT_DATA_TAG


def parse_report_data(data: bytes) -> tuple[Address, bytes, int]:
    """(signer, SHA-256 of the claims, epoch) of 64 bytes of report data."""
    if len(data) != 64:
        raise LengthError("length of report data", expected=64, actual=len(data))
    if data[60:] != REPORT_DATA_TAG:
        raise EncodingError("tag of report data", expected=REPORT_DATA_TAG, actual=data[60:])
    return data[:20], data[20:52], int.from_bytes(data[52:60])


_INTEGER = re.compile(r"(u?)int(\d+)")
_BYTES = re.compile(r"bytes(\d+)")


def _check(what: str, kind: str, value: object) -> None:
    fixed = _BYTES.fullmatch(kind)
    if fixed is not None or kind == "address":
        length = 20 if fixed is None else int(fixed[1])
        if type(value) is not bytes:
            raise EncodingError(what, expected=f"{length} bytes", actual=type(value).__name__)
        if len(value) != length:
            raise LengthError(f"length of {what}", expected=length, actual=len(value))
        return
    if kind.endswith("]"):
        inner, count = kind[:-1].split("[")
        if type(value) is not tuple or len(value) != int(count):
            raise EncodingError(what, expected=f"a tuple of {count} {inner}", actual=value)
        for item in value:
            _check(what, inner, item)
        return
    match = _INTEGER.fullmatch(kind)
    if match is None or type(value) is not int:
        raise EncodingError(what, expected=kind, actual=value)
    bits = int(match[2])
    low, high = (0, 1 << bits) if match[1] else (-(1 << (bits - 1)), 1 << (bits - 1))
    if not low <= value < high:
        raise RangeError(what, expected=kind, actual=value)


def abi_word(kind: str, value: Any) -> bytes:
    """The 32 bytes of a value of a static Solidity type, as EIP-712's encodeData has it: an array is its hash."""
    if _BYTES.fullmatch(kind):
        return bytes(value).ljust(32, b"\0")
    if kind == "address":
        return bytes(value).rjust(32, b"\0")
    if kind.endswith("]"):
        inner = kind[: kind.index("[")]
        return keccak256(*(abi_word(inner, item) for item in value))
    return (int(value) % (1 << 256)).to_bytes(32)
