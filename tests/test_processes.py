"""Several processes train one model: as one process with the whole batch, to an end in bounded time when one is lost, and on from there.

The processes are started as a launcher does it: by numbers in their environment."""
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip('accelerate')

script = Path(__file__).with_name('one_of_many.py')


def start(folder, n, *how):
    "`n` processes, as a launcher starts them."
    folder.mkdir(exist_ok=True)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    base = dict(os.environ, OMP_NUM_THREADS='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), WORLD_SIZE=str(n))
    envs = [dict(base, RANK=str(i), LOCAL_RANK=str(i)) for i in range(n)]
    return [subprocess.Popen([sys.executable, script, folder, *how], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for env in envs]


def outputs(processes, timeout=120):
    "What each of them printed; none outlives the test."
    with ExitStack() as stack:
        for p in processes: stack.callback(p.kill)
        return [p.communicate(timeout=timeout)[0] for p in processes]


def result(folder, rank=0): return json.loads((folder/f'{rank}.json').read_text())


def close(a, b, by=1e-6):
    if isinstance(a, list): return len(a) == len(b) and all(close(p, q, by) for p, q in zip(a, b))
    return a == b or isinstance(a, float) and abs(a - b) <= by


def test_two_processes_are_one_with_the_doubled_batch(tmp_path, monkeypatch, capsys):
    "Losses, metrics and predictions, of loaders and batches of every kind, with uneven last batches; files and words by one of them."
    pair = start(tmp_path/'two', 2, 'alike')
    (tmp_path/'one').mkdir()
    monkeypatch.setattr(sys, 'argv', [str(script), str(tmp_path/'one'), 'alike'])
    runpy.run_path(str(script)) # the one process is this one
    texts, alone = outputs(pair), capsys.readouterr().out
    assert all(p.returncode == 0 for p in pair), '\n'.join(texts)
    left = [json.loads((tmp_path/'two'/f'{rank}_left.json').read_text()) for rank in (0, 1)]
    assert all(left), 'a process that ends with its group alive is aborted by a thread of gloo, once in twelve times'
    first, second, single = result(tmp_path/'two'), result(tmp_path/'two', 1), result(tmp_path/'one')
    assert first == second and first.keys() == single.keys()
    for k in first: assert close(first[k], single[k]), k
    words = lambda text: re.sub(r'\d\.\d+', 'number', text)
    assert texts[1] == '' and words(texts[0]) == words(alone) and 'stopping' in alone
    found = [sorted(p.relative_to(tmp_path/o).as_posix() for p in (tmp_path/o).rglob('*') if p.suffix != '.json') for o in ('one', 'two')]
    assert found[0] == found[1]
    rows = [[line.rsplit(',', 1)[0] for line in (tmp_path/o/'history.csv').read_text().split()] for o in ('one', 'two')]
    assert [r[0] for r in rows[0]] == [r[0] for r in rows[1]] and len(rows[0]) == len(rows[1])


def killed(folder, n, *how, **kwargs):
    "Started, and one of them killed when it says that it is in the middle."
    running = start(folder, n, *how)
    for line in running[-1].stdout:
        if 'in the middle' in line: break
    running[-1].send_signal(signal.SIGKILL)
    return running, outputs(running, **kwargs)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_and_all_go_on_from_the_checkpoint(tmp_path):
    running, texts = killed(tmp_path/'broken', 2, 'long')
    assert running[0].returncode == 1 and 'process 0 of 2 has lost another one' in texts[0] and 'resume=True' in texts[0]
    again, whole = start(tmp_path/'broken', 2, 'resume'), start(tmp_path/'whole', 2, 'whole')
    texts = outputs(again) + outputs(whole)
    assert all(p.returncode == 0 for p in again + whole), '\n'.join(texts)
    assert result(tmp_path/'broken') == result(tmp_path/'whole') == result(tmp_path/'whole', 1)


@pytest.mark.slow
def test_a_process_that_never_answers(tmp_path):
    running = start(tmp_path/'a', 2, 'asleep')
    begun, text = time.time(), running[0].communicate(timeout=60)[0]
    running[1].kill()
    running[1].communicate()
    assert running[0].returncode == 1 and 'within 3 s' in text and time.time() - begun < 60


@pytest.mark.slow
def test_an_error_in_the_first_process_ends_all(tmp_path):
    "A file that cannot be written is everybody's error; nobody waits."
    running = start(tmp_path/'a', 2, 'unwritable')
    texts = outputs(running)
    assert all(p.returncode == 1 and 'no space' in t for p, t in zip(running, texts)) and 'process 0 could not go on' in texts[1]
