"""Run a notebook from top to bottom in a process of its own; a warning of ours is an error.

The processes are forked from one that has already imported the slow libraries, so a notebook costs its own work only,
and what one notebook changes (seeds, settings, registered names) never reaches another."""
import contextlib
import gc
import io
import itertools
import multiprocessing as mp
import os
import sys
import time
import warnings

from nbs import root

preload = ['torch', 'torch._dynamo', 'pandas', 'matplotlib.pyplot', 'IPython', 'nbdev.test', 'fastcore.test', 'sklearn.decomposition',
           'sklearn.ensemble', 'sklearn.linear_model', 'pyarrow.parquet', 'course_lib.vision.all', 'course_lib.tabular.all',
           'course_lib.text.all', 'course_lib.collab']   # torch's first optimizer imports torch._dynamo: seconds, in every notebook
method = 'spawn' if sys.platform == 'win32' else 'forkserver'


def strict_warnings():
    "Warnings raised in cells or by course_lib's own lines become errors; other libraries' stay silent."
    for module in (r'__main__', r'course_lib(\.|$)'): warnings.filterwarnings('error', module=module)


def count_calls():
    "A clock that goes on a millisecond whenever somebody looks: what a notebook measures is the same in every run."
    ticks = itertools.count()
    time.perf_counter = time.time = lambda: 1e9 + next(ticks) / 1000


def other_seeds(by):
    "Every seed of torch is another one: what a page asserts should not hang on which random numbers came."
    import torch
    seed = torch.manual_seed
    torch.manual_seed = lambda s: seed(int(s) + by)
    seed(by)


suspicious = 45   # processor seconds from which it is worth asking whether the machine is slow
usual = 0.2   # processor seconds of `reference` on a quiet machine of the kind that the budget is meant for
without_bf16 = 2   # convnets train in bf16 where the processor has it; elsewhere a step takes twice as long (result `convs`)


def reference():
    "Processor seconds of a piece of work that never changes: some Python, some memory, some matrices, some convolutions."
    import torch
    start = time.process_time()
    words = {}
    for i in range(200_000): words[i % 997] = words.get(i % 997, 0) + i
    with torch.random.fork_rng(devices=[]):
        a, net, x = torch.rand(384, 384), torch.nn.Conv2d(16, 32, 3), torch.rand(16, 16, 32, 32)
        for _ in range(20): a = (a @ a).div_(a.norm()).sin_()
        for _ in range(20): net(x).square().mean().backward()
        torch.rand(500_000).sort()
    return time.process_time() - start


def slow():
    "How many times as slow as the machine that the budget is meant for."
    from course_lib.callback.precision import has_bf16
    return max(1, (reference() + reference()) / 2 / usual) * (1 if has_bf16() else without_bf16)


def _child(path, save, timeout, clock, pipe):
    "Run the notebook, send (passed, what it printed as error, processor seconds, how slow the machine is, the same of its children)."
    from nbdev.test import test_nb
    before = os.times()
    gc.freeze()   # what was there before the fork stays: looking through it again and again would copy it, page by page
    strict_warnings()
    if not clock: count_calls()
    if by := int(os.environ.get('SEED_SHIFT') or 0): other_seeds(by)
    sys.__stderr__ = errors = io.StringIO()   # nbdev writes the traceback there
    with contextlib.redirect_stderr(errors):
        passed, _ = test_nb(path, basepath=root, profile=False, save=save, cell_timeout=timeout)
    spent = sum(os.times()[:2]) - sum(before[:2])
    slowness = slow() if spent > suspicious else 1
    pipe.send((passed, errors.getvalue(), spent, slowness, sum(os.times()[2:4]) - sum(before[2:4])))
    pipe.close()


def run_apart(path, save=False, timeout=1800, clock=True):
    """(passed, error text, processor seconds, slowness, seconds of processes that it started) of one notebook; with `save` its outputs
    are written into it; without a `clock` the times it measures mean nothing, but are the same in every run. A busy machine is slower:
    by how much is timed after a notebook that took long (1: as usual, or not asked)."""
    ctx = mp.get_context(method)
    if method == 'forkserver': ctx.set_forkserver_preload(preload)
    here, there = ctx.Pipe(duplex=False)
    child = ctx.Process(target=_child, args=(str(path), save, timeout, clock, there))
    child.start()
    there.close()
    try: return here.recv() if here.poll(timeout) else (False, f'no end after {timeout} s', timeout, 1, 0.)
    except EOFError: return False, f'the process died (exit code {child.join(5) or child.exitcode})', 0., 1, 0.
    finally:
        if child.is_alive(): child.join(5)
        if child.is_alive(): child.kill()
