"""Running totals of the column tree as LLVM assembly.

Responsible for: the text of `centre`, `add` and `write`, for each way to say what is kept.
Must not know:   trees, blocks, threads, Python's arrays.

    void centre(ptr aggregate, ptr centre, ptr squares, i64 leaves)
        r of 16 coordinates a leaf, int16, and the running sum of its squares, one uint64 a leaf.
    void add(ptr rows, ptr centre, ptr squares, ptr low, ptr high, ptr selected, ptr counted, ptr kept, ptr sums,
             ptr records, i64 width, i64 k, i64 leaves)
        To kept (k uint32) and sums (k pairs: deviation, alignment) add what the leaves add.
        rows: k addresses.  selected: k int32, all ones or zero.  counted: (leaves, k) uint8.
        width: coordinates of a leaf that count.
    void write(...)
        The same, and after each leaf the totals go to records, (leaves, k) of 20 bytes, big-endian.

deviation = sum q**2 - 2 * sum q * r + sum r**2, modulo 2**64.  A sum of two squares of int16 fits 32 bits without a
sign, one of two products with r, which is never -32768, with one.  Even and odd lanes apart, because that is the one
instruction that multiplies int16 and adds neighbours up.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.native import WIDE


def text(kept: str) -> str:
    """The module of one way to say what is kept: "counted", "whole" or "ranged"."""
    functions = _function(kept, is_written=False) + _function(kept, is_written=True)
    return f"{_CENTRE}{functions}attributes #0 = {{ nounwind {WIDE} }}\n"


def _lanes(lanes: Sequence[int]) -> str:
    return "<" + ", ".join(f"i32 {lane}" for lane in lanes) + ">"


_EVEN, _ODD = _lanes(range(0, 16, 2)), _lanes(range(1, 16, 2))

_CENTRE = f"""
define void @centre(ptr %aggregate, ptr %centre, ptr %squares, i64 %leaves) #0 {{
entry:
  br label %leaf
leaf:
  %l = phi i64 [ 0, %entry ], [ %l_next, %leaf ]
  %sum = phi i64 [ 0, %entry ], [ %sum_now, %leaf ]
  %a_place = getelementptr <16 x i32>, ptr %aggregate, i64 %l
  %a = load <16 x i32>, ptr %a_place, align 4
  %a_up = call <16 x i32> @llvm.sadd.sat(<16 x i32> %a, <16 x i32> splat (i32 {1 << 14}))
  %a_floor = ashr <16 x i32> %a_up, splat (i32 15)
  %a_min = call <16 x i32> @llvm.smin(<16 x i32> %a_floor, <16 x i32> splat (i32 32767))
  %r = call <16 x i32> @llvm.smax(<16 x i32> %a_min, <16 x i32> splat (i32 -32767))
  %r_short = trunc <16 x i32> %r to <16 x i16>
  %r_place = getelementptr <16 x i16>, ptr %centre, i64 %l
  store <16 x i16> %r_short, ptr %r_place, align 2
  %square = mul <16 x i32> %r, %r
  %square_wide = zext <16 x i32> %square to <16 x i64>
  %square_sum = call i64 @llvm.vector.reduce.add(<16 x i64> %square_wide)
  %sum_now = add i64 %sum, %square_sum
  %sum_place = getelementptr i64, ptr %squares, i64 %l
  store i64 %sum_now, ptr %sum_place
  %l_next = add i64 %l, 1
  %is_more = icmp ult i64 %l_next, %leaves
  br i1 %is_more, label %leaf, label %end
end:
  ret void
}}
"""
"""r of every leaf, and the running sum of its squares."""

_KEPT = {
    "counted": """
  %given_place = getelementptr i8, ptr %counted, i64 %cell
  %given = load i8, ptr %given_place
  %more_kept = zext i8 %given to i32
""",
    "whole": """
  %most = trunc i64 %width to i32
  %more_kept = and i32 %most, %mask
