"""Evidence that a key lives in measured code: parsing it, verifying it, and deciding whether it is acceptable here.

Responsible for: quotes, Nitro documents, certificate chains, collateral, trust stores, policies and measurements, as
                 pure functions of bytes.
Must not know:   files, sockets, clocks, randomness, or who made the evidence.

Authentic is not acceptable: `verify.py` says what evidence is, `policy.py` whether it will do.  Most callers want both:

    from protocol.attestation.policy import Policy, accept_quote
    from protocol.attestation.tcb import TcbStatus
    from protocol.attestation.trust import RootKind, TrustedRoot, TrustStore

    verified = accept_quote(
        quote,
        collateral=collateral,                             # CRLs, TCB info and QE identity (`collateral.py`)
        policy=Policy(
            measurements=frozenset({measurement}),         # what the consortium voted for
            report_data=report_data(signer, claims, epoch),  # recomputed from the claims, never read from the quote
            allow_simulated_quotes=True,                   # says nothing about hardware
            accept_statuses=frozenset({TcbStatus.SW_HARDENING_NEEDED}),  # what the simulation always is
        ),
        trust_store=TrustStore(roots=(TrustedRoot(key_hash=root, kind=RootKind.SIMULATED),)),
        now_s=now_s,
    )

Spec: docs/protocol.md.  Recipe: Intel's DCAP quote verification, numbered in `verify.py`; AWS's in `nitro.py`.
"""
