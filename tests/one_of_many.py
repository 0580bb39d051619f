"One of the processes of test_processes.py: python one_of_many.py FOLDER HOW"
import atexit
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils import data as torch_data

from course_lib import learner_io
from course_lib.callback.core import Callback
from course_lib.callback.progress import CSVLogger
from course_lib.callback.tracker import CheckpointCallback, EarlyStoppingCallback, SaveModelCallback
from course_lib.callback.training import GradientAccumulation
from course_lib.data.core import DataLoaders
from course_lib.data.load import DataLoader, TensorDataset
from course_lib.distributed import num_distrib, rank0_first, rank_distrib
from course_lib.learner import Learner
from course_lib.metrics import F1Score, RocAucBinary, accuracy
from course_lib.torch_core import set_seed

folder, how = Path(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
if num_distrib() > 1:   # said last of all
    atexit.register(lambda: (folder/f'{rank_distrib()}_left.json').write_text(json.dumps(not torch.distributed.is_initialized())))
bs = 16 // max(1, num_distrib())


def points(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=g)
    return x, (x[:, 0] + x[:, 1] * x[:, 2] > 0).long()


train, valid = points(101, 0), points(53, 1)   # the last batches: 5 items for two processes


def loaders(kind):
    if kind == 'ours': return [DataLoader(TensorDataset(*o), bs=bs, shuffle=i == 0) for i, o in enumerate((train, valid))]
    if kind == 'torch': return [torch_data.DataLoader(torch_data.TensorDataset(*o), bs, shuffle=i == 0) for i, o in enumerate((train, valid))]
    return [list(zip(*(t.split(16) for t in o))) for o in (train, valid)]   # batches in a list are cut


def learner(kind='ours', *cbs, dropout=0., lr=.02):
    dls = DataLoaders(*loaders(kind), path=folder)
    set_seed(2)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2))
    return Learner(dls, net, nn.CrossEntropyLoss(), metrics=[accuracy, F1Score(), RocAucBinary()], cbs=cbs, lr=lr)


def tell(**found): (folder/f'{rank_distrib()}.json').write_text(json.dumps(found))


def weights(learn): return [p.tolist() for p in learn.model.state_dict().values()]


class Slow(Callback):
    "Time to be killed in."
    order = 99
    def after_batch(self):
        if self.training and (self.epoch, self.iter) == (2, 3):
            if rank_distrib() == num_distrib() - 1: print('in the middle', flush=True)
            time.sleep(1 if rank_distrib() == 0 else 60)


class Asleep(Callback):
    def before_batch(self):
        if rank_distrib() == 1 and self.epoch == 1: time.sleep(600)


if how == 'alike':
    found = dict(first=rank0_first(lambda: 7))
    for name, kind, cbs in [('ours', 'ours', ()), ('torch', 'torch', ()), ('list', 'list', ()), ('accumulated', 'ours', (GradientAccumulation(40),))]:
        learn = learner(kind, *cbs)
        with learn.distributed(timeout=60), learn.no_logging(): learn.fit(3)
        found[name] = learn.recorder.losses, learn.recorder.values
    learn = learner('ours', SaveModelCallback(), EarlyStoppingCallback(patience=1), CSVLogger(), lr=.3)
    with learn.distributed(timeout=60):
        learn.progress._say = lambda row: None   # its last column is the time
        learn.fit(20)
        inputs, preds, targs = learn.get_preds(with_input=True)
        found['stopped'], found['judged'] = len(learn.recorder.values), list(learn.validate())
        learn.export('whole.pkl')
    found['preds'], found['in order'] = preds.tolist(), torch.equal(inputs, valid[0]) and torch.equal(targs, valid[1])
    tell(**found)
elif how in ('long', 'whole', 'resume'):
    cbs = [CheckpointCallback(resume=how == 'resume', every_batches=2), GradientAccumulation(20)]
    learn = learner('ours', *cbs, *([Slow] if how == 'long' else []), dropout=.3)
    with learn.distributed(timeout=20), learn.no_logging(): learn.fit(4)
    tell(weights=weights(learn), losses=learn.recorder.losses, values=learn.recorder.values)
elif how == 'asleep':
    learn = learner('ours', Asleep)
    with learn.distributed(timeout=3), learn.no_logging(): learn.fit(3)
elif how == 'unwritable':
    import errno
    def full(*args): raise OSError(errno.ENOSPC, 'no space left')
    learner_io._write_tensors = full
    learn = learner('ours', CheckpointCallback)
    with learn.distributed(timeout=20), learn.no_logging(): learn.fit(3)
