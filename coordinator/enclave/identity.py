"""Who this enclave is: keys born inside, the claims about them, and the quote that binds both to measured code.

Responsible for: signing and HPKE keys, their sealed form, opening what was sealed to them.
Must not know:   sockets, rounds.

Spec: docs/protocol.md section 4.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from protocol import keys, sealing
from protocol.attestation.protections import Protection, describe
from protocol.charter import Charter, parse_charter
from protocol.encoding import Fields, decode_map, encode
from protocol.errors import VerificationError
from protocol.hashing import sha256
from protocol.messages import ENCLAVE_BODY_BYTES, Claims, Domain, enclave_id, report_data

MAX_SEALED_BYTES = 1 << 26
NONCE_BYTES = 12

HpkePrivateKey = X25519PrivateKey | MLKEM768X25519PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What the host asked the platform to launch the enclave for; none of it is secret, all of it ends up in claims."""

    charter: Charter
    """What the federation trains."""
    federation: bytes
    """32 bytes."""
    chain_id: int
    """EIP-155."""
    ledger: bytes
    """20 bytes."""
    operator: bytes
    """The coordinator's address; 20 bytes."""
    nonce: bytes
    """A recent block hash; 32 bytes."""
    epoch: int
    """Which pair of keys, counted by the platform from 1."""
    fresh: bool
    """Whether the platform counted this epoch for keys yet to be born: two pairs of one epoch must never be."""
    state_version: int
    """How many states this epoch has sealed, as the platform counted them."""
    state_hash: bytes
    """SHA-256 of the newest sealed state; zeros for version 0."""

    @property
    def domain(self) -> Domain:
        """Where this enclave's signatures count."""
        return Domain(chain_id=self.chain_id, ledger=self.ledger)


def parse_launch(value: object) -> Launch:
    """The launch frame that the platform hands on."""
    fields = Fields(value, "launch")
    launch = Launch(
        charter=parse_charter(fields.bytes("charter", max_length=1 << 20)),
        federation=fields.bytes("federation", 32),
        chain_id=fields.uint("chain_id"),
        ledger=fields.bytes("ledger", 20),
        operator=fields.bytes("operator", 20),
        nonce=fields.bytes("nonce", 32),
        epoch=fields.uint("epoch"),
        fresh=fields.bool("fresh"),
        state_version=fields.uint("state_version"),
        state_hash=fields.bytes("state_hash", 32),
    )
    fields.done()
    return launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The enclave's keys and the evidence for them."""

    signing_key: bytes = field(repr=False)
    """secp256k1, 32 bytes; never leaves but sealed."""
    hpke_secret: bytes = field(repr=False)
    """X25519 key (32), behind the ML-KEM seed (64) in the hybrid suite; never leaves but sealed."""
    claims: Claims
    """What it says of itself."""
    epoch: int
    """Which pair of keys."""
    quote: bytes
    """The platform's evidence, SGX quote v3."""

    @property
    def signer(self) -> bytes:
        """Address of the signing key."""
        return keys.address(self.signing_key)

    @property
    def enclave(self) -> bytes:
        """What names this enclave: keccak256 of the quote's header and body."""
        return enclave_id(self.quote[:ENCLAVE_BODY_BYTES])

    @property
    def hpke_public(self) -> bytes:
        """The public key that participants seal to."""
        return _public_bytes(self.claims.kem, self.hpke_secret)

    def sign(self, digest: bytes) -> bytes:
        """65 bytes over a digest."""
        return keys.sign(self.signing_key, digest)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """What was sealed to this enclave.  Raises VerificationError, whatever the bytes."""
        try:
            plain = sealing.suite(self.claims.kem).decrypt(
                sealed, _private_key(self.claims.kem, self.hpke_secret), info=info
            )
        except (InvalidTag, ValueError) as error:
            raise VerificationError("a sealed update does not open under this enclave's key and this round") from error
        return bytes(plain)

    def encode(self) -> bytes:
        """For sealing."""
        return encode(
            {
                "signing_key": self.signing_key,
                "hpke_secret": self.hpke_secret,
                "claims": self.claims.to_map(),
                "epoch": self.epoch,
                "quote": self.quote,
            }
        )


