"""A simulated platform in this process: an enclave's evidence, its collateral, and what members vote of it."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.platform.collateral import Revoked, Tee, issue_collateral
from coordinator.platform.pki import Pki, create_pki
from coordinator.platform.quoting import SimulatedAttester
from coordinator.platform_votes import PlatformVote, read_platform
from protocol.attestation.certificates import parse_certificate, parse_pem_chain
from protocol.attestation.collateral import encode_collateral
from protocol.attestation.trust import RootKind, TrustedRoot
from protocol.enclaves import Evidence, public_collateral, shown
from protocol.hashing import sha256
from protocol.keys import Address
from protocol.messages import Claims, report_data


@dataclass(frozen=True, slots=True)
class TestHardware:
    """One platform; `vote` is what honest members believe of it."""

    __test__ = False

    pki: Pki
    attestation_key: ec.EllipticCurvePrivateKey
    now_s: int
    issued: bytes
    """Collateral as the platform issues it."""
    vote: PlatformVote

    @property
    def collateral(self) -> bytes:
        """As the TCB row names it."""
        return public_collateral(self.issued)

    @property
    def collateral_hash(self) -> bytes:
        """By which the TCB row names it."""
        return sha256(self.collateral)

    def chain_quote(self, *, signer: Address, claims: Claims, measurement: bytes, epoch: int = 1) -> bytes:
        """A quote as an enclave gets it, with the whole chain."""
        attester = SimulatedAttester(pki=self.pki, attestation_key=self.attestation_key, measurement=measurement)
        return attester.quote(report_data(signer=signer, claims=claims.sha256(), epoch=epoch))

    def evidence(
        self, *, signer: Address, claims: Claims, hpke_key: bytes, measurement: bytes, epoch: int = 1
    ) -> Evidence:
        """What such an enclave's operator registers."""
        quote = self.chain_quote(signer=signer, claims=claims, measurement=measurement, epoch=epoch)
        evidence, _ = shown(quote, claims, hpke_key)
        return evidence

    @property
    def serial(self) -> int:
        """Of the platform's certificate."""
        return parse_certificate(parse_pem_chain(self.pki.chain, count=3)[0]).serial

    def revoking_itself(self) -> bytes:
        """Collateral whose list names this platform's own certificate."""
        revoked = Revoked(by_authority=frozenset({self.serial}))
        return public_collateral(encode_collateral(issue_collateral(self.pki, Tee.SGX, self.now_s, revoked=revoked)))


def make_hardware(now_s: int) -> TestHardware:
    """A platform that is made, and whose collateral is issued, at that time (seconds since 1970)."""
    pki = create_pki(now_s)
    collateral = encode_collateral(issue_collateral(pki, Tee.SGX, now_s))
    vote = read_platform(collateral, root=TrustedRoot(key_hash=pki.root_key_hash, kind=RootKind.SIMULATED), now_s=now_s)
    return TestHardware(pki, ec.generate_private_key(ec.SECP256R1()), now_s, collateral, vote)
