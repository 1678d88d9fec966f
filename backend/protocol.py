"""The stream between Blender and the backend: framing, message names, the shape of a label document.

Standard library only: this is the one module that both processes import. A message on the wire is

    u32 length of the header, the same inverted, CRC-32 of the header, CRC-32 of the payload
    header, JSON in UTF-8
    payload

all little-endian. A damaged byte is noticed as soon as it is read, wherever it is: what a person sees, or said, is
never made of one. The header's ``arrays`` list describes the payload: ``[{"name", "dtype", "shape"}, ...]``,
little-endian, C order, one after the other. Nothing assumes a shared file system.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

VERSION = 2
MAX_HEADER = 16 << 20
PREFIX = struct.Struct("<IIII")
MAX_PAYLOAD = 2 << 30
ITEM_SIZE = {"u1": 1, "u2": 2, "u4": 4, "i4": 4, "i8": 8, "f4": 4, "f8": 8}

DOCUMENT_VERSION = 3  # of the label document's schema; every step to it is in MIGRATIONS
MAX_LABELS = 4096
MAX_MARKS = 100_000
MAX_POINTS = 1_000_000
MAX_UID = 65_535
MAX_MARK_ID = 2**31 - 2  # Blender counts in 32 bits, and the next mark needs a number too
MAX_NUMBER = 1e12  # of a pixel or a coordinate: finite in 32 bits and still after any change of units
MAX_DOCUMENT = 128 << 20  # bytes of a file
MAX_ENTRIES = 8_000_000  # values in a file: with them a document of MAX_POINTS fits, and its memory is bounded
KINDS = ("class", "group")
METHODS = ("combined", "marks-only", "marks-only-tree")
CACHE_UNPACKED = "unpacked"  # folder of unpacked captures in the cache; they have a limit of their own
CACHE_TEMPORARY, CACHE_FILLING = ".writing-", ".filling-"  # beginnings of names of what is being written
_CACHED = re.compile(r"\.writing-[^/]+|(..?)/(\1[^/]*-([0-9a-f]{32}|field)\.\w+(\.\d+\.tmp)?|\.writing-[^/]+)")
_PICTURE = re.compile(r"pictures/[^/]+/[^/]+\.png(\.part)?")
_UNPACKED = re.compile(r"unpacked/([0-9a-f]{32}|\.filling-[^/]+)(/.+)?")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # in the name of a label: it must fit into one line of UTF-8


class ProtocolError(Exception):
    """The other side sent bytes that are not a message."""


class StreamEnded(ProtocolError):
    """The stream ended in the middle of a message."""


class DocumentError(ValueError):
    """A label document that breaks its schema; the text is one sentence for a person."""


Array = tuple[str, tuple[int, ...], bytes | memoryview]  # dtype key of ITEM_SIZE, shape, bytes


def encode_message(header: dict[str, Any], arrays: dict[str, Array] | None = None) -> list[bytes | memoryview]:
    """One message as buffers to be written one after the other.

    Array data is any C-contiguous buffer. Raises ValueError for an array whose bytes do not fit its shape and for a
    message over the limits, TypeError for a header that JSON cannot hold; nothing has been written by then.
    """
    described, payload = [], []
    for name, (dtype, shape, data) in (arrays or {}).items():
        view = memoryview(data)
        view = view.cast("B") if view.nbytes else memoryview(b"")  # a view with a zero in its shape cannot be cast
        if dtype not in ITEM_SIZE or view.nbytes != ITEM_SIZE[dtype] * math.prod(shape):
            raise ValueError(f"array {name} has {view.nbytes} bytes, not {dtype} {shape}")
        described.append({"name": name, "dtype": dtype, "shape": list(shape)})
        payload.append(view)
    if sum(view.nbytes for view in payload) > MAX_PAYLOAD:
        raise ValueError(f"message payload is over the limit of {MAX_PAYLOAD} bytes")
    # ASCII only: file names that are not UTF-8 hold lone surrogates, which only the escaped form can carry.
    text = json.dumps({**header, "arrays": described}, separators=(",", ":")).encode("ascii")
    if len(text) > MAX_HEADER:
        raise ValueError(f"message header of {len(text)} bytes is over the limit of {MAX_HEADER}")
    checksum = 0
    for view in payload:
        checksum = zlib.crc32(view, checksum)
    return [prefix(text, checksum) + text, *payload]


def prefix(text: bytes, checksum: int = 0) -> bytes:
    """What comes before a header: its length twice, its checksum, and that of the payload."""
    return PREFIX.pack(len(text), len(text) ^ 0xFFFFFFFF, zlib.crc32(text), checksum)


def write_message(stream: BinaryIO, header: dict[str, Any], arrays: dict[str, Array] | None = None) -> None:
    """Write one message to a buffered stream and flush it. Raises what :func:`encode_message` raises."""
    for buffer in encode_message(header, arrays):
        stream.write(buffer)
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, Array]] | None:
    """Read one message; None at a clean end of the stream. Raises ProtocolError."""
    first = stream.read(PREFIX.size)
    if not first:
        return None
    length, inverted, header_sum, payload_sum = PREFIX.unpack(first + _exactly(stream, PREFIX.size - len(first)))
    if length ^ inverted != 0xFFFFFFFF:
        raise ProtocolError("no header, or a damaged one")
    if length > MAX_HEADER:
        raise ProtocolError(f"header of {length} bytes")
    text = _exactly(stream, length)
    if zlib.crc32(text) != header_sum:
        raise ProtocolError("damaged header")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number of too many digits
        raise ProtocolError(f"header is not JSON: {error}") from error
    if not isinstance(header, dict) or not isinstance(header.get("type"), str):
        raise ProtocolError("header is not an object with a type")
    described = header.pop("arrays", [])
    if not isinstance(described, list):
        raise ProtocolError("arrays is not a list")
    sizes = [_described_size(entry) for entry in described]
    if len({entry["name"] for entry in described}) != len(described):
        raise ProtocolError("two arrays have the same name")
    if sum(sizes) > MAX_PAYLOAD:
        raise ProtocolError(f"payload of {sum(sizes)} bytes")
    arrays = {
        entry["name"]: (entry["dtype"], tuple(entry["shape"]), _exactly(stream, size))
        for entry, size in zip(described, sizes, strict=True)
    }
    checksum = 0
    for _, _, data in arrays.values():
        checksum = zlib.crc32(data, checksum)
    if checksum != payload_sum:
        raise ProtocolError("damaged payload")
    return header, arrays


def _described_size(entry: Any) -> int:
    try:
        name, dtype, shape = entry["name"], entry["dtype"], entry["shape"]
        valid = isinstance(name, str) and isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
        size = ITEM_SIZE[dtype] * math.prod(shape)
    except (TypeError, KeyError) as error:
        raise ProtocolError(f"bad array description {entry!r}") from error
    if not valid:
        raise ProtocolError(f"bad array description {entry!r}")
    return size


def _exactly(stream: BinaryIO, size: int) -> bytes:
    chunks, missing = [], size
    while missing:
        chunk = stream.read(min(missing, 1 << 20))
        if not chunk:
            raise StreamEnded(f"the stream ended {missing} bytes early")
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def is_cached(parts: tuple[str, ...]) -> bool:
    """Whether the backend made a file or folder of a cache, told by its path's parts below the cache's folder.

    Only such are ever counted or removed: a person may have chosen a folder in which other things are.
    """
    path = "/".join(parts)
    return any(pattern.fullmatch(path) for pattern in (_CACHED, _PICTURE, _UNPACKED))


def checked_document(document: Any) -> dict[str, Any]:
    """The label document in its one canonical form.

    Args:
        document: ``{"version"?, "revision"?, "method"?,
            "tree": [{"uid", "name", "parent"?, "kind"?, "thing"?, "color"?}],
            "marks": [{"label", "sign"?, "frame", "u", "v"} or {"label", "sign"?, "points": [[x, y, z], ...]}]}``.
            ``parent`` 0 or null is the root; ``kind`` is "class" or "group"; ``thing`` says whether connected pieces
            are separate instances; ``sign`` 1 is "this", -1 is "not this"; a mark may carry both forms, an ``id``,
            ``muted`` (it teaches nothing), ``local`` (it teaches only the connected piece that it lies on) and
            ``instance`` (a positive mark on a thing: its place belongs to that instance of the label; 0 is unsaid).
            ``method`` is one of METHODS: the full engine, or the field taught by the marks alone (iLabel), flat or
            with one sigmoid per level of the tree. ``version`` is that of the schema, 1 without one.

    Returns:
        The same with every field present, colours as three floats 0..1, parents before children checked for
        circles, marks without an ``id`` numbered in their order.

    Raises:
        DocumentError: one sentence that names the entry at fault.
    """
    _require(isinstance(document, dict), "The label document is not a JSON object.")
    document = migrated(document)
    tree, marks = document.get("tree"), document.get("marks", [])
    _require(isinstance(tree, list), "The label document has no list called 'tree'.")
    _require(isinstance(marks, list), "'marks' in the label document is not a list.")
    _require(len(tree) <= MAX_LABELS, f"The label document has {len(tree)} labels; {MAX_LABELS} is the most.")
    _require(len(marks) <= MAX_MARKS, f"The label document has {len(marks)} marks; {MAX_MARKS} is the most.")
    nodes = [_checked_node(node, index) for index, node in enumerate(tree)]
    uids = {node["uid"] for node in nodes}
    _require(len(uids) == len(nodes), "Two labels in the tree have the same uid.")
    _check_parents(nodes)
    checked = [_checked_mark(mark, index, uids) for index, mark in enumerate(marks)]
    _number_marks(checked)
    _require(len({mark["id"] for mark in checked}) == len(checked), "Two marks have the same id.")
    total = sum(len(mark["points"]) for mark in checked)
    _require(total <= MAX_POINTS, f"The marks have {total} points; {MAX_POINTS} is the most.")
    revision = document.get("revision", 0)
    _require(type(revision) is int and revision >= 0, "'revision' in the label document is not a whole number.")
    method = document.get("method", METHODS[0])
    _require(method in METHODS, f"The label document asks for the method {method!r}, which Clickfield does not know.")
    return {"revision": revision, "method": method, "tree": nodes, "marks": checked}


def migrated(document: dict[str, Any]) -> dict[str, Any]:
    """A document in today's schema. Raises DocumentError for one of a newer version."""
    version = document.get("version", 1)
    _require(type(version) is int and version >= 1, "The label document has a 'version' that is not a whole number.")
    known = f"version {version}" if version < 10**6 else "an unknown version"
    newer = f"The label document is of {known}, newer than this Clickfield; update Clickfield to read it."
    _require(version <= DOCUMENT_VERSION, newer)
    for number in range(version, DOCUMENT_VERSION):
        document = MIGRATIONS[number](document)
    return document


