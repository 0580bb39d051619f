"""Killed at a random moment, again and again, and resumed each time: do the final weights differ from those of the unbroken run?

Each kill is a SIGKILL that chance times, anywhere in the training: in a step, in a validation, in a save. The process is a copy of this
one (`fork`), so that a hundred of them start in seconds. The same for two processes that train together, where one of them is killed.
"""
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from common import main

spec = dict(
    title='Killed and resumed',
    what='A small net (dropout, batch norm, gradient accumulation, one cycle of 4 epochs, a checkpoint every second batch, three kept) is killed by '
         'SIGKILL at moments that chance chooses, 100 times in all, and resumed after each kill until it ends. "Differences": runs whose final '
         'weights, losses or table are not those of the unbroken run, to the bit.',
    sides=dict(one='one process', epochs='one process, a checkpoint at the end of each epoch', two='two processes that train together, one of them killed'),
    measures=dict(kills=dict(text='kills', better='high'), runs=dict(text='runs that were ended', better='high'),
                  differences=dict(text='differences', better='low', quality=True), left=dict(text='files left behind', better='low', quality=True),
                  seconds=dict(text='seconds', better='low')),
    ratios=[], rounds=1, threads=1)


def train(folder, every_batches=2, resume=True):
    "One training, from the start or from where the last one was killed; what it leaves is compared."
    import torch
    from torch import nn

    from course_lib.callback import schedule  # noqa: F401 gives learners `fit_one_cycle`
    from course_lib.callback.tracker import CheckpointCallback
    from course_lib.callback.training import GradientAccumulation
    from course_lib.data.core import DataLoaders
    from course_lib.data.load import DataLoader, TensorDataset
    from course_lib.distributed import num_distrib, rank_distrib
    from course_lib.learner import Learner
    from course_lib.torch_core import set_seed
    torch.set_num_threads(1)
    set_seed(0)
    x = torch.randn(400, 8)
    y = (x[:, 0] * x[:, 1] > x[:, 2]).long()
    bs = 16 // max(1, num_distrib())
    dls = DataLoaders(DataLoader(TensorDataset(x[:300], y[:300]), bs=bs, shuffle=True), DataLoader(TensorDataset(x[300:], y[300:]), bs=bs), path=folder)
    resumed = (folder/'models/checkpoint.safetensors').exists()   # killed before its first one, a run begins again as it began
    set_seed(random.SystemRandom().randrange(2**31) if resumed else 1)   # what is resumed must not depend on where chance stands now
    net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 2))
    learn = Learner(dls, net, nn.CrossEntropyLoss(), cbs=[GradientAccumulation(40), CheckpointCallback(resume=resume, every_batches=every_batches, keep=3)])
    with learn.distributed(timeout=20), learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(4, 0.01)
    end, part = folder/f'end{rank_distrib()}', folder/f'part{rank_distrib()}'
    part.write_text(repr([learn.recorder.losses, learn.recorder.values, [p.tolist() for p in net.state_dict().values()]]))
    part.replace(end)   # a kill may come while this is written, too


def child(f, *args, **env):
    "`f(*args)` in a copy of this process, silent."
    pid = os.fork()
    if pid: return pid
    try:
        os.environ.update(env)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        f(*args)
        os._exit(0)
    except BaseException: os._exit(1)


def started(folder, n, every_batches):
    "The processes of one training."
    if n == 1: return [child(train, folder, every_batches)]
    import socket
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        env = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(s.getsockname()[1]), WORLD_SIZE=str(n))
    return [child(train, folder, every_batches, **env, RANK=str(i), LOCAL_RANK=str(i)) for i in range(n)]


def kill_often(args, n=1, every_batches=2, wanted=100):
    import course_lib.distributed  # noqa: F401 imported once, not by each copy
    import torch.optim
    torch.set_num_threads(1)
    if n > 1: import accelerate  # noqa: F401
    torch.optim.AdamW([torch.zeros(1)])
    dice, wanted = random.Random(args.round), 3 if args.quick else wanted
    kills = runs = differences = left = tries = 0
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as tmp:
        def ended(folder):
            folder.mkdir()
            first = time.perf_counter()
            for pid in started(folder, n, every_batches): os.waitpid(pid, 0)
            return (folder/'end0').read_text(), time.perf_counter() - first
        truth, seconds = ended(Path(tmp, 'whole'))
        while kills < wanted:
            folder = Path(tmp, f'run{runs}')
            folder.mkdir()
            while not (folder/'end0').exists():
                tries += 1
                if tries > 3 * wanted + 20: raise RuntimeError('the trainings do not end')
                pids = started(folder, n, every_batches)
                if kills < wanted:
                    time.sleep(dice.random() * seconds)
                    done, status = os.waitpid(pids[-1], os.WNOHANG)
                    if not done:
                        os.kill(pids[-1], signal.SIGKILL)
                        _, status = os.waitpid(pids[-1], 0)
                        kills += os.WIFSIGNALED(status)
                    pids.pop()
                for pid in pids: os.waitpid(pid, 0)
            runs += 1
            differences += (folder/'end0').read_text() != truth
            left += sum(p.name.startswith('.') for p in (folder/'models').iterdir())
    return dict(kills=kills, runs=runs, differences=differences, left=left, seconds=time.perf_counter() - begin)


def one(args): return kill_often(args)
def epochs(args): return kill_often(args, every_batches=None)
def two(args): return kill_often(args, n=2, wanted=30)


if __name__ == '__main__':
    if not hasattr(os, 'fork'): sys.exit('needs a system that can copy a process')
    main({k: globals()[k] for k in spec['sides']})
