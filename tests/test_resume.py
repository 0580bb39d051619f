"""A run that was killed ends as the unbroken one: every callback and every optimizer of the library, at a moment that chance chooses."""
import importlib
import os
import pkgutil
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from types import SimpleNamespace

import course_lib
from course_lib import optimizer
from course_lib.callback.rnn import ModelResetter, RNNCallback
from course_lib.callback.threads import AutoThreads
from course_lib.callback.bn_freeze import BnFreeze
from course_lib.callback.core import Callback
from course_lib.callback.hook import ActivationStats, HookCallback
from course_lib.callback.mixup import CutMix, MixUp
from course_lib.callback.precision import AutoPrecision, ChannelsLast, MixedPrecision
from course_lib.callback.progress import CSVLogger, ProgressCallback, ShowGraphCallback, TerminateOnNaNCallback
from course_lib.callback.schedule import CycleEndCallback, ParamScheduler
from course_lib.callback.snapshot import SWA
from course_lib.callback.tracker import (CheckpointCallback, EarlyStoppingCallback, ReduceLROnPlateau, SaveModelCallback,
                                         TrackerCallback)
from course_lib.callback.distil import Distil
from course_lib.callback.training import GradientAccumulation, GradientClip
from course_lib.collab.rows import RowAdagrad
from course_lib.learner import Learner
from course_lib.torch_core import set_seed

def teacher():
    model = nn.Linear(4, 3, bias=False)
    nn.init.eye_(model.weight)
    return model


callbacks = {   # how each is made: those that change training, those that watch, those that write
    'TrackerCallback': TrackerCallback, 'SaveModelCallback': SaveModelCallback,
    'SaveModelCallback, every epoch': lambda: SaveModelCallback(every_epoch=2, with_opt=True),
    'EarlyStoppingCallback': lambda: EarlyStoppingCallback(patience=2, min_delta=.01), 'ReduceLROnPlateau': lambda: ReduceLROnPlateau(min_delta=.5),
    'GradientAccumulation': lambda: GradientAccumulation(50), 'GradientClip': lambda: GradientClip(.1), 'SWA': lambda: SWA(.2),
    'CSVLogger': CSVLogger, 'ProgressCallback': ProgressCallback, 'TerminateOnNaNCallback': TerminateOnNaNCallback,
    'ShowGraphCallback': ShowGraphCallback,
    'MixUp': MixUp, 'Distil': lambda: Distil(teacher()), 'BnFreeze': lambda: BnFreeze(1), 'MixedPrecision': lambda: MixedPrecision('bf16'),
    'AutoPrecision': AutoPrecision, 'ChannelsLast': ChannelsLast, 'HookCallback': HookCallback, 'ActivationStats': lambda: ActivationStats(every=3),
    'ParamScheduler': lambda: ParamScheduler({'lr': lambda pos: .05 * (1 - pos)}),
    'RNNCallback': RNNCallback, 'ModelResetter': ModelResetter, 'AutoThreads': lambda: AutoThreads(1),
    'CycleEndCallback': lambda: CycleEndCallback([1, 2, 2], lambda learn, i: learn.save(f'cycle_{i}')),
}
elsewhere = {'DistributedTrainer', '_Gathered', 'Scores', 'Recorder', 'LRFinder', 'MixHandler', 'CheckpointCallback', 'GatherPredsCallback', '_Meter',   # part of every run, or of none
             'RecomputeActivations',   # needs a net with blocks: see its chapter
             'SwapNoise',              # spoils rows of a table: see its chapter
             'CollectDataCallback',    # holds whole batches, too large for a checkpoint: see its chapter
             'CutMix', 'Precomputed', 'GrowPictures', 'RNNRegularizer'}                           # pictures: see below, and apps; texts: its chapter