def _with_methods(document: dict[str, Any]) -> dict[str, Any]:
    """Version 1 to 2: documents name their method, marks can be muted or teach only the piece that they lie on.

    Files were called version 1 for a while after they had these fields, and also the next ones: what is there stays.
    """
    return {"method": METHODS[0], **_each_mark(document, {"muted": False, "local": False}), "version": 2}


def _with_instances(document: dict[str, Any]) -> dict[str, Any]:
    """Version 2 to 3: marks name the instance that they lie on."""
    return {**_each_mark(document, {"instance": 0}), "version": 3}


def _each_mark(document: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    marks = document.get("marks", [])
    if not isinstance(marks, list) or len(marks) > MAX_MARKS:  # refused by whoever checks it
        return document
    return {**document, "marks": [{**defaults, **mark} if isinstance(mark, dict) else mark for mark in marks]}


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _with_methods, 2: _with_instances}


def read_document(path: Path) -> dict[str, Any]:
    """A label document from a file, checked. Raises DocumentError with a sentence that names the file."""
    try:
        with open(path, "rb") as stream:
            document = parsed_json(stream.read(MAX_DOCUMENT + 1))
    except OSError as error:
        raise DocumentError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise DocumentError(f"{path.name} is not a label document, because {error}.") from error
    if not isinstance(document, dict):
        raise DocumentError(f"{path.name} is not a label document, because it is not a JSON object.")
    return checked_document(document)


