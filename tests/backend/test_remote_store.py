"""Files that come over the stream: resumed, checked, shared between captures, and never outside of their folder."""

import hashlib
import json
import os

import pytest

from backend.errors import UserError
from backend.remote_requests import Elsewhere
from backend.remote_store import LIST, Arrivals, checked_list
from backend.store import Store

FILES = {"rooms/room/transforms.json": b'{"frames": []}', "rooms/room/images/a b.png": bytes(range(256)) * 999}
FILES |= {"rooms/room/images/ü.png": FILES["rooms/room/images/a b.png"], "rooms/room/empty": b""}


def sha(data):
    return hashlib.sha256(data).hexdigest()


def listed(files):
    return checked_list(json.dumps([[name, len(data), sha(data)] for name, data in files.items()]).encode())


def send(arrivals, files, chunk=100_000):
    """Send what is missing; the folder, and how many bytes went over."""
    key, missing = arrivals.offer(listed(files))
    by_digest, sent = {sha(data): data for data in files.values()}, 0
    for digest, size, offset in missing:
        while offset < size:
            data = by_digest[digest][offset : offset + chunk]
            arrivals.put(digest, offset, data)
            offset, sent = offset + len(data), sent + len(data)
    return arrivals.folder(key), sent


def test_what_is_sent_is_laid_out_once(tmp_path):
    folder, sent = send(Arrivals(tmp_path), FILES)
    for name, data in FILES.items():
        assert (folder / name).read_bytes() == data
    assert sent == sum(len(data) for data in set(FILES.values()))  # the same content is sent once
    again, sent = send(Arrivals(tmp_path), FILES)
    assert again == folder and sent == 0
    more = {**FILES, "rooms/room/images/new.png": b"new"}
    other, sent = send(Arrivals(tmp_path), more)
    assert sent == 3 and other != folder and (other / "rooms/room/images/new.png").read_bytes() == b"new"
    (folder / "rooms/room/transforms.json").write_bytes(b"[another len]}")  # as long, and changed by somebody
    other.rename(other.with_name("f" * 31))
    mended, sent = send(Arrivals(tmp_path), FILES)
    assert mended == folder and (folder / "rooms/room/transforms.json").read_bytes() == b'{"frames": []}'
    assert sent <= len(b'{"frames": []}')


def test_a_cut_off_file_goes_on_where_it_ended(tmp_path):
    data = bytes(range(256)) * 4000
    first = Arrivals(tmp_path)
    _, [(digest, size, offset)] = first.offer(listed({"a": data}))
    assert (size, offset) == (len(data), 0)
    first.put(digest, 0, data[:300_000])
    with pytest.raises(UserError, match="out of turn"):
        first.put(digest, 0, data[:300_000])
    second = Arrivals(tmp_path)  # while the first still lives: it has its own
    assert second.offer(listed({"a": data}))[1][0][2] == 0
    first.close()
    second.close()
    third = Arrivals(tmp_path)
    key, [(_, _, offset)] = third.offer(listed({"a": data}))
    assert offset == 300_000
    third.put(digest, offset, data[offset:])
    assert third.offer(listed({"a": data}))[1] == []
    assert (third.folder(key) / "a").read_bytes() == data


def test_damaged_files_are_dropped_and_sent_again(tmp_path):
    arrivals = Arrivals(tmp_path)
    key, [(digest, _, _)] = arrivals.offer(listed({"a": b"right"}))
    with pytest.raises(UserError, match="changed or damaged while it was sent"):
        arrivals.put(digest, 0, b"wrong")
    with pytest.raises(UserError, match="Parts of the capture are missing"):
        arrivals.folder(key)
    assert (send(arrivals, {"a": b"right"})[0] / "a").read_bytes() == b"right"
    for offset, data in ((0, b"right"), (-1, b"x"), (3, b"far too long")):
        with pytest.raises(UserError):
            arrivals.put("0" * 64, offset, data)


HOSTILE = ["../a", "a/../../b", "/etc/passwd", "a//b", "", ".", "a/.", "a\\b", "a\0b", "con", "x/LPT1.png", "a" * 241]


@pytest.mark.parametrize("name", [*HOSTILE, "a\nb", "/".join(["long"] * 600)])
def test_names_stay_inside(tmp_path, name):
    with pytest.raises(UserError):
        checked_list(json.dumps([[name, 1, "0" * 64]]).encode())
    with pytest.raises(UserError):
        Elsewhere(lambda params: Store(tmp_path)).path({"sent": {"id": "0" * 32, "entry": name, "folder": "x"}})


@pytest.mark.parametrize(
    "text",
    ["null", "[]", "[[1]]", '[["a", -1, "' + "0" * 64 + '"]]', '[["a", 1, "../x"]]', "[" * 100_000]
    + [json.dumps([["a", 1, "0" * 64], [other, size, "0" * 64]]) for other, size in (("A", 1), ("b", 2))],
)
def test_broken_lists_are_refused(text):
    with pytest.raises(UserError):
        checked_list(text.encode())


def test_a_forged_list_in_the_cache_reads_nothing(tmp_path):
    """The cache may have been written by somebody else: a list there must not lead out of its folder."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    place = tmp_path / "cache" / ("a" * 32)
    place.mkdir(parents=True)
    forged = [["../../secret", 6, sha(b"secret"), secret.stat().st_mtime_ns]]
    (place / LIST).write_text(json.dumps(forged))
    _, missing = Arrivals(tmp_path / "cache").offer(listed({"a": b"secret"}))
    assert missing == [(sha(b"secret"), 6, 0)]
    (place / "in").symlink_to(tmp_path)
    (place / "link").symlink_to(secret)
    for name in ("in/secret", "link"):
        (place / LIST).write_text(json.dumps([[name, *forged[0][1:]]]))
        assert Arrivals(tmp_path / "cache").offer(listed({"a": b"secret"}))[1] == missing
    for text in ("{}", "[3]", "[[1, 2, 3, 4]]", '[["a", 1]]'):
        (place / LIST).write_text(text)
        assert Arrivals(tmp_path / "cache").offer(listed({"a": b"secret"}))[1] == missing


def test_too_large_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="at most 1 MB are sent"):
        Arrivals(tmp_path, limit=1 << 20).offer(checked_list(json.dumps([["a", 2 << 20, "0" * 64]]).encode()))
    with pytest.raises(UserError, match="no space for the capture"):
        Arrivals(tmp_path, limit=1 << 60).offer(checked_list(json.dumps([["a", 1 << 55, "0" * 64]]).encode()))


def test_a_folder_is_shared_only_if_its_files_are_the_same(tmp_path):
    (tmp_path / "a").write_bytes(b"12")
    methods = Elsewhere(lambda params: Store(tmp_path)).methods

    def shares(*samples, path=tmp_path):
        return methods["shares"]({"path": str(path), "samples": list(samples)}, {}, None)[0]["shared"]

    assert shares(["a", 2, sha(b"12")])
    assert not shares(["a", 2, sha(b"12")], ["b", 2, sha(b"12")]) and not shares(["a", 2, sha(b"13")])
    assert not shares(["a", 2, sha(b"12")], path=os.path.relpath(tmp_path))
    with pytest.raises(UserError):
        shares()
