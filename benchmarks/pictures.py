"""The same pictures, network, rate and epochs with course_lib and with fastai, from scratch, and how fast the hardware could be.

The limit is a bare loop over random tensors that are there already: no files, no augmentation, nothing recorded.
"""
import os
import time
from contextlib import nullcontext

from common import declare_operators, main, warm_files

spec = dict(
    title='An epoch on the same pictures',
    what='resnet18 from scratch at 128 pixels, batches of 64, Resize(128), aug_transforms(), ImageNet\'s Normalize, one cycle at 2e-3, '
         'validation and accuracy included, then get_preds and tta(n=4) on the validation set; the round is the seed. Last, where the time '
         'goes: two passes through fresh training batches, augmented, with no network behind them.',
    sides=dict(ours='course_lib (precision as it chooses)',
               fastai='fastai',
               ours_fp32='course_lib in float32',
               limit='bare loop on random tensors, bf16 and channels_last',
               limit_fp32='bare loop on random tensors, float32'),
    measures=dict(first=dict(text='seconds, first epoch (with decoding)', better='low'), later=dict(text='seconds, later epochs', better='low'),
                  batches_first=dict(text='seconds, training batches alone, first pass', better='low'),
                  batches_later=dict(text='seconds, training batches alone, later pass', better='low'),
                  preds=dict(text='seconds, get_preds', better='low'),
                  tta=dict(text='seconds, tta with four copies', better='low'), tta_accuracy=dict(text='accuracy with TTA', better='high', quality=True),
                  accuracy=dict(text='accuracy', better='high', quality=True),
                  train_loss=dict(text='training loss', better='low', quality=True), valid_loss=dict(text='validation loss', better='low', quality=True)),
    ratios=[['ours', 'fastai', 'later', .5], ['ours', 'fastai', 'first', None], ['ours', 'fastai', 'preds', .5], ['ours', 'fastai', 'tta', .5],
            ['ours', 'fastai', 'batches_later', None], ['ours_fp32', 'fastai', 'later', None], ['ours', 'limit', 'later', None], ['ours_fp32', 'limit_fp32', 'later', None]],
    rounds=2, threads='cores', data='sample', epochs=3,
    real=dict(rounds=2, epochs=2, sides=['ours', 'fastai']))

bs, lr = 64, 2e-3


def size(args): return 32 if args.quick else 128
def tfms(v): return [*v.aug_transforms(), v.Normalize.from_stats(*v.imagenet_stats)]   # fastai leaves it out of untrained networks
def epochs(args): return 2 if args.quick else int(os.environ['BENCH_EPOCHS'])


def batches(dls):
    "Seconds of two passes through the training batches, nothing learnt."
    times = []
    for _ in range(2):
        start = time.perf_counter()
        for _ in dls.train: pass
        times.append(time.perf_counter() - start)
    return dict(batches_first=times[0], batches_later=times[1])


def trained(args, learn, callback, fresh):
    "Train, take the time of each epoch, predict; both libraries have these names."
    class Clock(callback):
        def __init__(self): self.times = []
        def before_epoch(self): self.start = time.perf_counter()
        def after_epoch(self): self.times.append(time.perf_counter() - self.start)
    clock = Clock()
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs(args), lr, cbs=clock)
    train_loss, valid_loss, accuracy = learn.recorder.values[-1][:3]
    start = time.perf_counter()
    with learn.no_bar(): preds, targets = learn.get_preds()
    took = time.perf_counter() - start
    start = time.perf_counter()
    with learn.no_bar(): mixed, _ = learn.tta(n=4)
    looks = time.perf_counter() - start
    tta_accuracy = (mixed.argmax(1) == targets).float().mean().item()
    again = (preds.argmax(1) == targets).float().mean().item()
    assert abs(again - float(accuracy)) < 0.02, f'get_preds says {again}, the table {accuracy}'
    later = sorted(clock.times[1:])
    return dict(batches(fresh()), first=clock.times[0], later=later[len(later) // 2], preds=took, tta=looks, accuracy=float(accuracy), tta_accuracy=tta_accuracy, train_loss=float(train_loss),
                valid_loss=float(valid_loss), epoch_seconds=clock.times)


def ours(args):
    import course_lib.vision.all as v
    warm_files(args.data)
    v.set_seed(args.round)
    def loaders(): return v.ImageDataLoaders.from_folder(args.data, item_tfms=v.Resize(size(args)), batch_tfms=tfms(v), bs=bs)
    learn = v.vision_learner(loaders(), v.resnet18, pretrained=False, metrics=v.accuracy)
    learn.create_opt()
    result = trained(args, learn, v.Callback, loaders)
    mode = getattr(getattr(learn, 'auto_precision', None), 'mode', 'fp32')
    return dict(result, precision=mode)


def ours_fp32(args):
    os.environ['COURSE_LIB_PRECISION'] = 'fp32'
    return ours(args)


def fastai(args):
    declare_operators()
    import fastai.vision.all as v
    warm_files(args.data)
    v.set_seed(args.round)
    def loaders(): return v.ImageDataLoaders.from_folder(args.data, item_tfms=v.Resize(size(args)), batch_tfms=tfms(v), bs=bs)
    learn = v.vision_learner(loaders(), v.resnet18, pretrained=False, metrics=v.accuracy)
    learn.create_opt()
    return trained(args, learn, v.Callback, loaders)


def limit(args, half=True):
    "Training and validation steps on tensors of noise, a few of each, times the number of batches."
    declare_operators()
    import torch
    import torch.nn.functional as F
    from torchvision.models import resnet18
    torch.manual_seed(args.round)
    form = torch.channels_last if half else torch.contiguous_format
    model = resnet18(num_classes=2).to(memory_format=form)
    opt = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
    x, y = torch.randn(bs, 3, size(args), size(args)).contiguous(memory_format=form), torch.randint(0, 2, (bs,))
    context = (lambda: torch.autocast('cpu', torch.bfloat16)) if half else nullcontext

    def train():
        with context(): loss = F.cross_entropy(model(x).float(), y)
        loss.backward()
        opt.step()
        opt.zero_grad()

    def valid():
        with torch.no_grad(), context(): F.cross_entropy(model(x).float(), y)

    def seconds(step, n=2 if args.quick else 6):
        times = []
        for _ in range(n):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return sorted(times[1:])[len(times[1:]) // 2]   # the first is a warm-up

    count = {p: sum(1 for _ in (args.data/p).rglob('*.jpg')) / bs for p in ('train', 'valid')}
    valid_seconds = (model.eval(), seconds(valid))[1] * count['valid']
    train_seconds = (model.train(), seconds(train))[1] * int(count['train'])   # the last partial batch is left out
    return dict(later=train_seconds + valid_seconds, preds=valid_seconds)


def limit_fp32(args): return limit(args, half=False)


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
