"""SHA-256 of many messages at once, as LLVM assembly: with the processor's SHA instructions, or in vectors of 16.

Responsible for: the text of two modules that do the same, `streams` (x86 with SHA instructions) and `lanes` (any
                 processor).
Must not know:   trees, Python's arrays, or which of the two is used where.

Each module has two functions:

    void hash(ptr halves, i64 blocks, i32 prefix, i32 shift, i64 count, ptr out)
        `count` messages of one length, 32 bytes at a time: half h of message i is at halves[h].base + i *
        halves[h].stride, in memory's order; two halves are a block, and padding is a half like any other.  Before
        it all come the lowest `shift` bits of `prefix` (0, 8 or 16): every word is shifted by them, and what leaves
        the last block is not hashed.  Digest i goes to out + 32 * i.
    void fold(ptr nodes, i64 count)
        The root of an RFC 9162 tree over `count` nodes of 32 bytes, left in the first; the others are overwritten.

A group of messages is read before its digests are written, so that a level may be written over the one below it.

Source: FIPS 180-4, sections 4.1.2 (functions), 4.2.2 (constants), 5.1.1 (padding), 5.2.1 (parsing), 5.3.3 (initial
value), 6.2.2 (computation); numbers in parentheses below are its sections.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isqrt

from protocol.native import WIDE

STREAMS, LANES = 3, 16
"""Messages at a time.  Three chains of the SHA instructions hide their latency; 16 words are a 512-bit register."""

NODE_PAD = b"\x80" + bytes(60) + (8 * 65).to_bytes(2) + b"\0"
"""What follows 0x01 || left || right in its second block, shifted by the prefix."""


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root(value: int) -> int:
    low, high = 0, 1 << 40
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= value else (low, middle - 1)
    return low


# (4.2.2, 5.3.3): the first 32 bits of the fractional parts of roots of the first primes
K = tuple(_cube_root(prime << 96) & 0xFFFFFFFF for prime in _primes(64))
H = tuple(isqrt(prime << 64) & 0xFFFFFFFF for prime in _primes(8))


class _Text:
    """Lines of assembly, and names for the values that they define."""

    def __init__(self, letter: str) -> None:
        """letter: what names begin with; one for each text of a function."""
        self._letter = letter
        self.lines: list[str] = []

    def op(self, text: str) -> str:
        """The name of the value that `text` defines."""
        name = f"%{self._letter}{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return name

    def call(self, function: str, kind: str, *values: str) -> str:
        """A function's value, of the same kind as its arguments."""
        return self.op(f"call {kind} @llvm.{function}(" + ", ".join(f"{kind} {value}" for value in values) + ")")

    def fold(self, operation: str, kind: str, *values: str) -> str:
        """The values joined by add or xor."""
        total = values[0]
        for value in values[1:]:
            total = self.op(f"{operation} {kind} {total}, {value}")
        return total

    def shuffle(self, kind: str, a: str, b: str, places: Iterable[int]) -> str:
        """The elements of a, then b, at `places`."""
        mask = [f"i32 {place}" for place in places]
        return self.op(f"shufflevector {kind} {a}, {kind} {b}, <{len(mask)} x i32> <{', '.join(mask)}>")

    def splat(self, kind: str, value: str) -> str:
        """A vector of one i32."""
        one = self.op(f"insertelement {kind} poison, i32 {value}, i64 0")
        return self.op(f"shufflevector {kind} {one}, {kind} poison, {kind} zeroinitializer")


# --- with the SHA instructions ----------------------------------------------------------------------------------------

_QUAD = "<4 x i32>"


def streams() -> str:
    """The module for x86 processors with SHA instructions: two rounds in one, a message in a register of its own."""
    text, phis, finals = _Text("v"), [], []
    words, states = [], []
    for i in range(STREAMS):
        x = [text.call("bswap.v4i32", _QUAD, _load(text, _QUAD, f"%{half}{i}", at)) for half in "ab" for at in (0, 16)]
        words.append([_shifted(text, before, x[j]) for j, before in enumerate([f"%carry{i}", *x[:3]])])
        states.append((f"%abef{i}", f"%cdgh{i}"))
        phis.append((f"%carry{i}", "%prefixes", x[3]))
    for group in range(16):  # of four rounds; the streams alternate, because each round waits for the one before it
        for i in range(STREAMS):
            if group >= 4:
                words[i] = [*words[i][1:], _next_words(text, words[i])]
            states[i] = _four_rounds(text, states[i], words[i][min(group, 3)], K[4 * group : 4 * group + 4])
    a, b, c, d, e, f, g, h = H
    for i, (abef, cdgh) in enumerate(states):
        finals.append((text.fold("add", _QUAD, abef, f"%abef{i}"), text.fold("add", _QUAD, cdgh, f"%cdgh{i}")))
        phis.append((f"%abef{i}", _constants((f, e, b, a)), finals[i][0]))
        phis.append((f"%cdgh{i}", _constants((h, g, d, c)), finals[i][1]))
    store = _Text("s")
    for i, (abef, cdgh) in enumerate(finals):
        for at, places in ((0, (3, 2, 7, 6)), (16, (1, 0, 5, 4))):
            quad = store.call("bswap.v4i32", _QUAD, store.shuffle(_QUAD, abef, cdgh, places))
            _store(store, _QUAD, quad, f"%o{i}", at)
    return _STREAMS_DECLARED + _hash(STREAMS, _QUAD, phis, text, "block", store) + _FOLD


