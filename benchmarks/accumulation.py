"A batch of 64 as a whole, in two and in four parts, and with activations computed twice: memory and seconds of a step."
import sys
import time

from common import main

spec = dict(
    title='A batch in parts: memory and time',
    what='ConvNeXt-Small (50 million weights, fresh), pictures of 128 pixels, Adam with weight decay, steps of 64 pictures, mixed precision as the library '
         'chooses it. Peak of all tensors, as `train_memory` counts it; peak of the process above what it held before its first step (or, on a GPU, '
         'that of the card); seconds of a step, median of three after two. Each side in a process of its own. The course names 4, 3 and 2.5 GB '
         'on its GPU for a whole batch, two and four parts.',
    sides=dict(whole='64 at once', two='2 × 32', four='4 × 16', twice='64 at once, activations computed twice'),
    measures=dict(tensors=dict(text='GB of tensors', better='low', quality=True), process=dict(text='GB of the process', better='low', quality=True),
                  seconds=dict(text='seconds a step', better='low')),
    ratios=[['two', 'whole', 'tensors', None], ['four', 'whole', 'tensors', None], ['twice', 'whole', 'tensors', None],
            ['two', 'whole', 'seconds', None], ['four', 'whole', 'seconds', None], ['twice', 'whole', 'seconds', None]],
    rounds=3, threads=1)


def held(device):
    "Bytes, at most so far."
    import resource
    import torch
    if device.type == 'cuda': return torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == 'darwin' else most * 1024


def measured(args, parts=1, *more):
    import torch
    from course_lib.callback.core import Callback
    from course_lib.callback.memory import train_memory
    from course_lib.callback.training import GradientAccumulation
    from course_lib.data.core import DataLoaders
    from course_lib.data.load import DataLoader, TensorDataset
    from course_lib.learner import Learner
    from course_lib.losses import CrossEntropyLossFlat
    from course_lib.torch_core import set_seed
    from course_lib.vision.models import load_torchvision
    set_seed(0)
    bs, side = (8, 64) if args.quick else (64, 128)
    x, y = torch.randn(5 * bs, 3, side, side), torch.arange(5 * bs) % 10
    dls = DataLoaders(DataLoader(TensorDataset(x, y), bs // parts), [])
    learn = Learner(dls, load_torchvision().models.convnext_small(num_classes=10), CrossEntropyLossFlat(), cbs=list(more))
    marks = []

    class Marks(Callback):
        order = 100
        def before_fit(self): marks.append(time.perf_counter())
        def after_step(self): marks.append(time.perf_counter())
    with learn.no_bar(), learn.no_logging():
        learn._ready()
        before = held(learn.device)
        learn.fit(1, 1e-4, cbs=[Marks(), *([GradientAccumulation(bs)] if parts > 1 else [])])
        after = held(learn.device)
        tensors = train_memory(learn, bs, parts)['peak']
    steps = sorted(b - a for a, b in zip(marks[2:], marks[3:]))
    return dict(tensors=tensors / 1e9, process=(after - before) / 1e9, seconds=steps[len(steps) // 2])


def whole(args): return measured(args)
def two(args): return measured(args, 2)
def four(args): return measured(args, 4)


def twice(args):
    from course_lib.callback.memory import RecomputeActivations
    return measured(args, 1, RecomputeActivations())


if __name__ == '__main__': main(dict(whole=whole, two=two, four=four, twice=twice))
