"Training on a CPU where freed memory stays with the process, and where the C library gives it back: what the system's clearing of pages costs."
import time
from contextlib import nullcontext
from types import SimpleNamespace
from unittest import mock

from common import main

spec = dict(
    title='Training on a CPU: memory that stays',
    what='A `Learner` as it comes, and the same without `kept_memory`: milliseconds a step, the second of two fits. resnet18 on 32 pictures of 128 pixels, '
         '`course_small` on 256 pictures of 32 pixels, and two layers of 200 and 100 numbers on 64 rows. `cleared`: pages of 4 KB that the system cleared, '
         'for each step of resnet18.',
    sides=dict(kept='memory stays', usual='memory goes back'),
    measures=dict(resnet18=dict(text='resnet18', better='low'), course_small=dict(text='course_small', better='low'),
                  table=dict(text='rows of a table', better='low'), cleared=dict(text='pages cleared a step', better='low')),
    ratios=[['kept', 'usual', m, None] for m in ('resnet18', 'course_small', 'table')], rounds=3, threads=1)


def fitted(net, x, n_classes, n):
    "Milliseconds and cleared pages of each of `n` steps."
    import resource

    import torch
    from course_lib.learner import Learner
    from course_lib.losses import CrossEntropyLossFlat
    batch = x, torch.arange(len(x)) % n_classes
    learn = Learner(SimpleNamespace(train=[batch] * n, valid=None), net, CrossEntropyLossFlat(), threads=1)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
        start, pages = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        learn.fit(1, 1e-3)
    return 1000 * (time.perf_counter() - start) / n, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - pages) / n


def trained(args):
    import torch
    from course_lib.torch_core import TensorImage, set_seed
    from course_lib.vision.models import course_small, tvm
    from torch import nn
    set_seed(args.round)
    few = args.quick
    pictures = lambda n, size: torch.randn(4 if few else n, 3, size, size).as_subclass(TensorImage)
    step, cleared = fitted(tvm.resnet18(num_classes=2), pictures(32, 128), 2, 2 if few else 6)
    small, _ = fitted(course_small(10), pictures(256, 32), 10, 2 if few else 6)
    net = nn.Sequential(nn.Linear(20, 200), nn.ReLU(), nn.BatchNorm1d(200), nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 2))
    table, _ = fitted(net, torch.randn(64, 20), 2, 20 if few else 2000)
    return dict(resnet18=step, course_small=small, table=table, cleared=cleared)


def kept(args): return trained(args)


def usual(args):
    with mock.patch('course_lib.learner.kept_memory', nullcontext): return trained(args)


if __name__ == '__main__': main(dict(kept=kept, usual=usual))