_STREAMS_DECLARED = """
declare <4 x i32> @llvm.x86.sha256rnds2(<4 x i32>, <4 x i32>, <4 x i32>)
declare <4 x i32> @llvm.x86.sha256msg1(<4 x i32>, <4 x i32>)
declare <4 x i32> @llvm.x86.sha256msg2(<4 x i32>, <4 x i32>)
declare <4 x i32> @llvm.bswap.v4i32(<4 x i32>)
declare <4 x i32> @llvm.fshr.v4i32(<4 x i32>, <4 x i32>, <4 x i32>)
"""


def _shifted(text: _Text, before: str, words: str) -> str:
    """Four words of the message, the last bits of the word before them in front."""
    earlier = text.shuffle(_QUAD, before, words, (3, 4, 5, 6))
    return text.call("fshr.v4i32", _QUAD, earlier, words, "%shifts")


def _next_words(text: _Text, last: Sequence[str]) -> str:
    """W[t] = s1(W[t-2]) + W[t-7] + s0(W[t-15]) + W[t-16] for the next four t (6.2.2, step 1)."""
    first = text.call("x86.sha256msg1", _QUAD, last[0], last[1])
    seven_ago = text.shuffle(_QUAD, last[2], last[3], (1, 2, 3, 4))
    return text.call("x86.sha256msg2", _QUAD, text.fold("add", _QUAD, first, seven_ago), last[3])


def _four_rounds(text: _Text, state: tuple[str, str], words: str, constants: Sequence[int]) -> tuple[str, str]:
    """(6.2.2, step 3); the instruction takes a, b, e, f apart from c, d, g, h."""
    abef, cdgh = state
    low = text.fold("add", _QUAD, words, _constants(constants))
    high = text.shuffle(_QUAD, low, "poison", (2, 3, 2, 3))
    cdgh = text.call("x86.sha256rnds2", _QUAD, cdgh, abef, low)
    return text.call("x86.sha256rnds2", _QUAD, abef, cdgh, high), cdgh


# --- in vectors -------------------------------------------------------------------------------------------------------

_WIDE = "<16 x i32>"


def lanes() -> str:
    """The module for any processor: word t of 16 messages is one vector, in as many registers as that takes."""
    text = _Text("v")
    read = []
    for i in range(LANES):
        a, b = _load(text, "<8 x i32>", f"%a{i}", 0), _load(text, "<8 x i32>", f"%b{i}", 0)
        read.append(text.call("bswap.v16i32", _WIDE, text.shuffle("<8 x i32>", a, b, range(16))))
    x = _transposed(text, read)
    words = [
        text.call("fshr.v16i32", _WIDE, before, here, "%shifts")
        for before, here in zip(["%carry", *x[:15]], x, strict=True)
    ]
    finals = _sixty_four_rounds(text, [f"%h{i}" for i in range(8)], words)
    phis = [("%carry", "%prefixes", x[15])]
    phis += [(f"%h{i}", f"splat (i32 {_signed(H[i])})", finals[i]) for i in range(8)]
    store = _Text("s")
    for i, digest in enumerate(_transposed(store, [*finals, *finals])):
        half = store.shuffle(_WIDE, digest, "poison", range(8))
        _store(store, "<8 x i32>", store.call("bswap.v8i32", "<8 x i32>", half), f"%o{i}", 0)
    table = f"@k = internal constant [64 x i32] [{', '.join(f'i32 {_signed(k)}' for k in K)}], align 64\n"
    return _LANES_DECLARED + table + _hash(LANES, _WIDE, phis, text, "done_rounds", store) + _FOLD


_LANES_DECLARED = """
declare <16 x i32> @llvm.fshl.v16i32(<16 x i32>, <16 x i32>, <16 x i32>)
declare <16 x i32> @llvm.fshr.v16i32(<16 x i32>, <16 x i32>, <16 x i32>)
declare <16 x i32> @llvm.bswap.v16i32(<16 x i32>)
declare <8 x i32> @llvm.bswap.v8i32(<8 x i32>)
"""