optimizers = dict(SGD=optimizer.SGD, momentum=lambda ps, lr: optimizer.SGD(ps, lr, mom=.9), RMSProp=optimizer.RMSProp, Adam=optimizer.Adam,
                  L2=lambda ps, lr: optimizer.Adam(ps, lr, decouple_wd=False), RowAdagrad=RowAdagrad,
                  steps=lambda ps, lr: optimizer.Optimizer(ps, [optimizer.average_grad, optimizer.average_sqr_grad, optimizer.step_stat, optimizer.adam_step], lr=lr),
                  **{f'torch {k}': getattr(torch.optim, k) for k in 'Adadelta Adafactor Adagrad Adamax ASGD NAdam RAdam Rprop AdamW SGD RMSprop'.split()})


def test_every_callback_is_here():
    for m in pkgutil.walk_packages(course_lib.__path__, 'course_lib.'):
        if '.exercises' not in m.name and not m.name.endswith('cli'): importlib.import_module(m.name)
    def heirs(cls): return {s for c in cls.__subclasses__() for s in (c, *heirs(c))}
    names = {c.__name__ for c in heirs(Callback) if c.__module__.startswith('course_lib.')}
    assert names <= {k.split(',')[0] for k in callbacks} | elsewhere


class Kill(Callback):
    def __init__(self, epoch, batch): self.at = epoch, batch
    def after_backward(self):
        if (self.epoch, self.iter) == self.at: raise SystemExit('killed')


def run(folder, *cbs, seed=3, opt_func=optimizer.Adam, n_epoch=5):
    set_seed(0)
    x, classes = torch.randn(90, 4), torch.randint(0, 3, (90,))
    data = SimpleNamespace(train=DataLoader(TensorDataset(x, classes), 16, shuffle=True), valid=[(x, classes)], path=folder)
    set_seed(seed)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(.3), nn.Linear(16, 3))
    learn = Learner(data, model, nn.CrossEntropyLoss(), opt_func=opt_func, lr=.01, cbs=cbs, splitter=lambda m: [[*m[0].parameters(), *m[1].parameters()], [*m[4].parameters()]])
    with learn.no_bar(), learn.no_logging(): learn.fit(n_epoch)
    return learn


def files(folder):
    "What the run has left: rows without their times, and weights."
    from course_lib.learner_io import read_tensors
    found = {p.name: [line.rsplit(',', 1)[0] for line in p.read_text().split()] for p in Path(folder).rglob('*.csv')}
    for p in Path(folder).rglob('*.safetensors'):
        if 'checkpoint' not in p.name: found[p.name] = {k: t.tolist() for k, t in read_tensors(p)[0].items()}
    return found


def ends_alike(tmp_path, make=None, **kwargs):
    cbs = lambda: [make()] if make else []
    dice = random.Random(repr(make) and tmp_path.name)
    straight = run(tmp_path/'a', *cbs(), **kwargs)
    try: run(tmp_path/'b', *cbs(), CheckpointCallback(every=dice.choice([1, 2])), Kill(dice.randrange(2, 5), dice.randrange(6)), **kwargs)
    except SystemExit: pass
    resumed = run(tmp_path/'b', *cbs(), CheckpointCallback(resume=True), seed=99, **kwargs)
    for (k, p), q in zip(straight.model.state_dict().items(), resumed.model.state_dict().values()): assert torch.equal(p, q), k
    assert resumed.recorder.values == straight.recorder.values and resumed.recorder.losses == straight.recorder.losses
    assert files(tmp_path/'a') == files(tmp_path/'b')
    return straight, resumed


@pytest.mark.parametrize('name', list(callbacks))
def test_callback(name, tmp_path):
    straight, resumed = ends_alike(tmp_path, callbacks[name])
    if name == 'ActivationStats':
        a, b = (learn.activation_stats.layer_stats(0) for learn in (straight, resumed))
        assert [list(o) for o in a] == [list(o) for o in b]