""",
    "ranged": """
  %low_place = getelementptr <16 x i16>, ptr %low, i64 %l
  %high_place = getelementptr <16 x i16>, ptr %high, i64 %l
  %lowest = load <16 x i16>, ptr %low_place, align 2
  %highest = load <16 x i16>, ptr %high_place, align 2
  %is_above = icmp sle <16 x i16> %lowest, %q
  %is_below = icmp sle <16 x i16> %q, %highest
  %is_in = and <16 x i1> %is_above, %is_below
  %bits = bitcast <16 x i1> %is_in to i16
  %ones = call i16 @llvm.ctpop(i16 %bits)
  %in_range = zext i16 %ones to i32
  %more_kept = and i32 %in_range, %mask
""",
}
"""How many coordinates of row j are kept in leaf l, by the way in which that is said."""

_ADD = """
  %xx_now = add <8 x i64> %xx, %xx_leaf
  %xr_now = add <8 x i64> %xr, %xr_leaf
"""
_ADDED = """
  %xx_all = call i64 @llvm.vector.reduce.add(<8 x i64> %xx_now)
  %xr_all = call i64 @llvm.vector.reduce.add(<8 x i64> %xr_now)
"""
"""Sums of 8 lanes, joined at the end of a row."""

_WRITE = f"""
  %y1 = shufflevector <8 x i64> %xx_leaf, <8 x i64> %xr_leaf, <8 x i32> {_lanes((0, 1, 2, 3, 8, 9, 10, 11))}
  %y2 = shufflevector <8 x i64> %xx_leaf, <8 x i64> %xr_leaf, <8 x i32> {_lanes((4, 5, 6, 7, 12, 13, 14, 15))}
  %y = add <8 x i64> %y1, %y2
  %z1 = shufflevector <8 x i64> %y, <8 x i64> poison, <4 x i32> {_lanes((0, 1, 4, 5))}
  %z2 = shufflevector <8 x i64> %y, <8 x i64> poison, <4 x i32> {_lanes((2, 3, 6, 7))}
  %z = add <4 x i64> %z1, %z2
  %u1 = shufflevector <4 x i64> %z, <4 x i64> poison, <2 x i32> {_lanes((0, 2))}
  %u2 = shufflevector <4 x i64> %z, <4 x i64> poison, <2 x i32> {_lanes((1, 3))}
  %u = add <2 x i64> %u1, %u2
  %xx_one = extractelement <2 x i64> %u, i64 0
  %xr_one = extractelement <2 x i64> %u, i64 1
  %xx_now = add i64 %xx, %xx_one
  %xr_now = add i64 %xr, %xr_one
  %rr_place = getelementptr i64, ptr %squares, i64 %l
  %rr = load i64, ptr %rr_place
  %xr_twice = shl i64 %xr_now, 1
  %xx_less = sub i64 %xx_now, %xr_twice
  %xx_rr = add i64 %xx_less, %rr
  %deviation = add i64 %before_deviation, %xx_rr
  %alignment = add i64 %before_alignment, %xr_now
  %record = getelementptr [20 x i8], ptr %records, i64 %cell
  %record_1 = getelementptr i8, ptr %record, i64 4
  %record_2 = getelementptr i8, ptr %record, i64 12
  %kept_bytes = call i32 @llvm.bswap(i32 %kept_now)
  %deviation_bytes = call i64 @llvm.bswap(i64 %deviation)
  %alignment_bytes = call i64 @llvm.bswap(i64 %alignment)
  store i32 %kept_bytes, ptr %record, align 1
  store i64 %deviation_bytes, ptr %record_1, align 1
  store i64 %alignment_bytes, ptr %record_2, align 1
"""
"""Sums of one leaf, and the record of it; xx and xr are single numbers here."""


def _function(kept: str, *, is_written: bool) -> str:
    """Rows one by one, so that each is read from its first to its last leaf, and its sums stay in registers."""
    kind, zero = ("i64", "0") if is_written else ("<8 x i64>", "zeroinitializer")
    xx_all, xr_all = ("%xx_now", "%xr_now") if is_written else ("%xx_all", "%xr_all")
    return f"""
