"""The stream's framing and the label document's schema, with everything that may come from the other side."""

import io
import json
import math
import zlib

import numpy as np
import pytest
from clickfield.backend import protocol as as_the_addon_sees_it
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend import protocol
from backend.protocol import DocumentError, ProtocolError, checked_document, read_message, write_message

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
headers = st.dictionaries(st.text(), values).map(lambda fields: {**fields, "type": "event"})


@st.composite
def arrays(draw):
    described = {}
    for name in draw(st.sets(st.text(), max_size=3)):
        dtype = draw(st.sampled_from(sorted(protocol.ITEM_SIZE)))
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
        size = protocol.ITEM_SIZE[dtype] * math.prod(shape)
        described[name] = (dtype, shape, draw(st.binary(min_size=size, max_size=size)))
    return described


def wire(header, arrays=None):
    stream = io.BytesIO()
    write_message(stream, header, arrays)
    return stream.getvalue()


def framed(text, payload=b""):
    return protocol.prefix(text, zlib.crc32(payload)) + text + payload


# Framing.


@settings(max_examples=50)
@given(st.lists(st.tuples(headers, arrays()), max_size=3))
def test_messages_come_back_as_they_were_sent(messages):
    for header, _ in messages:
        header.pop("arrays", None)
    stream = io.BytesIO(b"".join(wire(*message) for message in messages))
    for header, data in messages:
        assert read_message(stream) == (header, data)
    assert read_message(stream) is None


def test_both_processes_run_the_same_file():
    assert as_the_addon_sees_it.__file__ == protocol.__file__
    assert as_the_addon_sees_it.VERSION == protocol.VERSION


@settings(max_examples=200)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\x00\x00\x00\x00")
@example(b"\xff\xff\xff\xff")
def test_any_bytes_are_a_message_or_a_protocol_error(data):
    reads_or_refuses(data)


@settings(max_examples=200)
@given(values, st.binary(max_size=64))
@example({"type": "x", "arrays": [{"name": "a", "dtype": ["u1"], "shape": [1]}]}, b"")
@example({"type": "x", "arrays": [{"name": "a", "dtype": "u1", "shape": {"3": 1}}]}, b"")
@example({"type": "x", "arrays": [{"name": "a", "dtype": "u1", "shape": ""}]}, b"1")
@example({"type": "x", "arrays": [{"name": "a", "dtype": "u1", "shape": [-1]}]}, b"")
@example({"type": "x", "arrays": [{"name": "a", "dtype": "u1", "shape": [True]}]}, b"1")
@example({"type": "x", "arrays": [{"name": "a", "dtype": "u1", "shape": [10**30, 0]}]}, b"")
@example({"type": "x", "arrays": [{"name": 3, "dtype": "u1", "shape": [1]}]}, b"1")
@example({"type": "x", "arrays": ["name"]}, b"")
@example({"type": "x", "arrays": {}}, b"")
@example({"type": ["x"]}, b"")
def test_any_json_header_is_a_message_or_a_protocol_error(value, payload):
    reads_or_refuses(framed(json.dumps(value).encode(), payload))


