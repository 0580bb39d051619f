"""What the engine costs: the same small network, batches, optimizer and schedule in a bare loop and in two learners.

The table is generated to the measure of Adult (nine categories, six numbers, two classes), so the best possible accuracy is known.
"""
import math
import time
from functools import partial

from common import declare_operators, main

spec = dict(
    title='Engine overhead',
    what='One epoch (training and validation) of a tabular network on Adult-sized generated data: 26,048 rows in batches of 64, '
         'nine embeddings and six numbers, layers 200 and 100 with batch norm, one cycle; tensors in memory, batches cut by index.',
    sides=dict(bare='PyTorch loop, fused AdamW',
               ours='course_lib Learner',
               fastai='fastai Learner, its own Adam',
               fastai_fused='fastai Learner, fused AdamW'),
    measures=dict(seconds=dict(text='seconds an epoch', better='low'), micros=dict(text='µs a batch', better='low'),
                  accuracy=dict(text='accuracy', better='high', quality=True), valid_loss=dict(text='validation loss', better='low', quality=True),
                  best=dict(text='best possible accuracy', better='high', quality=True)),
    ratios=[['ours', 'bare', 'seconds', 1.15], ['fastai', 'bare', 'seconds', None], ['fastai_fused', 'bare', 'seconds', None],
            ['ours', 'fastai', 'seconds', None]],
    rounds=9, threads=1)

cards = [10, 17, 8, 16, 7, 6, 43, 3, 3]   # classes of each category, '#na#' included, as in Adult
n_cont, layers, bs, lr, moms, wd = 6, (200, 100), 64, 3e-3, (0.95, 0.85, 0.95), 0.01


def table(n_train=26_048, n_valid=6_512, seed=1):
    "(training, validation, best accuracy): each part is (categories, numbers, class), drawn from a known model."
    import torch
    g = torch.Generator().manual_seed(seed)
    n = n_train + n_valid
    cats = torch.stack([(torch.rand(n, generator=g)**2 * c).long() for c in cards], 1)
    conts = torch.randn(n, n_cont, generator=g)
    effects = [torch.randn(c, generator=g) * 0.5 for c in cards]
    score = sum(e[cats[:, i]] for i, e in enumerate(effects)) + conts @ torch.linspace(-1, 1, n_cont) + conts[:, 0] * conts[:, 1]
    p = torch.sigmoid(2 * (score - score.median()))
    y = (torch.rand(n, generator=g) < p).long()
    best = torch.where(p > 0.5, y, 1 - y)[n_train:].float().mean().item()
    return [o[:n_train] for o in (cats, conts, y)], [o[n_train:] for o in (cats, conts, y)], best


def net(seed=0):
    "Embeddings side by side with batch-normalised numbers, then two hidden layers: fastai's TabularModel in plain PyTorch."
    import torch
    from torch import nn
    torch.manual_seed(seed)
    sizes = [min(600, round(1.6 * c**0.56)) for c in cards]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embeds = nn.ModuleList(nn.Embedding(c, s) for c, s in zip(cards, sizes))
            self.bn = nn.BatchNorm1d(n_cont)
            widths, hidden = [sum(sizes) + n_cont, *layers], []
            for i, o in zip(widths, widths[1:]): hidden += [nn.Linear(i, o, bias=False), nn.ReLU(inplace=True), nn.BatchNorm1d(o)]
            self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], 2))

        def forward(self, cats, conts):
            return self.layers(torch.cat([e(cats[:, i]) for i, e in enumerate(self.embeds)] + [self.bn(conts)], 1))
    return Net()