def _transposed(text: _Text, vectors: Sequence[str]) -> list[str]:
    """Element i of vector j becomes element j of vector i: 4 steps, each exchanging one bit of i with one of j."""
    out = list(vectors)
    for bit in (1, 2, 4, 8):
        lower = [16 + (place ^ bit) if place & bit else place for place in range(16)]
        upper = [16 + place if place & bit else place | bit for place in range(16)]
        for i in range(16):
            if not i & bit:
                a, b = out[i], out[i | bit]
                out[i], out[i | bit] = text.shuffle(_WIDE, a, b, lower), text.shuffle(_WIDE, a, b, upper)
    return out


def _sixty_four_rounds(text: _Text, state: Sequence[str], words: Sequence[str]) -> list[str]:
    """A loop of four times 16 rounds, and the intermediate hash value after them (6.2.2, steps 1 to 4)."""
    phis = [f"%a{letter}" for letter in "bcdefghi"] + [f"%w{t}" for t in range(16)]
    text.lines += ["  br label %rounds", "rounds:", "  %t = phi i64 [ 0, %block ], [ %t_next, %schedule ]"]
    place = len(text.lines)
    text.lines += [""] * len(phis)
    text.lines.append("  %constants = getelementptr i32, ptr @k, i64 %t")
    worked, w = phis[:8], phis[8:]
    for t in range(16):
        worked = _round(text, worked, w[t], t)
    text.lines += ["  %t_next = add i64 %t, 16", "  %is_more_rounds = icmp ult i64 %t_next, 64"]
    text.lines += ["  br i1 %is_more_rounds, label %schedule, label %done_rounds", "schedule:"]
    w = list(w)
    for t in range(16):
        late, early = w[(t + 14) % 16], w[(t + 1) % 16]
        s1, s0 = _sigma(text, late, 17, 19, shift=10), _sigma(text, early, 7, 18, shift=3)
        w[t] = text.fold("add", _WIDE, s1, w[(t + 9) % 16], s0, w[t])
    text.lines += ["  br label %rounds", "done_rounds:"]
    for i, (name, first, after) in enumerate(zip(phis, [*state, *words], [*worked, *w], strict=True)):
        text.lines[place + i] = f"  {name} = phi {_WIDE} [ {first}, %block ], [ {after}, %schedule ]"
    return [text.fold("add", _WIDE, before, after) for before, after in zip(state, worked, strict=True)]


def _round(text: _Text, state: Sequence[str], word: str, t: int) -> list[str]:
    """(6.2.2, step 3)"""
    a, b, c, d, e, f, g, h = state
    pointer = text.op(f"getelementptr i32, ptr %constants, i64 {t}")
    constant = text.splat(_WIDE, text.op(f"load i32, ptr {pointer}"))
    ch = text.fold("xor", _WIDE, text.op(f"and {_WIDE} {e}, {text.fold('xor', _WIDE, f, g)}"), g)
    both, either = text.op(f"and {_WIDE} {a}, {b}"), text.op(f"or {_WIDE} {a}, {b}")
    maj = text.op(f"or {_WIDE} {both}, {text.op(f'and {_WIDE} {either}, {c}')}")
    t1 = text.fold("add", _WIDE, h, text.fold("add", _WIDE, word, constant), _sigma(text, e, 6, 11, 25), ch)
    t2 = text.fold("add", _WIDE, _sigma(text, a, 2, 13, 22), maj)
    return [text.fold("add", _WIDE, t1, t2), a, b, c, text.fold("add", _WIDE, d, t1), e, f, g]


def _sigma(text: _Text, x: str, *rotations: int, shift: int = 0) -> str:
    """Exclusive or of x rotated right, and x shifted right where there is a shift (4.1.2)."""
    parts = [text.call("fshl.v16i32", _WIDE, x, x, f"splat (i32 {32 - bits})") for bits in rotations]
    if shift:
        parts.append(text.op(f"lshr {_WIDE} {x}, splat (i32 {shift})"))
    return text.fold("xor", _WIDE, *parts)


# --- around both ------------------------------------------------------------------------------------------------------