def parsed_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8 that somebody else may have written.

    Raises ValueError with a clause when it is none, or holds more than a document ever does: a few bytes of text can
    be a hundred bytes of memory, so values are counted before any is made.
    """
    if len(data) > MAX_DOCUMENT:
        raise ValueError(f"it is larger than {MAX_DOCUMENT >> 20} MB")
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MAX_ENTRIES:
        raise ValueError(f"it holds more than {MAX_ENTRIES:,} values")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number of too many digits, too deep
        raise ValueError("it is not JSON") from error


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise DocumentError(sentence)


def _checked_node(node: Any, index: int) -> dict[str, Any]:
    where = f"Label number {index + 1} in the tree"
    _require(isinstance(node, dict), f"{where} is not a JSON object.")
    uid, name, parent = node.get("uid"), node.get("name"), node.get("parent") or 0
    _require(type(uid) is int and 1 <= uid <= MAX_UID, f"{where} has no uid between 1 and {MAX_UID}.")
    named = isinstance(name, str) and 0 < len(name) <= 256
    _require(named and not _UNFIT.search(name), f"{where} has no name of 1 to 256 letters on one line.")
    _require(type(parent) is int, f"{where} ({name}) has a parent that is not a uid.")
    kind = node.get("kind", "class")
    _require(kind in KINDS, f"{where} ({name}) is of kind {kind!r}; it must be 'class' or 'group'.")
    thing = node.get("thing", True)
    _require(isinstance(thing, bool), f"{where} ({name}) has a 'thing' that is not true or false.")
    return {
        "uid": uid,
        "name": name,
        "parent": parent,
        "kind": kind,
        "thing": thing,
        "color": _checked_color(node.get("color"), uid, f"{where} ({name})"),
    }


def _checked_color(color: Any, uid: int, where: str) -> list[float]:
    if color is None:
        return distinct_color(uid)
    if isinstance(color, str) and _COLOR.fullmatch(color):
        return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    good = isinstance(color, (list, tuple)) and len(color) in (3, 4) and all(_finite(c) for c in color)
    _require(good, f"{where} has a colour that is neither '#rrggbb' nor three numbers.")
    scale = 255 if max(color[:3]) > 1 else 1
    _require(all(0 <= c <= scale for c in color[:3]), f"{where} has a colour outside 0 to 1.")
    return [c / scale for c in color[:3]]


def distinct_color(index: int) -> list[float]:
    """A colour well apart from those of nearby indices (golden-angle hues), three floats 0..1."""
    hue, value = (index * 0.618034) % 1.0 * 6.0, 0.95 - 0.25 * (index // 2 % 2)
    return [value * (1 - 0.65 * min(max(1 - abs((hue - shift + 3) % 6 - 3) + 1, 0), 1)) for shift in (3, 5, 1)]


def _check_parents(nodes: list[dict[str, Any]]) -> None:
    parent_of = {node["uid"]: node["parent"] for node in nodes}
    reaches_root = {0}
    for node in nodes:
        seen, uid = set(), node["uid"]
        while uid not in reaches_root:
            _require(uid not in seen, f"The label {node['name']} is its own ancestor.")
            seen.add(uid)
            _require(uid in parent_of, f"The parent of the label {node['name']} is not in the tree.")
            uid = parent_of[uid]
        reaches_root |= seen


def _checked_mark(mark: Any, index: int, uids: set[int]) -> dict[str, Any]:
    where = f"Mark number {index + 1}"
    _require(isinstance(mark, dict), f"{where} is not a JSON object.")
    label, sign = mark.get("label"), mark.get("sign", 1)
    sign = {"+": 1, "positive": 1, "-": -1, "negative": -1}.get(sign, sign) if isinstance(sign, str) else sign
    _require(type(label) is int and label in uids, f"{where} names a label that is not in the tree.")
    _require(sign in (1, -1) and not isinstance(sign, bool), f"{where} has a sign that is neither 1 nor -1.")
    uid = mark.get("id")
    counted = uid is None or (type(uid) is int and 0 < uid <= MAX_MARK_ID)
    _require(counted, f"{where} has an id that is not a positive whole number up to {MAX_MARK_ID}.")
    muted, local = mark.get("muted", False), mark.get("local", False)
    whether = isinstance(muted, bool) and isinstance(local, bool)
    _require(whether, f"{where} has a 'muted' or 'local' that is not true or false.")
    instance = mark.get("instance", 0)
    counted = type(instance) is int and 0 <= instance <= MAX_UID
    _require(counted, f"{where} has an 'instance' that is not a whole number from 0 to {MAX_UID}.")
    frame, points = mark.get("frame"), mark.get("points", [])
    if frame is not None:
        named = isinstance(frame, str) and 0 < len(frame) <= 256 and "\0" not in frame
        _require(named, f"{where} has a frame that is not a name.")
        _require(_finite(mark.get("u")) and _finite(mark.get("v")), f"{where} has no pixel u, v on its frame.")
    good = isinstance(points, list) and all(_point(point) for point in points)
    _require(good, f"{where} has points that are not lists of three finite numbers.")
    _require(frame is not None or points, f"{where} has neither a frame with u, v nor points.")
    return {
        "id": uid,
        "label": label,
        "sign": int(sign),
        "muted": muted,
        "local": local,
        "instance": instance,
        "frame": frame,
        "u": float(mark["u"]) if frame is not None else None,
        "v": float(mark["v"]) if frame is not None else None,
        "points": [[float(c) for c in point] for point in points],
    }


def _number_marks(marks: list[dict[str, Any]]) -> None:
    """Give marks without an id the smallest ids that no mark has, in their order."""
    taken = {mark["id"] for mark in marks}
    free = (number for number in itertools.count(1) if number not in taken)
    for mark in marks:
        if mark["id"] is None:
            mark["id"] = next(free)


def _finite(number: Any) -> bool:
    return type(number) in (int, float) and -MAX_NUMBER <= number <= MAX_NUMBER  # which a NaN is not


def _point(point: Any) -> bool:
    return isinstance(point, (list, tuple)) and len(point) == 3 and all(map(_finite, point))
