"""Which platforms a consortium believes: what its members vote on, and the ids by which the ledger knows it.

Responsible for: authorities (CAs of platforms' certificates), TCB rows and revoked certificates as values; their
                 encodings in proposals and the hashes that name them.
Must not know:   how evidence is verified, who votes, or what a chain is.

Spec: docs/protocol.md section 4.
Twin: contracts/src/interfaces/IPlatformTrust.sol (Authority, QeIdentity, Tcb, TcbStatus).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_abi.exceptions import EncodingError as AbiEncodingError

from protocol.attestation.certificates import parse_certificate
from protocol.attestation.tcb import TcbStatus
from protocol.attestation.trust import RootKind
from protocol.errors import EncodingError, LengthError, RangeError
from protocol.hashing import keccak256, sha256
from protocol.messages import Struct, solidity


class TcbRating(IntEnum):
    """A TCB status as the ledger numbers it.  Revoked has no number: nobody can accept it."""

    UP_TO_DATE = 1
    SW_HARDENING_NEEDED = 2
    CONFIGURATION_NEEDED = 3
    CONFIGURATION_AND_SW_HARDENING_NEEDED = 4
    OUT_OF_DATE = 5
    OUT_OF_DATE_CONFIGURATION_NEEDED = 6


STATUS_OF: dict[TcbRating, TcbStatus] = {
    TcbRating.UP_TO_DATE: TcbStatus("UpToDate"),
    TcbRating.SW_HARDENING_NEEDED: TcbStatus("SWHardeningNeeded"),
    TcbRating.CONFIGURATION_NEEDED: TcbStatus("ConfigurationNeeded"),
    TcbRating.CONFIGURATION_AND_SW_HARDENING_NEEDED: TcbStatus("ConfigurationAndSWHardeningNeeded"),
    TcbRating.OUT_OF_DATE: TcbStatus("OutOfDate"),
    TcbRating.OUT_OF_DATE_CONFIGURATION_NEEDED: TcbStatus("OutOfDateConfigurationNeeded"),
}
"""Intel's names of what the ledger can hold."""

RATING_OF: dict[TcbStatus, TcbRating] = {status: rating for rating, status in STATUS_OF.items()}
"""The other way; a status that is not here can't be voted in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QeIdentity(Struct):
    """What a report of an authority's quoting enclave must say."""

    NAME: ClassVar[str] = "QeIdentity"

    mrsigner: bytes = solidity("bytes32")
    """Whose code it is."""
    product: int = solidity("uint16")
    """ISVPRODID."""
    svn: int = solidity("uint16")
    """Least ISVSVN."""
    misc_select: int = solidity("uint32")
    """MISCSELECT under its mask; the number that the report's four bytes are, little-endian."""
    misc_select_mask: int = solidity("uint32")
    """Bits of MISCSELECT that count."""
    attributes: bytes = solidity("bytes16")
    """ATTRIBUTES under their mask, as the report's 16 bytes."""
    attributes_mask: bytes = solidity("bytes16")
    """Bits of ATTRIBUTES that count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcb(Struct):
    """One row: platforms of this authority, kind and security versions, and what their status is until when."""

    NAME: ClassVar[str] = "Tcb"

    authority: bytes = solidity("bytes32")
    """SHA-256 of the CA's key X || Y."""
    fmspc: bytes = solidity("bytes6")
    """Family, model, stepping, platform and custom SKU of the processor."""
    pce_id: bytes = solidity("bytes2")
    """Of the provisioning certification enclave."""
    cpu_svn: bytes = solidity("bytes16")
    """Security versions of the processor's parts, as certified."""
    pce_svn: int = solidity("uint16")
    """Security version of the provisioning certification enclave, as certified."""
    status: int = solidity("uint8")
    """`TcbRating`."""
    expiry: int = solidity("uint64")
    """Chain time after which nothing is registered by this row: when its collateral is due to be replaced."""
    collateral: bytes = solidity("bytes32")
    """SHA-256 of the collateral from which it follows, so that anybody can verify again."""

    def __post_init__(self) -> None:
        Struct.__post_init__(self)
        if self.status not in set(TcbRating):
            raise RangeError("Tcb.status", expected="1 to 6", actual=self.status)

    @property
    def rating(self) -> TcbRating:
        """The status."""
        return TcbRating(self.status)

    @property
    def tcb_status(self) -> TcbStatus:
        """The status by Intel's name."""
        return STATUS_OF[self.rating]

    @property
    def tcb(self) -> bytes:
        """The id of the row: its platforms, whatever is said of them."""
        return tcb_id(self.authority, self.fmspc, self.pce_id, self.cpu_svn, self.pce_svn)

    def encode(self) -> bytes:
        """abi.encode of the struct: eight words, the data of a proposal."""
        return b"".join(self.words())


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA that certifies platforms, with the root above it and the quoting enclave that its platforms have."""

    kind: RootKind
    """What stands behind the root."""
    root: bytes
    """SHA-256 of the root's key X || Y; 32 bytes."""
    certificate: bytes
    """Of the CA, DER."""
    root_certificate: bytes
    """DER."""
    qe: QeIdentity

    @property
    def authority(self) -> bytes:
        """The id: SHA-256 of the CA's key.  Raises MalformedError's leaves where that is no certificate."""
        return authority_id(parse_certificate(self.certificate).public_key)

    ABI: ClassVar[str] = "(uint8,bytes32,bytes,bytes,(bytes32,uint16,uint16,uint32,uint32,bytes16,bytes16))"

    def encode(self) -> bytes:
        """abi.encode of the struct: the data of a proposal."""
        qe = tuple(getattr(self.qe, item.name) for item in dataclasses.fields(self.qe))
        value = (int(self.kind), self.root, self.certificate, self.root_certificate, qe)
        return abi_encode([self.ABI], [value])


