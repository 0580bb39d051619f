"""Every notebook runs from top to bottom, each in a process of its own, within its budget; a warning of ours is an error.

The processes are forked from one that has already imported the slow libraries, so a notebook costs its own work only,
and what one notebook changes (seeds, settings, registered names) never reaches another."""
import contextlib
import io
import multiprocessing as mp
import os
import sys
import warnings

import pytest
from nbs import head, nbs, notebooks

budget = 60      # seconds of processor time for one notebook (DESIGN: at most 60 s on two cores)
timeout = 600    # seconds of wall time, for something that hangs
preload = ['torch', 'pandas', 'matplotlib.pyplot', 'IPython', 'nbdev.test', 'fastcore.test', 'sklearn.decomposition']
method = 'spawn' if sys.platform == 'win32' else 'forkserver'


def strict_warnings():
    "Warnings raised in cells or by course_lib's own lines become errors; other libraries' stay silent."
    for module in (r'__main__', r'course_lib(\.|$)'): warnings.filterwarnings('error', module=module)


def run(path, pipe):
    "Child process: run the notebook, send (passed, what it printed as error, processor seconds)."
    from nbdev.test import test_nb
    strict_warnings()
    sys.__stderr__ = errors = io.StringIO()   # nbdev writes the traceback there
    with contextlib.redirect_stderr(errors): passed, _ = test_nb(path, basepath=nbs.parent, profile=False, cell_timeout=timeout)
    spent = os.times()
    pipe.send((passed, errors.getvalue(), spent.user + spent.system))
    pipe.close()


def context():
    "Where the children come from."
    ctx = mp.get_context(method)
    if method == 'forkserver': ctx.set_forkserver_preload(preload)
    return ctx


def run_apart(path):
    "Run one notebook in a child process and bring back what it sent."
    ctx = context()
    here, there = ctx.Pipe(duplex=False)
    child = ctx.Process(target=run, args=(str(path), there), daemon=False)
    child.start()
    there.close()
    try:
        if not here.poll(timeout): pytest.fail(f'{path.name}: no end after {timeout} s')
        return here.recv()
    except EOFError: pytest.fail(f'{path.name}: the process died (exit code {child.join(5) or child.exitcode})')
    finally:
        if child.is_alive(): child.join(5)
        if child.is_alive(): child.kill()


longest_first = sorted(notebooks(), key=lambda p: -head(p)['seconds'])


@pytest.mark.parametrize('path', longest_first, ids=[p.relative_to(nbs).as_posix() for p in longest_first])
def test_notebook(path, record_property):
    passed, errors, seconds = run_apart(path)
    record_property('seconds', round(seconds, 1))
    assert passed, f'{path.relative_to(nbs)} failed\n{errors[-6000:]}'
    assert seconds < budget, f'{path.relative_to(nbs)} took {seconds:.0f} s of processor time; at most {budget} s'
