"""Paper sizes by all their names, and the one name that jobs are charged by.

Analysis names seven sizes and calls every other by its millimetres, short side first,
such as ``420x594mm`` for A2; a price list must use the same name or its line serves nobody.
"""

from __future__ import annotations

import re

from papercutd.errors import InvalidValue

#: What jobs are charged by under a word of its own, in points, short side first.
NAMED = {
    "A3": (842, 1191),
    "A4": (595, 842),
    "A5": (420, 595),
    "A6": (298, 420),
    "Letter": (612, 792),
    "Legal": (612, 1008),
    "Tabloid": (792, 1224),
}
TOLERANCE_POINTS = 12
_POINTS_PER_MM = 72 / 25.4

#: Name, millimetres (short side first), other names: PWG's without its size, PPD's, people's.
_TABLE = """
4A0 1682 2378 iso_4a0
2A0 1189 1682 iso_2a0
A0 841 1189 iso_a0
A1 594 841 iso_a1
A2 420 594 iso_a2
A3 297 420 iso_a3
A4 210 297 iso_a4
A5 148 210 iso_a5
A6 105 148 iso_a6
A7 74 105 iso_a7
A8 52 74 iso_a8
A9 37 52 iso_a9
A10 26 37 iso_a10
SRA3 320 450 iso_sra3
SRA4 225 320 iso_sra4
RA3 305 430 iso_ra3
RA4 215 305 iso_ra4
B0 1000 1414 iso_b0 isob0
B1 707 1000 iso_b1 isob1
B2 500 707 iso_b2 isob2
B3 353 500 iso_b3 isob3
B4 250 353 iso_b4 isob4
B5 176 250 iso_b5 isob5
B6 125 176 iso_b6 isob6
C3 324 458 iso_c3 envc3
C4 229 324 iso_c4 envc4
C5 162 229 iso_c5 envc5
C6 114 162 iso_c6 envc6
DL 110 220 iso_dl envdl
JISB0 1030 1456 jis_b0
JISB1 728 1030 jis_b1
JISB2 515 728 jis_b2
JISB3 364 515 jis_b3
JISB4 257 364 jis_b4
JISB5 182 257 jis_b5
JISB6 128 182 jis_b6
Letter 215.9 279.4 na_letter 8.5x11
Legal 215.9 355.6 na_legal 8.5x14
Tabloid 279.4 431.8 na_ledger ledger 11x17
Executive 184.15 266.7 na_executive
Statement 139.7 215.9 na_invoice invoice
Foolscap 215.9 330.2 na_foolscap
Oficio 215.9 340.36 na_oficio
Folio 210 330 om_folio
SuperA 227 356 na_super-a
SuperB 304.8 482.6 na_super-b
ANSIC 431.8 558.8 na_c
ANSID 558.8 863.6 na_d
ANSIE 863.6 1117.6 na_e
ArchA 228.6 304.8 na_arch-a
ArchB 304.8 457.2 na_arch-b
ArchC 457.2 609.6 na_arch-c
ArchD 609.6 914.4 na_arch-d
ArchE 914.4 1219.2 na_arch-e
Hagaki 100 148 jpn_hagaki postcard
Photo5x7 127 177.8 na_5x7 5x7
"""
#: Name -> width and height in millimetres.
SIZES: dict[str, tuple[float, float]] = {}
_NAMES: dict[str, str] = {}
for _row in _TABLE.split("\n")[1:-1]:
    _name, _width, _height, *_aliases = _row.split()
    SIZES[_name] = (float(_width), float(_height))
    _NAMES.update(dict.fromkeys([_name.lower(), *_aliases], _name))

_PWG_SIZE = re.compile(r"_[0-9.]+x[0-9.]+(mm|in)$")
_MILLIMETRES = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})mm")


def paper_name(width: float, height: float) -> str:
    """What a page of so many points is charged by, whichever way it is turned.

    >>> paper_name(842, 595), paper_name(1191, 1684)
    ('A4', '420x594mm')
    """
    short, long = sorted((width, height))
    for name, (w, h) in NAMED.items():
        if abs(short - w) <= TOLERANCE_POINTS and abs(long - h) <= TOLERANCE_POINTS:
            return name
    return f"{round(short / 72 * 25.4)}x{round(long / 72 * 25.4)}mm"


def charged_name(text: str) -> str:
    """The name by which jobs on the paper ``text`` are charged.

    >>> charged_name("iso_a4_210x297mm"), charged_name("ledger"), charged_name("A2")
    ('A4', 'Tabloid', '420x594mm')
    """
    word = text.strip().lower()
    size = _MILLIMETRES.fullmatch(word)
    name = _NAMES.get(_PWG_SIZE.sub("", word))
    if size:
        width, height = float(size[1]), float(size[2])
    elif name is not None:
        width, height = SIZES[name]
    else:
        raise InvalidValue(
            "paper",
            f"{text[:40]!r} is no paper size we know: write a name such as A4 or Letter,"
            " its millimetres such as 420x594mm, or * for all others",
        )
    return paper_name(width * _POINTS_PER_MM, height * _POINTS_PER_MM)