@pytest.mark.parametrize('name', [None, *callbacks])
def test_within_an_epoch(name, tmp_path):
    "Checkpoints every few batches: the rest of the epoch's order, and what callbacks hold in the middle of it."
    make = callbacks.get(name)
    cbs, dice = lambda: [make()] if make else [], random.Random(f'{name}')
    def kept(**kwargs): return CheckpointCallback(every_batches=dice.choice([1, 2, 4]), keep=2, **kwargs)
    straight = run(tmp_path/'a', *cbs(), kept())
    with pytest.raises(SystemExit): run(tmp_path/'b', *cbs(), kept(), Kill(dice.randrange(1, 5), dice.randrange(6)))
    resumed = run(tmp_path/'b', *cbs(), kept(resume=True), seed=99)
    for (k, p), q in zip(straight.model.state_dict().items(), resumed.model.state_dict().values()): assert torch.equal(p, q), k
    assert resumed.recorder.values == straight.recorder.values and resumed.recorder.losses == straight.recorder.losses
    assert files(tmp_path/'a') == files(tmp_path/'b')


@pytest.mark.skipif(os.name == 'nt', reason='has no limit on the size of files')
@pytest.mark.parametrize('keep', [1, 3])
def test_disk_full_in_training(keep, tmp_path):
    "One clear error; what was written before stays whole, and the run goes on from it."
    import resource
    straight = run(tmp_path/'a')
    class Fill(Callback):
        order = 94
        def after_epoch(self):
            if self.epoch == 2: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises((OSError, RuntimeError), match='checkpoint.*another (disk|folder)'): run(tmp_path/'b', CheckpointCallback(keep=keep), Fill())
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len([*tmp_path.glob('b/models/*')]) == min(keep, 2) and not [*tmp_path.glob('b/models/.*')]
    resumed = run(tmp_path/'b', CheckpointCallback(keep=keep, resume=True), seed=99)
    assert all(torch.equal(p, q) for p, q in zip(straight.model.state_dict().values(), resumed.model.state_dict().values()))


@pytest.mark.parametrize('name', optimizers)
def test_optimizer(name, tmp_path): ends_alike(tmp_path, opt_func=optimizers[name])


def test_rows_that_are_looked_up(tmp_path):
    "RowAdagrad's state is a number a row, not one a weight."
    import pandas as pd
    from course_lib.collab import CollabDataLoaders, collab_learner
    df = pd.DataFrame([(u, i, 1 + (u * i) % 5) for u in range(20) for i in range(20)], columns=['user', 'item', 'rating'])
    def go(*cbs, seed=3):
        dls = CollabDataLoaders.from_df(df, seed=0, bs=32, path=tmp_path)
        set_seed(seed)
        learn = collab_learner(dls, 5, y_range=(.5, 5.5), cbs=cbs)
        with learn.no_bar(), learn.no_logging(): learn.fit(4)
        return learn
    straight = go()
    with pytest.raises(SystemExit): go(CheckpointCallback(), Kill(2, 4))
    resumed = go(CheckpointCallback(resume=True), seed=9)
    assert all(torch.equal(p, q) for p, q in zip(straight.model.parameters(), resumed.model.parameters()))


@pytest.mark.parametrize('batches', [None, 2])
def test_pictures_that_take_turns(batches, tmp_path):
    "A data set that remembers which side of a picture it showed last."
    from course_lib.data.block import DataLoaders
    from course_lib.data.load import DataLoader as Loader
    from course_lib.vision.fast_net import MovingPictures
    def go(*cbs, seed=3):
        set_seed(seed)
        x, y = torch.randn(60, 3, 8, 8), torch.randint(0, 3, (60,))
        if seed != 3: x, y = asked
        moving = MovingPictures(x, y, 1)
        dls = DataLoaders(Loader(moving, 8, shuffle=True), Loader(MovingPictures(x, y, 0), 60), path=tmp_path)
        learn = Learner(dls, nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3)), nn.CrossEntropyLoss(), lr=.01, cbs=cbs)
        with learn.no_bar(), learn.no_logging(): learn.fit(5)
        return learn, (x, y)
    straight, asked = go(*([CheckpointCallback('a', every_batches=batches)] if batches else []))
    with pytest.raises(SystemExit): go(CheckpointCallback(every_batches=batches), Kill(3, 5))
    resumed, _ = go(CheckpointCallback(every_batches=batches, resume=True), seed=9)
    assert all(torch.equal(p, q) for p, q in zip(straight.model.parameters(), resumed.model.parameters()))
    assert torch.equal(straight.dls.train.dataset.mirrored, resumed.dls.train.dataset.mirrored)


