"""What `veriflock quote inspect` shows: every field of evidence where it lies, and what its certificates say.

Responsible for: offsets, lengths, names and values of quotes and Nitro documents; summaries of certificates.
Must not know:   whether any of it is true: nothing is verified here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from protocol.attestation import cbor
from protocol.attestation.certificates import Certificate, Suite, parse_certificate, parse_pem_chain
from protocol.attestation.nitro import NitroDocument, parse_nitro
from protocol.attestation.pck import parse_pck_extension
from protocol.attestation.quote import PCK_LEAF, PEM_CHAIN, QuoteField, parse_quote, quote_fields
from protocol.attestation.result import Format
from protocol.errors import MalformedError
from protocol.hashing import sha256
from verifier.report import printable

UNVERIFIED = "nothing of this was verified: veriflock quote verify does that"
LONGEST_SHOWN_BYTES = 64
"""Of a value in a line for people; the JSON has all of it."""

_QUOTE_VERSIONS = (b"\3\0", b"\4\0", b"\5\0")
_CBOR_STARTS = (b"\x84", b"\xd2", b"\xa1", b"\0")
"""Of a Nitro document: alone, tagged, in the security module's response, in Dstack's frame."""

Summary = dict[str, Any]


def inspect(data: bytes) -> Summary:
    """Format, fields and certificates.  Raises MalformedError where the bytes are no evidence."""
    if data[:2] not in _QUOTE_VERSIONS and data[:1] in _CBOR_STARTS:
        document = parse_nitro(data)
        chain = (*document.cabundle, document.certificate)
        return _summary(
            Format.NITRO, nitro_fields(data, document), [_describe(der, Suite.P384_SHA384) for der in chain]
        )
    quote = parse_quote(data)
    ders: tuple[bytes, ...] = ()
    if quote.certification_type == PEM_CHAIN:
        ders = parse_pem_chain(quote.certificates, count=3)
    elif quote.certification_type == PCK_LEAF:
        ders = (quote.certificates,)
    return _summary(quote.format, quote_fields(data), [_describe(der, Suite.P256_SHA256) for der in ders])


def nitro_fields(data: bytes, document: NitroDocument) -> list[QuoteField]:
    """Every value of a document that `parse_nitro` has read, in the order of its bytes."""
    protected = bytes.fromhex("a1013822")
    # What is signed ends with the document as it stands in the message, head and all.
    prefix = b"\x84\x6aSignature1\x44" + protected + b"\x40"
    encoded = document.signed[len(prefix) :]
    start = data.index(encoded)
    _, length, content = cbor.head(data, start, "document")
    end = content + (length or 0)
    # Ahead of it: the array's head, the protected header behind its own, and the empty unprotected one.
    first = start - 1 - len(protected)
    envelope, size = first - 2, len(document.signature)
    signature = data.index(document.signature, end)
    found = [QuoteField(0, envelope, "envelope", data[:envelope])] if envelope else []
    found.append(QuoteField(first, len(protected), "protected header", protected))
    found += _walk(data, content, "")[0]
    found.append(QuoteField(signature, size, "signature", document.signature))
    behind = data[signature + size :]
    return [*found, QuoteField(signature + size, len(behind), "envelope, behind", behind)] if behind else found


def _walk(data: bytes, offset: int, name: str) -> tuple[list[QuoteField], int]:
    """The values in the value at `offset`, and where it ends.  It was parsed before, so that all of it is there."""
    kind, number, inside = (None, None, offset) if data[offset] == cbor.NULL else cbor.head(data, offset, "document")
    if kind not in (cbor.ARRAY, cbor.MAP):
        value, end = cbor.read(data, offset, "document")
        if isinstance(value, (bytes, str)):
            raw = value if isinstance(value, bytes) else value.encode()
            return [QuoteField(end - len(raw), len(raw), name, raw)], end
        shown = value if isinstance(value, int) else b""
        return [QuoteField(offset, end - offset, name, shown)], end
    found: list[QuoteField] = []
    count = 0
    while number != count and data[inside] != cbor.BREAK:
        label: object = count
        if kind == cbor.MAP:
            label, inside = cbor.read(data, inside, "document")
        more, inside = _walk(data, inside, f"{name}.{label}" if name else str(label))
        found += more
        count += 1
    return found, inside + (number is None)


def _summary(format_: Format, fields: list[QuoteField], certificates: list[Summary]) -> Summary:
    return {
        "format": format_,
        "fields": [
            {"offset": field.offset, "length": field.length, "name": field.name, "value": _plain(field.value)}
            for field in fields
        ],
        "certificates": certificates,
        "note": UNVERIFIED,
    }


def _plain(value: int | bytes) -> int | str:
    return value.hex() if isinstance(value, bytes) else value


def _describe(der: bytes, suite: Suite) -> Summary:
    """One certificate; one that can't be read says why."""
    try:
        certificate = parse_certificate(der, suite)
        platform = {} if certificate.sgx_extension is None else _platform(certificate.sgx_extension)
    except MalformedError as error:
        return {"length": len(der), "error": str(error)}
    return {
        "length": len(der),
        "subject": certificate.common_name,
        "organisation": certificate.organisation,
        "serial": f"{certificate.serial:x}",
        "not_before": _time(certificate.not_before_s),
        "not_after": _time(certificate.not_after_s),
        "key_sha256": sha256(certificate.public_key).hex(),
        "usage": _usage(certificate),
        **platform,
    }


def _usage(certificate: Certificate) -> str:
    if not certificate.is_ca:
        return "signs data" if certificate.signs_data else "signs nothing"
    limit = "" if certificate.path_length is None else f", path length {certificate.path_length}"
    return f"CA{limit}"


def _platform(extension: bytes) -> Summary:
    pck = parse_pck_extension(extension)
    return {
        "fmspc": pck.fmspc.hex(),
        "pce_id": pck.pce_id.hex(),
        "cpu_svn": pck.cpu_svn.hex(),
        "pce_svn": pck.pce_svn,
        "ppid": pck.ppid.hex(),
        "sgx_type": pck.sgx_type,
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def summary_json(summary: Summary) -> str:
    """ASCII, so that no text of others reaches a terminal."""
    return json.dumps(summary, indent=2, ensure_ascii=True) + "\n"


def print_summary(summary: Summary, console: Console) -> None:
    """Text for people: a line for each field, a paragraph for each certificate; long values are cut."""

    def say(text: str, style: str = "") -> None:
        console.print(escape(printable(text, console.encoding)), style=style, highlight=False, soft_wrap=True)

    say(f"format {summary['format']}")
    say(f"{'offset':>7} {'length':>6}  field", "bold")
    for field in summary["fields"]:
        value = field["value"] if isinstance(field["value"], int) else _cut(field["value"])
        say(f"{field['offset']:7} {field['length']:6}  {field['name']:36} {value}")
    for number, certificate in enumerate(summary["certificates"]):
        say(f"certificate {number}", "bold")
        for name, value in _lines(certificate):
            say(f"  {name:14} {value}")
    say(UNVERIFIED, "yellow")


def _lines(certificate: Summary) -> Iterator[tuple[str, str]]:
    for name, value in certificate.items():
        yield name.replace("_", " "), str(value)


def _cut(digits: str) -> str:
    if len(digits) <= 2 * LONGEST_SHOWN_BYTES:
        return digits
    return f"{digits[:LONGEST_SHOWN_BYTES]}... ({len(digits) // 2} bytes)"