def _hash(
    at_once: int, kind: str, phis: Sequence[tuple[str, str, str]], block: _Text, last_label: str, store: _Text
) -> str:
    """The function: groups of messages, and the blocks of each; past the last message a group has that one again.

    phis: (name, value before the first block, value after a block) of what goes from block to block.
    """
    indices, addresses, outputs = [], [], []
    for i in range(at_once):
        indices.append(f"  %j{i} = add i64 %first, {i}\n  %i{i} = call i64 @llvm.umin.i64(i64 %j{i}, i64 %last)")
        for half in "ab":
            addresses.append(f"  %t{half}{i} = mul i64 %i{i}, %stride_{half}")
            addresses.append(f"  %{half}{i} = getelementptr i8, ptr %base_{half}, i64 %t{half}{i}")
        outputs.append(f"  %p{i} = shl i64 %i{i}, 5\n  %o{i} = getelementptr i8, ptr %out, i64 %p{i}")
    carried = [f"  {name} = phi {kind} [ {first}, %group ], [ {after}, %{last_label} ]" for name, first, after in phis]
    splats = _Text("e")
    prefixes, shifts = splats.splat(kind, "%prefix"), splats.splat(kind, "%shift")
    new_line = "\n"
    text = f"""
declare i64 @llvm.umin.i64(i64, i64)
define void @hash(ptr %halves, i64 %blocks, i32 %prefix, i32 %shift, i64 %count, ptr %out) #0 {{
entry:
  %last = sub i64 %count, 1
{new_line.join(splats.lines)}
  br label %group
group:
  %first = phi i64 [ 0, %entry ], [ %first_next, %store ]
{new_line.join(indices)}
  br label %block
block:
  %n = phi i64 [ 0, %group ], [ %n_next, %{last_label} ]
{new_line.join(carried)}
  %n_next = add i64 %n, 1
  %pair = getelementptr [4 x i64], ptr %halves, i64 %n
  %pair_1 = getelementptr i64, ptr %pair, i64 1
  %pair_2 = getelementptr i64, ptr %pair, i64 2
  %pair_3 = getelementptr i64, ptr %pair, i64 3
  %base_a = load ptr, ptr %pair
  %stride_a = load i64, ptr %pair_1
  %base_b = load ptr, ptr %pair_2
  %stride_b = load i64, ptr %pair_3
{new_line.join(addresses)}
{new_line.join(block.lines)}
  %is_more = icmp ult i64 %n_next, %blocks
  br i1 %is_more, label %block, label %store
store:
{new_line.join(outputs)}
{new_line.join(store.lines)}
  %first_next = add i64 %first, {at_once}
  %is_again = icmp ult i64 %first_next, %count
  br i1 %is_again, label %group, label %end
end:
  ret void
}}
attributes #0 = {{ nounwind {WIDE} }}
"""
    return text.replace("%prefixes", prefixes).replace("%shifts", shifts)


_FOLD = f"""
@pad = internal constant [64 x i8] [{", ".join(f"i8 {byte}" for byte in NODE_PAD)}], align 64
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define void @fold(ptr %nodes, i64 %count) #0 {{
entry:
  %halves = alloca [8 x i64], align 64
  %right = getelementptr i8, ptr %nodes, i64 32
  %pad_b = getelementptr i8, ptr @pad, i64 32
  %h1 = getelementptr i64, ptr %halves, i64 1
  %h2 = getelementptr i64, ptr %halves, i64 2
  %h3 = getelementptr i64, ptr %halves, i64 3
  %h4 = getelementptr i64, ptr %halves, i64 4
  %h5 = getelementptr i64, ptr %halves, i64 5
  %h6 = getelementptr i64, ptr %halves, i64 6
  %h7 = getelementptr i64, ptr %halves, i64 7
  store ptr %nodes, ptr %halves
  store i64 64, ptr %h1
  store ptr %right, ptr %h2
  store i64 64, ptr %h3
  store ptr @pad, ptr %h4
  store i64 0, ptr %h5
  store ptr %pad_b, ptr %h6
  store i64 0, ptr %h7
  br label %test
test:
  %level = phi i64 [ %count, %entry ], [ %above, %carried ]
  %is_more = icmp ugt i64 %level, 1
  br i1 %is_more, label %pairs, label %end
pairs:
  %n = lshr i64 %level, 1
  call void @hash(ptr %halves, i64 2, i32 1, i32 8, i64 %n, ptr %nodes)
  %odd = and i64 %level, 1
  %above = add i64 %n, %odd
  %is_odd = icmp ne i64 %odd, 0
  br i1 %is_odd, label %carry, label %carried
carry:
  %from = sub i64 %level, 1
  %from_at = getelementptr [32 x i8], ptr %nodes, i64 %from
  %to_at = getelementptr [32 x i8], ptr %nodes, i64 %n
  call void @llvm.memcpy.p0.p0.i64(ptr %to_at, ptr %from_at, i64 32, i1 false)
  br label %carried
carried:
  br label %test
end:
  ret void
}}
"""


def _load(text: _Text, kind: str, pointer: str, at: int) -> str:
    return text.op(f"load {kind}, ptr {text.op(f'getelementptr i8, ptr {pointer}, i64 {at}')}, align 1")


def _store(text: _Text, kind: str, value: str, pointer: str, at: int) -> None:
    place = text.op(f"getelementptr i8, ptr {pointer}, i64 {at}")
    text.lines.append(f"  store {kind} {value}, ptr {place}, align 1")


def _constants(words: Iterable[int]) -> str:
    return "<" + ", ".join(f"i32 {_signed(word)}" for word in words) + ">"


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word
