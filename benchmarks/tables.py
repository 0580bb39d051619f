"""A table from CSV to predictions: preparing it, an epoch of training, a million predictions, in course_lib, in fastai, and by hand.

The real Adult census on all its columns, every fifth row for validation; the same kinds of column, layers, batches, rates and epochs.
"""
import math
import time

from common import best_of, declare_operators, main

spec = dict(
    title='Tables: Adult, all columns',
    what='The real census, 32,561 people, every fifth for validation: eight categories, six numbers, layers 200 and 100, batches of 64, one '
         'cycle up to 3e-3. Preparing: DataFrame to encoded table; and ten times these people, in any order. Predicting: a million rows, drawn from these people, as the loader comes; '
         'from the encoded rows, and from the DataFrame on.',
    sides=dict(ours='course_lib', fastai='fastai', bare='PyTorch loop, fused AdamW, on our encoded tensors'),
    measures=dict(procs=dict(text='seconds to prepare the table', better='low'), procs_many=dict(text='seconds to prepare 325,610 rows', better='low'),
                  row=dict(text='bytes a row of the prepared table', better='low', quality=True), epoch=dict(text='seconds an epoch', better='low'),
                  infer=dict(text='seconds to predict 1 M encoded rows', better='low'),
                  infer_same=dict(text='the same in batches of 64 (five times 200,000 rows)', better='low'),
                  rows=dict(text='seconds from a DataFrame of 1 M rows to predictions', better='low'),
                  accuracy=dict(text='accuracy', better='high', quality=True), valid_loss=dict(text='validation loss', better='low', quality=True)),
    ratios=[['ours', 'fastai', 'procs', 0.4], ['ours', 'fastai', 'procs_many', 0.4], ['ours', 'fastai', 'row', None],
            ['ours', 'fastai', 'epoch', round(1 / 4.5, 3)], ['ours', 'fastai', 'infer', 0.2], ['ours', 'fastai', 'infer_same', None], ['ours', 'fastai', 'rows', None], ['ours', 'bare', 'epoch', None]],
    rounds=3, threads=1, epochs=3, data='real', source='ADULT_SAMPLE', sample='adult', about_data='Adult, 32,561 people, from the mirror')

cat = ['workclass', 'education', 'marital-status', 'occupation', 'relationship', 'race', 'sex', 'native-country']
cont = ['age', 'fnlwgt', 'education-num', 'capital-gain', 'capital-loss', 'hours-per-week']
bs, lr, layers, moms, wd = 64, 3e-3, [200, 100], (0.95, 0.85, 0.95), 0.01


def people(args):
    import pandas as pd
    df = pd.read_csv(args.data/'adult.csv', skipinitialspace=True)
    return df, (list(i for i in range(len(df)) if i % 5), list(range(0, len(df), 5)))


def many(df, args): return df.drop(columns='salary').sample(20_000 if args.quick else 1_000_000, replace=True, random_state=0).reset_index(drop=True)
def epochs(args): return 1 if args.quick else spec['epochs']


def seconds(f):
    start = time.perf_counter()
    result = f()
    return time.perf_counter() - start, result