@settings(max_examples=150)
@given(headers, arrays(), st.data())
def test_one_changed_byte_or_a_cut_is_always_noticed(header, described, data):
    whole = bytearray(wire(header, described))
    cut = data.draw(st.integers(1, len(whole)))
    if cut == len(whole) or data.draw(st.booleans()):
        whole[data.draw(st.integers(0, cut - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        read_message(io.BytesIO(bytes(whole[:cut])))


def test_a_damaged_length_is_noticed_before_anything_more_is_awaited():
    whole = wire({"type": "x"}, {"a": ("u1", (3,), b"123")})
    for place in range(8):
        for bit in range(8):
            damaged = bytearray(whole[: protocol.PREFIX.size])
            damaged[place] ^= 1 << bit
            with pytest.raises(ProtocolError) as error:  # not StreamEnded: nobody waits for what does not come
                read_message(io.BytesIO(bytes(damaged)))
            assert not isinstance(error.value, protocol.StreamEnded)


def reads_or_refuses(data):
    try:
        message = read_message(io.BytesIO(data))
    except ProtocolError:
        return
    if message is None:
        assert data == b""
    else:
        header, described = message
        assert isinstance(header["type"], str)
        for dtype, shape, content in described.values():
            assert len(content) == protocol.ITEM_SIZE[dtype] * math.prod(shape)


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"x","n":' + b"9" * 5000 + b"}",  # more digits than Python turns into a number
        b"[" * 200_000,
        b'{"type":"\xff"}',
        b'"type"',
        b"",
        b'{"type":"x","arrays":[{"name":"a","dtype":"u1","shape":[1]},{"name":"a","dtype":"u1","shape":[1]}]}',
    ],
)
def test_headers_that_are_refused(text):
    with pytest.raises(ProtocolError):
        read_message(io.BytesIO(framed(text, bytes(8))))


def test_sizes_over_the_limits_are_refused_before_anything_is_read_or_allocated():
    with pytest.raises(ProtocolError, match="header of"):
        read_message(io.BytesIO(protocol.prefix(bytes(protocol.MAX_HEADER + 1))))
    entry = {"name": "a", "dtype": "u1", "shape": [protocol.MAX_PAYLOAD + 1]}
    with pytest.raises(ProtocolError, match="payload of"):
        read_message(io.BytesIO(framed(json.dumps({"type": "x", "arrays": [entry]}).encode())))
    entry["shape"] = [protocol.MAX_PAYLOAD]  # allowed, but the stream ends: costs no memory
    with pytest.raises(protocol.StreamEnded):
        read_message(io.BytesIO(framed(json.dumps({"type": "x", "arrays": [entry]}).encode())))


def test_every_cut_is_told_as_an_ended_stream():
    whole = wire({"type": "x"}, {"a": ("f4", (2,), bytes(8))})
    for length in range(1, len(whole)):
        with pytest.raises(protocol.StreamEnded):
            read_message(io.BytesIO(whole[:length]))


class Trickle(io.RawIOBase):
    """A stream that gives one byte at a time, as a slow pipe may."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def read(self, size=-1):
        return self._data.read(min(size, 1))


def test_slow_streams_are_read_whole():
    message = {"type": "x", "text": "ünï"}, {"a": ("u2", (3,), b"123456")}
    assert read_message(Trickle(wire(*message))) == message


def test_numpy_arrays_of_any_shape_can_be_sent():
    sent = {"a": np.arange(6, dtype="<f4").reshape(2, 3), "empty": np.zeros((0, 3), "<i4"), "one": np.array(7, "u1")}
    described = {name: (f"{a.dtype.kind}{a.dtype.itemsize}", a.shape, a.data) for name, a in sent.items()}
    _, received = read_message(io.BytesIO(wire({"type": "x"}, described)))
    for name, (dtype, shape, data) in received.items():
        again = np.frombuffer(data, "<" + dtype).reshape(shape)
        assert np.array_equal(again, sent[name]) and again.shape == sent[name].shape


def test_file_names_that_are_not_utf8_can_be_sent():
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    assert read_message(io.BytesIO(wire({"type": "x", "path": name})))[0]["path"] == name


@pytest.mark.parametrize(
    "array", [("f4", (2,), b"1234"), ("f4", (1,), b"12345678"), ("f2", (2,), b"1234"), ("u1", (), b"")]
)
def test_array_that_does_not_fit_its_description_is_not_sent(array):
    stream = io.BytesIO()
    with pytest.raises(ValueError, match="array a has"):
        write_message(stream, {"type": "x"}, {"a": array})
    assert stream.getvalue() == b""


@pytest.mark.parametrize(
    ("header", "error"), [({"type": {1}}, TypeError), ({"type": "x" * (protocol.MAX_HEADER + 1)}, ValueError)]
)
def test_header_that_cannot_be_sent_leaves_the_stream_clean(header, error):
    stream = io.BytesIO()
    with pytest.raises(error):
        write_message(stream, header, {"a": ("u1", (1,), b"1")})
    assert stream.getvalue() == b""


# The label document.

CHAIR = {"uid": 7, "name": "Chair"}
CLICK = {"label": 7, "frame": "000012", "u": 3, "v": 4.5}


def document(tree=(CHAIR,), marks=(CLICK,), **more):
    return {"tree": list(tree), "marks": list(marks), **more}


def test_every_field_is_filled_in():
    checked = checked_document(document())
    color = checked["tree"][0].pop("color")
    assert checked == {
        "revision": 0,
        "method": "combined",
        "tree": [{"uid": 7, "name": "Chair", "parent": 0, "kind": "class", "thing": True}],
        "marks": [
            {
                "id": 1,
                "label": 7,
                "sign": 1,
                "muted": False,
                "local": False,
                "instance": 0,
                "frame": "000012",
                "u": 3.0,
                "v": 4.5,
                "points": [],
            }
        ],
    }
    assert len(color) == 3 and all(0 <= c <= 1 for c in color)


@pytest.mark.parametrize(
    ("given_color", "expected"),
    [
        ("#ff0080", [1.0, 0.0, 128 / 255]),
        ([0.25, 0.5, 1], [0.25, 0.5, 1.0]),
        ([255, 51, 0], [1.0, 0.2, 0.0]),
        ([0.1, 0.2, 0.3, 1.0], [0.1, 0.2, 0.3]),
        ([0, 0, 0], [0.0, 0.0, 0.0]),
    ],
)
def test_colours_become_three_fractions(given_color, expected):
    checked = checked_document(document([{**CHAIR, "color": given_color}]))
    assert checked["tree"][0]["color"] == pytest.approx(expected)


def test_colours_made_up_for_neighbouring_labels_differ():
    colors = np.array([protocol.distinct_color(uid) for uid in range(1, 41)])
    assert colors.min() >= 0 and colors.max() <= 1
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 9 * np.eye(len(colors))
    assert distances.min() > 0.02 and distances[np.arange(39), np.arange(1, 40)].min() > 0.25


@pytest.mark.parametrize(("sign", "expected"), [(1, 1), (-1, -1), ("+", 1), ("negative", -1), (1.0, 1)])
def test_signs(sign, expected):
    assert checked_document(document(marks=[{**CLICK, "sign": sign}]))["marks"][0]["sign"] == expected


def test_marks_without_ids_get_free_ones():
    marks = [{**CLICK, "id": 2}, CLICK, CLICK, {**CLICK, "id": 1}]
    assert [mark["id"] for mark in checked_document(document(marks=marks))["marks"]] == [2, 3, 4, 1]


def test_parents_may_come_after_their_children():
    tree = [{**CHAIR, "parent": 9}, {"uid": 9, "name": "Furniture", "kind": "group", "parent": None}]
    assert [node["parent"] for node in checked_document(document(tree))["tree"]] == [9, 0]


def test_deepest_tree_is_checked_in_no_time():
    tree = [{"uid": uid, "name": str(uid), "parent": uid - 1} for uid in range(1, protocol.MAX_LABELS + 1)]
    assert len(checked_document({"tree": tree})["tree"]) == protocol.MAX_LABELS


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([], "is not a JSON object"),
        ({}, "no list called 'tree'"),
        ({"tree": {}}, "no list called 'tree'"),
        (document(marks=[]) | {"marks": {}}, "'marks' in the label document is not a list"),
        (document(["Chair"]), "Label number 1 in the tree is not a JSON object"),
        (document([{**CHAIR, "uid": 0}]), "no uid between"),
        (document([{**CHAIR, "uid": True}]), "no uid between"),
        (document([{**CHAIR, "uid": 65536}]), "no uid between"),
        (document([{**CHAIR, "name": ""}]), "no name"),
        (document([{**CHAIR, "name": "x" * 257}]), "no name"),
        (document([{**CHAIR, "parent": "Furniture"}]), "a parent that is not a uid"),
        (document([{**CHAIR, "parent": 8}]), "The parent of the label Chair is not in the tree"),
        (document([{**CHAIR, "parent": 7}]), "its own ancestor"),
        (document([{**CHAIR, "parent": 8}, {"uid": 8, "name": "b", "parent": 7}]), "its own ancestor"),
        (document([CHAIR, CHAIR]), "the same uid"),
        (document([{**CHAIR, "kind": "thing"}]), "must be 'class' or 'group'"),
        (document([{**CHAIR, "thing": 1}]), "'thing' that is not true or false"),
        (document([{**CHAIR, "color": "red"}]), "a colour"),
        (document([{**CHAIR, "color": [1, 2]}]), "a colour"),
        (document([{**CHAIR, "color": [0.5, -0.1, 0]}]), "a colour outside"),
        (document([{**CHAIR, "color": [0, float("nan"), 0]}]), "a colour"),
        (document(marks=[3]), "Mark number 1 is not a JSON object"),
        (document(marks=[{**CLICK, "label": 8}]), "names a label that is not in the tree"),
        (document(marks=[{**CLICK, "label": 7.0}]), "names a label that is not in the tree"),
        (document(marks=[{**CLICK, "sign": 0}]), "a sign that is neither"),
        (document(marks=[{**CLICK, "sign": True}]), "a sign that is neither"),
        (document(marks=[{**CLICK, "sign": "maybe"}]), "a sign that is neither"),
        (document(marks=[{**CLICK, "id": 0}]), "an id that is not"),
        (document(marks=[{**CLICK, "id": 3}, {**CLICK, "id": 3}]), "Two marks have the same id"),
        (document(marks=[{**CLICK, "frame": 12}]), "a frame that is not a name"),
        (document(marks=[{**CLICK, "u": None}]), "no pixel u, v"),
        (document(marks=[{**CLICK, "v": float("inf")}]), "no pixel u, v"),
        (document(marks=[{**CLICK, "v": 10**400}]), "no pixel u, v"),
        (document(marks=[{"label": 7}]), "neither a frame with u, v nor points"),
        (document(marks=[{"label": 7, "points": []}]), "neither a frame with u, v nor points"),
        (document(marks=[{"label": 7, "points": [[1, 2]]}]), "points that are not lists of three"),
        (document(marks=[{"label": 7, "points": ["abc"]}]), "points that are not lists of three"),
        (document(marks=[{"label": 7, "points": [[1, 2, float("nan")]]}]), "points that are not lists of three"),
        (document(marks=[{"label": 7, "points": None}]), "points that are not lists of three"),
        (document(revision=-1), "'revision'"),
        (document(revision="1"), "'revision'"),
    ],
)
def test_documents_that_break_the_schema_are_told_in_a_sentence(bad, words):
    with pytest.raises(DocumentError) as caught:
        checked_document(bad)
    assert words in str(caught.value) and str(caught.value).endswith(".")


def test_limits_on_numbers(monkeypatch):
    tree = [{"uid": uid, "name": "x"} for uid in range(1, protocol.MAX_LABELS + 2)]
    with pytest.raises(DocumentError, match="4096 is the most"):
        checked_document({"tree": tree})
    with pytest.raises(DocumentError, match="100000 is the most"):
        checked_document(document(marks=[CLICK] * (protocol.MAX_MARKS + 1)))
    monkeypatch.setattr(protocol, "MAX_POINTS", 5)
    stroke = {"label": 7, "points": [[0, 0, 0]] * 3}
    assert len(checked_document(document(marks=[stroke]))["marks"]) == 1
    with pytest.raises(DocumentError, match="The marks have 6 points; 5 is the most"):
        checked_document(document(marks=[stroke] * 2))


colors = st.none() | st.just("#12abEF") | st.lists(st.floats(0, 1), min_size=3, max_size=4)
numbers = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6)
points = st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=3)
names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=9)


@st.composite
def documents(draw):
    uids = draw(st.lists(st.integers(1, protocol.MAX_UID), unique=True, min_size=1, max_size=6))
    tree = [
        {
            "uid": uid,
            "name": draw(names),
            "parent": draw(st.sampled_from([0, None, *uids[:index]])),
            "kind": draw(st.sampled_from(protocol.KINDS)),
            "thing": draw(st.booleans()),
            "color": draw(colors),
        }
        for index, uid in enumerate(uids)
    ]
    marks = []
    for _ in range(draw(st.integers(0, 4))):
        mark = {"label": draw(st.sampled_from(uids)), "sign": draw(st.sampled_from([1, -1, "+", "-"]))}
        if draw(st.booleans()):
            mark |= {"frame": draw(names), "u": draw(numbers), "v": draw(numbers)}
        if "frame" not in mark or draw(st.booleans()):
            mark["points"] = draw(points)
        marks.append(mark)
    return {"revision": draw(st.integers(0, 2**40)), "tree": tree, "marks": marks}


@given(documents())
def test_canonical_form_is_stable_also_through_json(good):
    once = checked_document(good)
    assert checked_document(once) == once
    assert checked_document(json.loads(json.dumps(once))) == once
    assert [node["uid"] for node in once["tree"]] == [node["uid"] for node in good["tree"]]
    assert len(once["marks"]) == len(good["marks"])


@settings(max_examples=150)
@given(documents(), st.data())
def test_any_value_anywhere_is_accepted_or_refused_in_a_sentence(good, data):
    entry = data.draw(st.sampled_from([good, *good["tree"], *good["marks"]]))
    entry[data.draw(st.sampled_from(sorted(entry)))] = data.draw(values)
    try:
        checked = checked_document(good)
    except DocumentError as error:
        assert str(error)[0].isupper() or str(error)[0] == "'"
        assert str(error).endswith(".")
    else:
        assert checked_document(checked) == checked
