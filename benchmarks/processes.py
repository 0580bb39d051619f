"One training in one process and in two: the same figures, and how long each takes."
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import main

spec = dict(
    title='Two processes and one',
    what='The same training as one process with batches of 64 and as two with 32 items each, which send each other gradients over gloo; one thread '
         'a process. A small net for drawn pictures of 32 pixels (six convolutions, no batch norm, which would see half a batch), four epochs of '
         'one cycle. After ten batches the losses agree to six digits; from then on differences of rounding (sums of other parts) grow. '
         'Seconds are those of the training, without starting Python.',
    sides=dict(one='one process', two='two processes'),
    measures=dict(early=dict(text='training loss after ten batches', better='low', quality=True),
                  train_loss=dict(text='training loss at the end', better='low', quality=True),
                  valid_loss=dict(text='validation loss', better='low', quality=True),
                  accuracy=dict(text='accuracy', better='high', quality=True), f1=dict(text='F1 score of all classes', better='high', quality=True),
                  seconds=dict(text='seconds of training', better='low')),
    ratios=[('two', 'one', 'seconds', None)], rounds=5, threads=1)


def work(quick, out):
    "What each process runs; the first one writes the last row of its table."
    from torch import nn

    from course_lib.apps.cifar10 import picture_folders
    from course_lib.callback import schedule  # noqa: F401 gives learners `fit_one_cycle`
    from course_lib.data.core import DataLoaders
    from course_lib.data.load import DataLoader
    from course_lib.data.samples import make_sample
    from course_lib.data.transforms import IntToFloatTensor, Normalize
    from course_lib.distributed import num_distrib, rank_distrib
    from course_lib.learner import Learner
    from course_lib.metrics import F1Score, accuracy
    from course_lib.torch_core import set_seed
    set_seed(0)
    train, valid, _ = picture_folders(make_sample('cifar'))
    bs, tfms = 64 // max(1, num_distrib()), [IntToFloatTensor(), Normalize.from_stats([.5] * 3, [.25] * 3)]
    dls = DataLoaders(DataLoader(train, bs, shuffle=True, drop_last=True, after_batch=tfms),
                      DataLoader(valid, bs, after_batch=tfms))
    width, layers = (8 if quick else 32), []
    sizes = [3, width, width, 2 * width, 2 * width, 4 * width, 4 * width]
    for i, (ni, nf) in enumerate(zip(sizes, sizes[1:])):
        layers += [nn.Conv2d(ni, nf, 3, 1 + i % 2, 1), nn.ReLU()]
        nn.init.kaiming_normal_(layers[-2].weight)
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width * 16, len(train.vocab)))
    learn = Learner(dls, net, train.loss_func, metrics=[accuracy, F1Score(average='macro')], precision='fp32', threads=1)
    start = time.perf_counter()
    with learn.distributed(timeout=120), learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1 if quick else 4, 3e-3)
    took = time.perf_counter() - start
    if rank_distrib() == 0:
        last = dict(zip(('train_loss', 'valid_loss', 'accuracy', 'f1'), learn.recorder.values[-1]))
        out.write_text(json.dumps(dict(early=learn.recorder.losses[9], **last, seconds=took)))


def together(args, n):
    with socket.socket() as s, tempfile.TemporaryDirectory() as tmp:
        s.bind(('127.0.0.1', 0))
        meet = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(s.getsockname()[1]), WORLD_SIZE=str(n)) if n > 1 else {}
        s.close()   # the port is free again, and nobody else asks for it so soon
        command = [sys.executable, '-W', 'ignore', __file__, 'work', str(int(args.quick)), tmp]
        started = [subprocess.Popen(command, env={**os.environ, **meet, **(dict(RANK=str(i), LOCAL_RANK=str(i)) if meet else {})}) for i in range(n)]
        if any(p.wait() for p in started): raise SystemExit('a process has failed')
        return json.loads(Path(tmp, 'told').read_text())


def one(args): return together(args, 1)
def two(args): return together(args, 2)


if __name__ == '__main__':
    if sys.argv[1] == 'work': work(bool(int(sys.argv[2])), Path(sys.argv[3], 'told'))
    else: main(dict(one=one, two=two))