def measured(args, prepare, learner):
    "What both libraries do, by the names they share."
    df, splits = people(args)
    procs = best_of(lambda: prepare(df, splits), 1 if args.quick else 3)
    more = df.sample(len(df) * (1 if args.quick else 10), replace=True, random_state=0).reset_index(drop=True)
    asides = list(i for i in range(len(more)) if i % 5), list(range(0, len(more), 5))
    procs_many = best_of(lambda: prepare(more, asides), 1 if args.quick else 3)
    row = prepare(df, splits).items.memory_usage(index=False, deep=True).sum() / len(df)
    dls = prepare(df, splits).dataloaders(bs=bs)
    learn = learner(dls)
    learn.create_opt()   # the first torch optimizer of a process imports torch._dynamo, whoever makes it
    with learn.no_bar(), learn.no_logging():
        took = seconds(lambda: learn.fit_one_cycle(epochs(args), lr))[0] / epochs(args)
        valid_loss, accuracy = learn.recorder.values[-1][1:3]
        rows = many(df, args)
        encode, dl = seconds(lambda: dls.test_dl(rows))
        infer, (probs, _) = seconds(lambda: learn.get_preds(dl=dl))
        assert len(probs) == len(rows)
        part = dls.test_dl(rows[:len(rows) // 5])
        same = 5 * seconds(lambda: learn.get_preds(dl=part.new(bs=bs)))[0]
    return dict(procs=procs, procs_many=procs_many, row=float(row), epoch=took, infer=infer, infer_same=same, rows=encode + infer, accuracy=float(accuracy), valid_loss=float(valid_loss))


def ours(args):
    import course_lib.callback.schedule
    from course_lib.metrics import accuracy
    from course_lib.tabular.all import Categorify, FillMissing, Normalize, TabularPandas, set_seed, tabular_learner
    set_seed(args.round)
    return measured(args, lambda df, splits: TabularPandas(df, [Categorify, FillMissing, Normalize], cat, cont, y_names='salary', splits=splits),
                    lambda dls: tabular_learner(dls, layers=layers, metrics=accuracy, moms=moms, wd=wd))


def fastai(args):
    declare_operators()
    from fastai.tabular.all import Categorify, FillMissing, Normalize, TabularPandas, accuracy, set_seed, tabular_learner
    set_seed(args.round)
    return measured(args, lambda df, splits: TabularPandas(df, [Categorify, FillMissing, Normalize], cat, cont, y_names='salary', splits=splits),
                    lambda dls: tabular_learner(dls, layers=layers, metrics=accuracy, moms=moms, wd=wd))


def bare(args):
    "What a careful person writes by hand, on tensors that are there."
    import torch
    import torch.nn.functional as F
    from torch import nn

    from course_lib.tabular.all import Categorify, FillMissing, Normalize, TabularPandas
    df, splits = people(args)
    to = TabularPandas(df, [Categorify, FillMissing, Normalize], cat, cont, y_names='salary', splits=splits)
    train, valid = [[torch.tensor(part.cats.to_numpy('int64')), torch.tensor(part.conts.to_numpy('float32')),
                     torch.tensor(part.y.to_numpy('int64'))] for part in (to.train, to.valid)]
    torch.manual_seed(args.round)
    cards = [len(to.classes[n]) for n in to.cat_names]
    sizes = [min(600, round(1.6 * c**0.56)) for c in cards]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embeds = nn.ModuleList(nn.Embedding(c, s) for c, s in zip(cards, sizes))
            for e in self.embeds: nn.init.trunc_normal_(e.weight, std=0.01)
            self.bn = nn.BatchNorm1d(len(cont))
            widths, hidden = [sum(sizes) + len(cont), *layers], []
            for i, o in zip(widths, widths[1:]): hidden += [nn.Linear(i, o, bias=False), nn.ReLU(inplace=True), nn.BatchNorm1d(o)]
            self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], 2))

        def forward(self, cats, conts):
            return self.layers(torch.cat([e(cats[:, i]) for i, e in enumerate(self.embeds)] + [self.bn(conts)], 1))
    model = Net()
    spared = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm1d) for p in m.parameters()}
    spared |= {id(p) for n, p in model.named_parameters() if n.endswith('bias')}
    groups = [dict(params=[p for p in model.parameters() if (id(p) in spared) == s], weight_decay=0. if s else wd) for s in (False, True)]
    opt = torch.optim.AdamW(groups, lr=lr, betas=(moms[0], 0.99), eps=1e-5, fused=True)
    n_batches, n_epochs = len(train[0]) // bs, epochs(args)
    def cosine(a, b, t): return a + (b - a) * (1 - math.cos(math.pi * t)) / 2
    start = time.perf_counter()
    for epoch in range(n_epochs):
        model.train()
        order = torch.randperm(len(train[0]))
        for i in range(n_batches):
            pos = (epoch + i / n_batches) / n_epochs
            if pos < 0.25: rate, mom = cosine(lr / 25, lr, pos / 0.25), cosine(moms[0], moms[1], pos / 0.25)
            else: rate, mom = cosine(lr, lr / 1e5, (pos - 0.25) / 0.75), cosine(moms[1], moms[2], (pos - 0.25) / 0.75)
            for g in opt.param_groups: g['lr'], g['betas'] = rate, (mom, 0.99)
            idx = order[i * bs:(i + 1) * bs]
            cats, conts, y = [t[idx] for t in train]
            F.cross_entropy(model(cats, conts), y).backward()
            opt.step()
            opt.zero_grad()
        model.eval()
        loss, right = 0., 0.
        with torch.no_grad():
            for i in range(0, len(valid[0]), bs):
                cats, conts, y = [t[i:i + bs] for t in valid]
                pred = model(cats, conts)
                loss += F.cross_entropy(pred, y) * len(y)
                right += (pred.argmax(1) == y).sum()
        accuracy, valid_loss = right.item() / len(valid[0]), loss.item() / len(valid[0])
    return dict(epoch=(time.perf_counter() - start) / n_epochs, accuracy=accuracy, valid_loss=valid_loss)


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
