"""One round as a participant sees it, all of it real: keys, spec, signatures, an HPKE key pair, a small model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from participant.data import Samples, load, standardise
from participant.trainers import TrainerSetup
from protocol import keys
from protocol.charter import Charter
from protocol.hashing import sha256
from protocol.messages import Domain, Receipt, Spec, cohort_hash
from protocol.rulebook import Rule, encode_chain
from protocol.sealing import KEM_X25519

FEDERATION = sha256(b"federation")
DOMAIN = Domain(chain_id=31337, ledger=bytes(range(20)))
KEY, OTHER_KEY, ENCLAVE_KEY = (sha256(name) for name in (b"participant", b"another", b"enclave"))
ADDRESS, SIGNER = keys.address(KEY), keys.address(ENCLAVE_KEY)
COHORT = tuple(sorted((ADDRESS, keys.address(OTHER_KEY))))
SLOT = COHORT.index(ADDRESS)
ENCLAVE = sha256(b"enclave id")

SOFTMAX = Charter(
    name="test",
    model="softmax-8x8",
    dimension=650,
    model_exponent=-24,
    dataset="digits",
    classes=10,
    offsets_q16=(8 << 16,),
    scales_q16=(1 << 13,),
    kem=KEM_X25519,
)
CNN = replace(SOFTMAX, model="cnn-8x8", dimension=6090)

SPEC = Spec(
    federation=FEDERATION,
    round_id=1,
    previous=bytes(32),
    base_model=sha256(b"base"),
    cohort=cohort_hash(COHORT),
    enclave=ENCLAVE,
    rule=int(Rule.MEAN),
    chain=encode_chain("mean"),
    f=0,
    m=0,
    min_counted=1,
    exponent=-14,
    dimension=650,
    norm_bound=0,
    weight_cap=1000,
    optimizer=0,
    learning_rate=1 << 16,
    decay=0,
    disclosure=0,
    budget=0,
    deadlines=(10, 20, 30, 40, 50),
)


def shard(count: int = 64) -> Samples:
    """The first samples of digits, standardised."""
    raw = load("digits").train.take(np.arange(count))
    return Samples(features=standardise(raw.features, SOFTMAX.offsets_q16, SOFTMAX.scales_q16), labels=raw.labels)


def setup(charter: Charter = SOFTMAX, *, seed: int = 1, index: int = 0) -> TrainerSetup:
    return TrainerSetup(charter=charter, samples=shard(), seed=seed, index=index)


def receipt(update: bytes, *, key: bytes = ENCLAVE_KEY, slot: int = SLOT) -> tuple[Receipt, bytes]:
    """The enclave's receipt for an update, signed."""
    made = Receipt(federation=FEDERATION, round_id=1, slot=slot, update=update, enclave=ENCLAVE)
    return made, keys.sign(key, made.digest(DOMAIN))


def hpke_x25519() -> tuple[X25519PrivateKey, bytes]:
    private = X25519PrivateKey.generate()
    return private, private.public_key().public_bytes_raw()


def hpke_hybrid() -> tuple[MLKEM768X25519PrivateKey, bytes]:
    mlkem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return MLKEM768X25519PrivateKey(mlkem, x25519), public