define void @{"write" if is_written else "add"}(ptr %rows, ptr %centre, ptr %squares, ptr %low, ptr %high,
    ptr %selected, ptr %counted, ptr %kept, ptr %sums, ptr %records, i64 %width, i64 %k, i64 %leaves) #0 {{
entry:
  %last = sub i64 %leaves, 1
  %rr_last_place = getelementptr i64, ptr %squares, i64 %last
  %rr_all = load i64, ptr %rr_last_place
  br label %row
row:
  %j = phi i64 [ 0, %entry ], [ %j_next, %row_end ]
  %row_place = getelementptr ptr, ptr %rows, i64 %j
  %coordinates = load ptr, ptr %row_place
  %mask_place = getelementptr i32, ptr %selected, i64 %j
  %mask = load i32, ptr %mask_place
  %kept_place = getelementptr i32, ptr %kept, i64 %j
  %kept_before = load i32, ptr %kept_place
  %deviation_place = getelementptr [2 x i64], ptr %sums, i64 %j
  %alignment_place = getelementptr i64, ptr %deviation_place, i64 1
  %before_deviation = load i64, ptr %deviation_place
  %before_alignment = load i64, ptr %alignment_place
  br label %leaf
leaf:
  %l = phi i64 [ 0, %row ], [ %l_next, %leaf ]
  %kept_sum = phi i32 [ %kept_before, %row ], [ %kept_now, %leaf ]
  %xx = phi {kind} [ {zero}, %row ], [ %xx_now, %leaf ]
  %xr = phi {kind} [ {zero}, %row ], [ %xr_now, %leaf ]
  %cell_first = mul i64 %l, %k
  %cell = add i64 %cell_first, %j
  %q_place = getelementptr <16 x i16>, ptr %coordinates, i64 %l
  %q = load <16 x i16>, ptr %q_place, align 2
  %r_place = getelementptr <16 x i16>, ptr %centre, i64 %l
  %r = load <16 x i16>, ptr %r_place, align 2
{_split("q")}{_split("r")}
  %xx_even = mul <8 x i32> %q_even, %q_even
  %xx_odd = mul <8 x i32> %q_odd, %q_odd
  %xx_short = add <8 x i32> %xx_even, %xx_odd
  %xx_leaf = zext <8 x i32> %xx_short to <8 x i64>
  %xr_even = mul <8 x i32> %q_even, %r_even
  %xr_odd = mul <8 x i32> %q_odd, %r_odd
  %xr_short = add <8 x i32> %xr_even, %xr_odd
  %xr_leaf = sext <8 x i32> %xr_short to <8 x i64>
{_KEPT[kept]}
  %kept_now = add i32 %kept_sum, %more_kept
{_WRITE if is_written else _ADD}
  %l_next = add i64 %l, 1
  %is_more = icmp ult i64 %l_next, %leaves
  br i1 %is_more, label %leaf, label %row_end
row_end:
{"" if is_written else _ADDED}
  %xr_all_twice = shl i64 {xr_all}, 1
  %xx_all_less = sub i64 {xx_all}, %xr_all_twice
  %added = add i64 %xx_all_less, %rr_all
  %deviation_after = add i64 %before_deviation, %added
  %alignment_after = add i64 %before_alignment, {xr_all}
  store i32 %kept_now, ptr %kept_place
  store i64 %deviation_after, ptr %deviation_place
  store i64 %alignment_after, ptr %alignment_place
  %j_next = add i64 %j, 1
  %is_more_rows = icmp ult i64 %j_next, %k
  br i1 %is_more_rows, label %row, label %end
end:
  ret void
}}
"""


def _split(name: str) -> str:
    """Even and odd lanes of 16 int16, as int32."""
    lines = []
    for which, lanes in (("even", _EVEN), ("odd", _ODD)):
        taken = f"%{name}_{which}_short"
        lines.append(f"  {taken} = shufflevector <16 x i16> %{name}, <16 x i16> poison, <8 x i32> {lanes}\n")
        lines.append(f"  %{name}_{which} = sext <8 x i16> {taken} to <8 x i32>\n")
    return "".join(lines)
