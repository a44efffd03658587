"""Fonts for tests, made of the one that Pillow carries: its glyphs under other letters."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from PIL import ImageFont

FORMATS = (4, 6, 10, 12, 13)


def pillows_tables() -> dict[bytes, bytes]:
    """The tables of Pillow's own font."""
    data = ImageFont.load_default(10).font_bytes
    count = struct.unpack_from(">H", data, 4)[0]
    found = (struct.unpack_from(">4sLLL", data, 12 + 16 * n) for n in range(count))
    return {tag: data[start : start + length] for tag, _, start, length in found}


def pillows_glyphs() -> dict[str, int]:
    """Letter -> glyph of Pillow's own font, whose table is of the simplest kind: delta or list in each stretch."""
    table = pillows_tables()[b"cmap"][28:]
    double = struct.unpack_from(">H", table, 6)[0]
    rows = [struct.unpack_from(f">{double // 2}H", table, at + n * double) for n, at in enumerate((14, 16, 16, 16))]
    glyphs = {}
    for n, (end, start, delta, offset) in enumerate(zip(*rows, strict=True)):
        for code in range(start, min(end, 0xFFFE) + 1):
            at = 16 + 3 * double + 2 * n + offset + 2 * (code - start)
            glyph = struct.unpack_from(">H", table, at)[0] if offset else (code + delta) & 0xFFFF
            glyphs |= {chr(code): glyph} if glyph else {}
    return glyphs


def font(path: Path, letters: Mapping[str, str] = {}, own: bool = True, kind: int = 12, **tables: bytes | None) -> Path:
    """Write a font at `path` whose letters look like Pillow's letters that they stand for; `own`: these, too.

    kind: format of the table of letters. tables: other contents of tables, None for none. A `.ttc` is a collection.
    """
    shapes = pillows_glyphs()
    wanted = (shapes if own else {}) | {letter: shapes[like] for letter, like in letters.items()}
    parts = pillows_tables() | {b"cmap": _cmap({ord(letter): glyph for letter, glyph in wanted.items()}, kind)}
    parts |= {name.ljust(4).encode(): data for name, data in tables.items()}  # type: ignore[dict-item]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_file({tag: data for tag, data in parts.items() if data is not None}, path.suffix == ".ttc"))
    return path


def taller(times: int) -> dict[str, bytes]:
    """Tables for `font`: the same letters, said to reach `times` as far up."""
    head = pillows_tables()[b"hhea"]
    return {"hhea": head[:4] + struct.pack(">h", times * struct.unpack_from(">h", head, 4)[0]) + head[6:]}


def _cmap(glyphs: dict[int, int], kind: int) -> bytes:
    codes = sorted(glyphs)
    if kind == 4:
        ends, deltas = [*codes, 0xFFFF], [*((glyphs[code] - code) & 0xFFFF for code in codes), 1]
        lists = [ends, [0], ends, deltas, [0] * len(ends)]
        body = b"".join(struct.pack(f">{len(row)}H", *row) for row in lists)
        table = struct.pack(">HHHHHHH", 4, 14 + len(body), 0, 2 * len(ends), 0, 0, 0) + body
    elif kind in (6, 10):
        row = [glyphs.get(code, 0) for code in range(codes[0], codes[-1] + 1)]
        head = (
            struct.pack(">HHH", 6, 10 + 2 * len(row), 0)
            if kind == 6
            else struct.pack(">HHLL", 10, 0, 20 + 2 * len(row), 0)
        )
        table = head + struct.pack(">HH" if kind == 6 else ">LL", codes[0], len(row))
        table += struct.pack(f">{len(row)}H", *row)
    else:
        groups = b"".join(struct.pack(">LLL", code, code, glyphs[code]) for code in codes)
        table = struct.pack(">HHLLL", kind, 0, 16 + len(groups), 0, len(codes)) + groups
    return struct.pack(">HHHHL", 0, 1, 3, 1 if kind in (4, 6) else 10, 12) + table


def _file(tables: dict[bytes, bytes], collection: bool) -> bytes:
    before = struct.pack(">4sHHLL", b"ttcf", 1, 0, 1, 16) if collection else b""
    at = len(before) + 12 + 16 * len(tables)
    listed, body = b"", b""
    for tag, data in sorted(tables.items()):
        listed += struct.pack(">4sLLL", tag, 0, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return before + struct.pack(">4sHHHH", b"\0\1\0\0", len(tables), 0, 0, 0) + listed + body