def test_another_model_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(SystemExit): run(tmp_path, CheckpointCallback(), Kill(2, 1))
    def other(*cbs):
        data = SimpleNamespace(train=[(torch.ones(4, 4), torch.zeros(4, 3))], valid=[], path=tmp_path)
        return Learner(data, nn.Sequential(nn.Linear(4, 16), nn.Linear(16, 3)), F.mse_loss, cbs=cbs)
    learn = other(CheckpointCallback(resume=True))
    before = [p.detach().clone() for p in learn.model.parameters()]
    with pytest.raises(ValueError, match='checkpoint.*has shape.*was it another architecture'), learn.no_logging(): learn.fit(5)
    assert all(torch.equal(p, q) for p, q in zip(before, learn.model.parameters()))


def test_killed_while_it_saves(tmp_path):
    "SIGKILL inside a save: the old file stays whole, and nothing is left behind after the next save."
    code = textwrap.dedent(f'''
        import torch
        from course_lib.learner_io import write_tensors
        n = 0
        while True:
            write_tensors({str(tmp_path/"w.safetensors")!r}, {{'w': torch.full((2_000_000,), float(n))}}, {{'kind': 'weights'}})
            n += 1
            print(n, flush=True)''')
    from course_lib.learner_io import read_tensors, write_tensors
    dice = random.Random(0)
    for _ in range(4):
        with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True) as child:
            for _ in range(2): child.stdout.readline()
            try: child.wait(dice.random() * .3)
            except subprocess.TimeoutExpired: child.send_signal(signal.SIGKILL)
        w = read_tensors(tmp_path/'w.safetensors')[0]['w']
        assert (w == w[0]).all()
    write_tensors(tmp_path/'w.safetensors', {'w': torch.ones(3)}, {'kind': 'weights'})
    assert os.listdir(tmp_path) == ['w.safetensors']


@pytest.mark.skipif(os.name == 'nt' or os.geteuid() == 0 and not Path('/dev/full').exists(), reason='needs a folder that cannot be written')
def test_where_nothing_can_be_written(tmp_path):
    from course_lib.learner_io import write_tensors
    (tmp_path/'file').touch()
    for name in ('file/w', 'n' * 300, 'folder'):
        (tmp_path/'folder').mkdir(exist_ok=True)
        with pytest.raises(RuntimeError, match='cannot write .*choose another folder'): write_tensors(tmp_path/name, {'w': torch.ones(3)}, {})
    assert sorted(os.listdir(tmp_path)) == ['file', 'folder']


def test_full_disk(tmp_path, monkeypatch):
    "What safetensors says in its own words is said in ours, and the old file stays."
    import safetensors.torch
    from safetensors import SafetensorError
    from course_lib.learner_io import read_tensors, write_tensors
    write_tensors(tmp_path/'w', {'w': torch.ones(3)}, {})
    def full(*args, **kwargs): raise SafetensorError('Error while serializing: I/O error: No space left on device (os error 28)')
    monkeypatch.setattr(safetensors.torch, 'save_file', full)
    with pytest.raises(RuntimeError, match='no space left .*choose another disk'): write_tensors(tmp_path/'w', {'w': torch.zeros(3)}, {})
    assert read_tensors(tmp_path/'w')[0]['w'].sum() == 3 and os.listdir(tmp_path) == ['w']