def report(start, args, accuracy, valid_loss, best):
    seconds = (time.perf_counter() - start) / epochs(args)
    return dict(seconds=seconds, micros=seconds / (rows(args) // bs) * 1e6, accuracy=float(accuracy), valid_loss=float(valid_loss), best=best)


def epochs(args): return 1 if args.quick else 4
def rows(args): return 2_560 if args.quick else 26_048


def bare(args):
    "What a careful person writes by hand."
    import torch
    import torch.nn.functional as F
    train, valid, best = table(rows(args))
    model = net()
    spared = {id(p) for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d) for p in m.parameters()}
    spared |= {id(p) for n, p in model.named_parameters() if n.endswith('bias')}
    groups = [dict(params=[p for p in model.parameters() if (id(p) in spared) == s], weight_decay=0. if s else wd) for s in (False, True)]
    opt = torch.optim.AdamW(groups, lr=lr, betas=(moms[0], 0.99), eps=1e-5, fused=True)
    n_batches, n_epochs = len(train[0]) // bs, epochs(args)
    def cosine(a, b, t): return a + (b - a) * (1 - math.cos(math.pi * t)) / 2
    start = time.perf_counter()
    for epoch in range(n_epochs):
        model.train()
        order, total = torch.randperm(len(train[0])), 0.
        for i in range(n_batches):
            pos = (epoch + i / n_batches) / n_epochs
            if pos < 0.25: rate, mom = cosine(lr / 25, lr, pos / 0.25), cosine(moms[0], moms[1], pos / 0.25)
            else: rate, mom = cosine(lr, lr / 1e5, (pos - 0.25) / 0.75), cosine(moms[1], moms[2], (pos - 0.25) / 0.75)
            for g in opt.param_groups: g['lr'], g['betas'] = rate, (mom, 0.99)
            idx = order[i * bs:(i + 1) * bs]
            cats, conts, y = [t[idx] for t in train]
            loss = F.cross_entropy(model(cats, conts), y)
            loss.backward()
            opt.step()
            opt.zero_grad()
            total += loss.detach() * len(y)
        total.item()
        model.eval()
        loss, right = 0., 0.
        with torch.no_grad():
            for i in range(0, len(valid[0]), bs):
                cats, conts, y = [t[i:i + bs] for t in valid]
                pred = model(cats, conts)
                loss += F.cross_entropy(pred, y) * len(y)
                right += (pred.argmax(1) == y).sum()
        scores = right.item() / len(valid[0]), loss.item() / len(valid[0])
    return report(start, args, *scores, best)


def ours(args):
    from torch import nn

    import course_lib.callback.schedule
    from course_lib.data.core import DataLoaders
    from course_lib.data.load import DataLoader, TensorDataset
    from course_lib.learner import Learner
    from course_lib.metrics import accuracy
    train, valid, best = table(rows(args))
    dls = DataLoaders(DataLoader(TensorDataset(*train), bs=bs, shuffle=True, drop_last=True), DataLoader(TensorDataset(*valid), bs=bs))
    learn = Learner(dls, net(), nn.CrossEntropyLoss(), metrics=accuracy, wd=wd, moms=moms)
    learn.create_opt()   # the first torch optimizer of a process imports torch._dynamo, whoever makes it
    with learn.no_bar(), learn.no_logging():
        start = time.perf_counter()
        learn.fit_one_cycle(epochs(args), lr)
        result = report(start, args, learn.recorder.values[-1][2], learn.recorder.values[-1][1], best)
    return result


def fastai(args, opt_func=None):
    "The same batches cut from the same tensors, by a loader that overrides what fastai's own loader for tables overrides."
    declare_operators()
    import torch
    from fastai.basics import Adam, DataLoader, DataLoaders, Learner, accuracy
    from fastai.callback.schedule import Learner as _   # adds fit_one_cycle
    from torch import nn
    train, valid, best = table(rows(args))

    class Rows(DataLoader):
        def __init__(self, tensors, **kwargs):
            self.tensors = tensors
            super().__init__(tensors[0], num_workers=0, **kwargs)
        def create_item(self, s): return s
        def create_batch(self, b):
            idx = torch.tensor(b)
            return tuple(t[idx] for t in self.tensors)
        n_inp = 2

    dls = DataLoaders(Rows(train, bs=bs, shuffle=True, drop_last=True), Rows(valid, bs=bs))
    learn = Learner(dls, net(), nn.CrossEntropyLoss(), opt_func=opt_func or Adam, metrics=accuracy, wd=wd, moms=moms)
    learn.create_opt()   # the first torch optimizer of a process imports torch._dynamo, whoever makes it
    with learn.no_bar(), learn.no_logging():
        start = time.perf_counter()
        learn.fit_one_cycle(epochs(args), lr)
        result = report(start, args, learn.recorder.values[-1][2], learn.recorder.values[-1][1], best)
    return result


def fastai_fused(args):
    declare_operators()
    import torch
    from fastai.optimizer import OptimWrapper
    return fastai(args, partial(OptimWrapper, opt=torch.optim.AdamW, betas=(moms[0], 0.99), eps=1e-5, fused=True))


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
