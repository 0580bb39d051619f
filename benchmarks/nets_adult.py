"Parts of newer nets on the real census, each put into the recipe's net: three seeds."
import os
import time

from common import main
from nets_sales import names

names = dict(names, smoothing='+ label smoothing of 0.1')
spec = dict(
    title='Adult: parts of newer nets',
    what='The net of `course_lib train adult` (all columns, six epochs, one in five people to judge by), and the same with one part exchanged; '
         'three seeds. The standard error of an accuracy of 0.87 on these people is 0.004.',
    sides=names,
    measures=dict(accuracy=dict(text='accuracy', better='high', quality=True), log_loss=dict(text='log loss', better='low', quality=True),
                  seconds=dict(text='seconds', better='low')),
    ratios=[[k, 'plain', 'log_loss', None] for k in names if k != 'plain'],
    rounds=3, threads=1, epochs=6, data='real', source='ADULT_SAMPLE', sample='adult', about_data='Adult, 32,561 people, from the mirror')


def side(part):
    def run(args):
        import numpy as np
        import pandas as pd
        import torch.nn.functional as F
        from functools import partial
        from net_parts import fit
        from course_lib.apps.adult import adult_columns
        from course_lib.tabular.prepare import table_loaders
        from course_lib.torch_core import set_seed
        df, epochs = pd.read_csv(args.data/'adult.csv', skipinitialspace=True), int(os.environ.get('BENCH_EPOCHS', spec['epochs']))
        rows = np.arange(len(df))
        dls = table_loaders(df, 'salary', adult_columns(df, 'all'), (rows[rows % 5 != 0], rows[rows % 5 == 0]), True)
        set_seed(args.round)
        start = time.perf_counter()
        loss = partial(F.cross_entropy, label_smoothing=.1) if part == 'smoothing' else F.cross_entropy
        learn = fit(dls, part, 1 if args.quick else epochs, 3e-3, loss, [200, 100], .2, embed_p=.1)
        took = time.perf_counter() - start
        learn.loss_func = F.cross_entropy
        scores, targs = learn.get_preds()
        return dict(accuracy=(scores.argmax(1) == targs).float().mean().item(), log_loss=F.cross_entropy(scores, targs).item(), seconds=took)
    return run


for _k in names: globals()[_k] = side(_k)

if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
