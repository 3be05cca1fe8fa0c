"""Evidence with exactly one thing wrong: what a verifier, a contract or a demo is shown to see whether it notices.

Responsible for: plans of valid evidence, faults that change one fact of it and sign everything again, and writing them.
Must not know:   any verifier's code beyond the layouts: whether a fault is noticed is for tests to say.

    python -m lab.evidence DIRECTORY        one folder for each: quote, collateral.json, root.der, and what must notice

Simulated: the keys follow from their names, so that anybody can sign anything here.
"""
