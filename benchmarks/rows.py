"Rows a second through a loader: whole batches of a table in memory, nothing else done with them."
from common import best_of, declare_operators, main
from engine import bs, cards, n_cont, table

spec = dict(
    title='Loader throughput, rows',
    what='Rows a second through a loader that shuffles an Adult-sized table in memory (nine categories, six numbers, a class) '
         'into batches of 64 and of 1024; the batches are not used.',
    sides=dict(ours='course_lib DataLoader on a TensorDataset',
               torch='torch DataLoader on a TensorDataset',
               torch_workers='torch DataLoader, two worker processes',
               fastai='fastai DataLoader, item by item',
               fastai_tabular='fastai TabularPandas.dataloaders'),
    measures=dict(bs64=dict(text='rows/s, batches of 64', better='high'), bs1024=dict(text='rows/s, batches of 1024', better='high')),
    ratios=[['ours', 'torch', 'bs64', None], ['ours', 'torch_workers', 'bs64', None], ['ours', 'fastai', 'bs64', None],
            ['ours', 'fastai_tabular', 'bs64', None], ['ours', 'fastai_tabular', 'bs1024', None]],
    rounds=5, threads=1)


def n_rows(args): return 2_560 if args.quick else 26_048


def speed(args, loader):
    "Rows a second for both batch sizes; `loader` makes a loader of a given batch size."
    def one(bs):
        dl = loader(bs)
        def epoch():
            n = sum(len(b[-1]) for b in dl)
            assert n == n_rows(args), f'{n} rows came, {n_rows(args)} are there'
        return n_rows(args) / best_of(epoch, 1 if args.quick else 3)
    return dict(bs64=one(64), bs1024=one(1024))


def ours(args):
    from course_lib.data.load import DataLoader, TensorDataset
    data = TensorDataset(*table(n_rows(args))[0])
    return speed(args, lambda bs: DataLoader(data, bs=bs, shuffle=True))


def torch(args, workers=0):
    from torch.utils.data import DataLoader, TensorDataset
    data = TensorDataset(*table(n_rows(args))[0])
    return speed(args, lambda bs: DataLoader(data, bs, shuffle=True, num_workers=workers))


def torch_workers(args): return torch(args, 2)


def fastai(args):
    declare_operators()
    from fastai.data.load import DataLoader
    data = list(zip(*table(n_rows(args))[0]))
    return speed(args, lambda bs: DataLoader(data, bs=bs, shuffle=True, num_workers=0))


def fastai_tabular(args):
    declare_operators()
    import pandas as pd
    from fastai.tabular.all import Categorify, CategoryBlock, Normalize, TabularPandas
    cats, conts, y = table(n_rows(args))[0]
    df = pd.DataFrame(dict(**{f'cat{i}': cats[:, i].numpy() for i in range(len(cards))},
                           **{f'cont{i}': conts[:, i].numpy() for i in range(n_cont)}, y=y.numpy()))
    to = TabularPandas(df, [Categorify, Normalize], [f'cat{i}' for i in range(len(cards))], [f'cont{i}' for i in range(n_cont)],
                       y_names='y', y_block=CategoryBlock())
    return speed(args, lambda bs: to.dataloaders(bs=bs, drop_last=False).train)


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