def parse_identity(data: bytes) -> Identity:
    """The identity in unsealed bytes."""
    fields = Fields(decode_map(data, max_bytes=MAX_SEALED_BYTES), "identity")
    identity = Identity(
        signing_key=fields.bytes("signing_key", 32),
        hpke_secret=fields.bytes("hpke_secret"),
        claims=Claims.from_map(fields.map("claims")),
        epoch=fields.uint("epoch"),
        quote=fields.bytes("quote"),
    )
    fields.done()
    return identity


def is_born_for(identity: Identity, launch: Launch) -> bool:
    """Whether the keys were born for this launch; the nonce may be newer."""
    claims = identity.claims
    return (claims.federation, claims.chain_id, claims.ledger, claims.operator, claims.policy, identity.epoch) == (
        launch.federation,
        launch.chain_id,
        launch.ledger,
        launch.operator,
        launch.charter.sha256(),
        launch.epoch,
    )


def check_protections(identity: Identity, held: Protection) -> None:
    """Whether this process holds all that the claims say.  Raises VerificationError.

    A host could have the quote made where the enclave is shut off, and go on where it is not.
    """
    lacking = identity.claims.protections & ~held
    if lacking:
        raise VerificationError("protections in the claims that this process lacks", actual=describe(lacking)[0])


def give_birth(launch: Launch, *, protections: Protection, quote: Callable[[bytes], bytes]) -> Identity:
    """Fresh keys, and a quote for them.

    protections: what the process was found to be shut off from.
    quote:       asks the platform for the evidence of 64 bytes of report data.
    """
    while not 0 < int.from_bytes(signing_key := secrets.token_bytes(32)) < keys.ORDER:
        pass
    hpke_secret = secrets.token_bytes(32 if launch.charter.kem == sealing.KEM_X25519 else 96)
    claims = Claims(
        federation=launch.federation,
        chain_id=launch.chain_id,
        ledger=launch.ledger,
        operator=launch.operator,
        kem=launch.charter.kem,
        hpke_key=sha256(_public_bytes(launch.charter.kem, hpke_secret)),
        policy=launch.charter.sha256(),
        nonce=launch.nonce,
        state_version=launch.state_version,
        state_hash=launch.state_hash,
        protections=int(protections),
    )
    data = report_data(signer=keys.address(signing_key), claims=claims.sha256(), epoch=launch.epoch)
    return Identity(
        signing_key=signing_key, hpke_secret=hpke_secret, claims=claims, epoch=launch.epoch, quote=quote(data)
    )


def seal(key: bytes, *, name: str, launch: Launch, plain: bytes) -> bytes:
    """AES-256-GCM under the platform's key for this measurement: nonce (12) || ciphertext || tag."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, _associated(name, launch))


def unseal(key: bytes, *, name: str, launch: Launch, sealed: bytes) -> bytes:
    """What `seal` sealed.  Raises VerificationError for bytes of another enclave, platform, epoch or name."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _associated(name, launch))
    except (InvalidTag, ValueError) as error:
        what = f"sealed state '{name}' is not of this measurement, platform, federation and epoch, or was changed"
        raise VerificationError(what) from error


def _associated(name: str, launch: Launch) -> bytes:
    """Where sealed bytes belong; every part but the last has its length."""
    numbers = launch.chain_id.to_bytes(8) + launch.epoch.to_bytes(8)
    return b"veriflock sealed state 2" + launch.federation + launch.ledger + launch.operator + numbers + name.encode()


def _private_key(kem: int, secret: bytes) -> HpkePrivateKey:
    if kem == sealing.KEM_X25519:
        return X25519PrivateKey.from_private_bytes(secret)
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(secret[32:]), X25519PrivateKey.from_private_bytes(secret[:32])
    )


def _public_bytes(kem: int, secret: bytes) -> bytes:
    x25519 = X25519PrivateKey.from_private_bytes(secret[:32]).public_key().public_bytes_raw()
    if kem == sealing.KEM_X25519:
        return x25519
    return MLKEM768PrivateKey.from_seed_bytes(secret[32:]).public_key().public_bytes_raw() + x25519
