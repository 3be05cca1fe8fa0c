"""The charter of a new federation: a data set, a model, and the constants that inputs are standardised with.

Responsible for: the one way in which a charter follows from data.
Must not know:   who founds the federation, or what it will vote for.
"""

from __future__ import annotations

from participant.data import Dataset, standardisation_q16
from participant.models import model_named
from protocol.charter import Charter

MODEL_EXPONENT = -24
"""e_m: a step of 2**-24 is lost in no training, and values up to 128 fit int32 (docs/protocol.md section 1)."""


def charter_for(name: str, dataset: Dataset, *, model: str, kem: int, model_exponent: int = MODEL_EXPONENT) -> Charter:
    """The charter of a federation on a data set: standardisation measured on its training part.

    name:  for people.
    model: one of `participant.models`.
    kem:   HPKE KEM id (`protocol.sealing`).
    Raises: UnknownNameError, RangeError.
    """
    offsets, scales = standardisation_q16(dataset)
    return Charter(
        name=name,
        model=model,
        dimension=model_named(model).dimension,
        model_exponent=model_exponent,
        dataset=dataset.name,
        classes=dataset.classes,
        offsets_q16=tuple(offsets),
        scales_q16=tuple(scales),
        kem=kem,
    )
