"""Too little memory, with errors that torch itself raises: tried again, in smaller pieces, on the CPU, told; and
results that are made anew once the cause of a failure is gone."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from backend.errors import Cancelled, UserError
from backend.out_of_memory import TRIES, broke_import, frugally, is_out_of_memory, notices, or_on_cpu
from backend.preparing import Prepared, waited
from backend.server import error_fields

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def too_much():
    return torch.empty(1 << 60, dtype=torch.uint8)


def test_what_torch_and_python_say_is_understood_and_told():
    for work in (too_much, lambda: bytearray(1 << 62)):
        with pytest.raises((RuntimeError, MemoryError)) as error:
            work()
        assert is_out_of_memory(error.value) and error_fields(error.value)["code"] == "out_of_memory"
    try:
        try:
            raise ImportError("libopenblas.so: failed to map segment from shared object")
        except ImportError as first:
            raise ImportError("Importing numpy failed") from first
    except ImportError as error_of_numpy:
        assert broke_import(error_of_numpy)
    assert not is_out_of_memory(ImportError("cannot import name"))
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory")) and not broke_import(error.value)
    assert not is_out_of_memory(RuntimeError("sizes do not fit")) and not is_out_of_memory(KeyError("out of memory"))


def test_pieces_are_halved_until_they_fit_and_only_where_the_bits_may_differ():
    sizes = []

    def work(size):
        sizes.append(size)
        return "done" if size <= 100 else too_much()

    assert frugally(work, 1000, 64, GPU, same_bits=False) == ("done", 64)
    assert sizes == [*[1000] * TRIES, 500, 250, 125, 64]
    sizes.clear()
    with pytest.raises(RuntimeError, match="memory"):
        frugally(work, 1000, 64, CPU, same_bits=True)
    assert sizes == [1000] * TRIES
    with pytest.raises(ZeroDivisionError):
        frugally(lambda size: 1 / 0, 8, 1, CPU, same_bits=True)


def test_memory_that_is_there_again_changes_nothing():
    left = [too_much] * (TRIES - 1)
    assert frugally(lambda size: left.pop()() if left else size, 7, 1, CPU, same_bits=True) == (7, 7)


def test_the_cpu_takes_over_and_the_person_is_told_once():
    def work(device):
        return too_much() if device.type != "cpu" else device

    assert or_on_cpu(work, CPU) == CPU and notices() == []
    assert or_on_cpu(work, GPU) == CPU
    (told,) = notices()
    assert told.sentence == "The graphics card is out of memory, so the CPU does this work, more slowly."
    assert notices() == []
    with pytest.raises(RuntimeError, match="memory"):
        or_on_cpu(lambda device: too_much(), CPU)
    with pytest.raises(ValueError, match="else"):
        or_on_cpu(lambda device: (_ for _ in ()).throw(ValueError("something else")), GPU)


def test_results_are_made_anew_after_their_failure_was_told(tmp_path):
    path = tmp_path / "picture"
    with ThreadPoolExecutor(1) as worker:
        prepared = Prepared(worker.submit, path.read_text)
        with pytest.raises(FileNotFoundError):
            prepared.result()
        worker.submit(lambda: None).result()  # the second making has failed too
        path.write_text("there again")
        with pytest.raises(FileNotFoundError):
            prepared.result()
        assert waited(prepared, lambda fraction, text: None, "Waiting") == "there again"
    with pytest.raises(UserError, match="import one first"):
        waited(None, lambda fraction, text: None, "")


def test_waiting_can_be_given_up():
    def cancel(fraction, text):
        raise Cancelled

    with ThreadPoolExecutor(1) as worker:
        gate = threading.Event()
        prepared = Prepared(worker.submit, gate.wait)
        with pytest.raises(Cancelled):
            waited(prepared, cancel, "Waiting")
        gate.set()
        assert prepared.result()
