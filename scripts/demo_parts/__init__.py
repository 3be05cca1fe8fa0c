"""The parts of `make demo`.

Responsible for: starting a whole federation on one machine, watching it, and writing down what happened.
Must not know:   anything that a party of the protocol would need: the demo is none.
"""
