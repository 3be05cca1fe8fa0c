"""The committed vectors and the example in docs/protocol.md are what the protocol computes today."""

from __future__ import annotations

import re
import subprocess
import sys
from hashlib import sha256

from eth_account import Account
from protocol_examples import VECTORS, vectors

FOLDERS = ("messages", "trees", "fixedpoint", "encoding", "outcomes", "reputation", "payouts", "disputes")
ROOT = VECTORS.parent.parent
EXAMPLE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").split("<!-- example: end -->")[0]


def shown(title: str) -> bytes:
    """The bytes below a title of the example."""
    found = re.search(re.escape(title) + r"[^\n]*\n((?:    [0-9a-f]+\n)+)", EXAMPLE)
    assert found is not None
    return bytes.fromhex(found[1].replace("\n", "").replace(" ", ""))


def test_committed_vectors_and_the_page_are_current() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "make_vectors.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "")


def test_refused_vectors_outnumber_accepted_ones_and_name_one_defect_each() -> None:
    names = sorted(str(path.relative_to(VECTORS)) for path in VECTORS.glob("*/*.json"))
    by_folder: dict[str, list[int]] = {}
    for name in names:
        folder, refused = name.split("/")[0], "refused" in name
        if folder not in FOLDERS:
            continue
        by_folder.setdefault(folder, [0, 0])[refused] += len(vectors(name))
        if refused:
            assert all(vector["defect"] for vector in vectors(name))
    assert {folder: counts for folder, counts in by_folder.items() if counts[1] <= counts[0]} == {}
    assert set(by_folder) == set(FOLDERS)


def test_the_example_holds_by_plain_hashes() -> None:
    row, info = shown("row, int16"), shown("info of the sealing")
    assert row == (100).to_bytes(2, "little") + (-3).to_bytes(2, "little", signed=True) + b"\x07\0\0\0"
    assert shown("update root") == sha256(b"\x00\x01" + row.ljust(512, b"\0")).digest()
    assert info[:4] == b"VFL1"
    assert len(info) == 116
    leaves = [sha256(b"\x00\x02" + shown(f"set leaf {slot}")).digest() for slot in range(4)]
    left, right = (sha256(b"\x01" + leaves[i] + leaves[i + 1]).digest() for i in (0, 2))
    assert shown("set root") == sha256(b"\x01" + left + right).digest()
    columns = b"".join(
        shown_row.ljust(32, b"\0") for shown_row in (row, b"\x5a\0\x05\0\x08\0\x01\0", b"\x70\xfe\x0c\0\xe4\xff\0\0")
    )
    assert shown("column leaf 0")[:32] == sha256(columns).digest()
    words = shown("outcome words")
    totals = b"".join(words[32 * slot + 3 : 32 * slot + 23] for slot in range(3))
    assert shown("column leaf 0")[32:64] == sha256(totals).digest()


def test_the_example_is_signed_by_whom_it_says() -> None:
    cohort = re.findall(r"^    \d (0x\w{40})$", EXAMPLE, re.MULTILINE)
    secrets = [sha256(f"veriflock vector example participant {i} 0".encode()).digest() for i in range(4)]
    assert set(cohort) == {Account.from_key(secret).address for secret in secrets}
    assert cohort == sorted(cohort, key=str.lower)
    digest, signature = shown("its digest in the domain"), shown("signature r, s, v")
    assert Account._recover_hash(digest, signature=signature) == cohort[0]
    enclave = Account.from_key(sha256(b"veriflock vector example enclave key 0").digest())
    tail = EXAMPLE.split("hashStruct(RoundResult)")[1]
    digest = bytes.fromhex(re.search(r"domain\n    (\w+)\n", tail)[1])  # type: ignore[index]
    signature = shown("the enclave's signature")
    assert Account._recover_hash(digest, signature=signature) == enclave.address