def parse_authority(data: bytes) -> Authority:
    """The authority in a proposal's data, in its one encoding.  Raises EncodingError."""
    try:
        ((kind, root, certificate, root_certificate, qe),) = abi_decode([Authority.ABI], data)
        names = [item.name for item in dataclasses.fields(QeIdentity)]
        authority = Authority(
            kind=RootKind(kind),
            root=root,
            certificate=certificate,
            root_certificate=root_certificate,
            qe=QeIdentity(**dict(zip(names, qe, strict=True))),
        )
        again = authority.encode()
    except (DecodingError, AbiEncodingError, OverflowError, ValueError) as error:
        raise EncodingError(f"an authority ({error})") from error
    if again != data:
        raise EncodingError("an authority", expected="the ABI's one encoding", actual=data)
    return authority


def parse_tcb(data: bytes) -> Tcb:
    """The row in a proposal's data, in its one encoding.  Raises EncodingError, RangeError."""
    items = dataclasses.fields(Tcb)
    kinds = [item.metadata["type"] for item in items]
    if len(data) != 32 * len(kinds):
        raise LengthError("length of a TCB row in bytes", expected=32 * len(kinds), actual=len(data))
    try:
        values: dict[str, Any] = dict(zip([item.name for item in items], abi_decode(kinds, data), strict=True))
    except (DecodingError, OverflowError, ValueError) as error:
        raise EncodingError(f"a TCB row ({error})") from error
    return Tcb(**values)


def authority_id(public_key: bytes) -> bytes:
    """What names a CA: SHA-256 of its key X || Y (64 bytes)."""
    if len(public_key) != 64:
        raise LengthError("length of a public key", expected=64, actual=len(public_key))
    return sha256(public_key)


def tcb_id(authority: bytes, fmspc: bytes, pce_id: bytes, cpu_svn: bytes, pce_svn: int) -> bytes:
    """What names the platforms of a row: keccak256 of five words."""
    kinds = ["bytes32", "bytes6", "bytes2", "bytes16", "uint16"]
    return keccak256(abi_encode(kinds, [authority, fmspc, pce_id, cpu_svn, pce_svn]))


def certificate_id(authority: bytes, serial: int) -> bytes:
    """What names one platform's certificate: its issuer and serial number, never its bytes."""
    return keccak256(revocation_data(authority, serial))


def revocation_data(authority: bytes, serial: int) -> bytes:
    """The data of a proposal that revokes a certificate."""
    return abi_encode(["bytes32", "uint256"], [authority, serial])


def parse_revocation(data: bytes) -> tuple[bytes, int]:
    """(authority, serial) of such data.  Raises LengthError."""
    if len(data) != 64:
        raise LengthError("length of a revocation's data in bytes", expected=64, actual=len(data))
    return data[:32], int.from_bytes(data[32:])
