"Parts of newer nets on the real shops of Rossmann, each put into the recipe's net: one net at a time, two seeds."
import os
import time

from common import main

names = dict(plain='ours', periodic='+ periodic embeddings of the numbers', piecewise='+ piecewise-linear embeddings of the numbers',
             robust='+ robust scaling and a smooth clip of the numbers', scales='+ learnt scales of the inputs, sloped Mish',
             coslog='+ the cosine-logarithm schedule, with Adam as there', heads='+ eight heads on one net (TabM-mini)',
             together='periodic, robust, scales, coslog and three layers of 256: the manner of RealMLP')
spec = dict(
    title='Rossmann: parts of newer nets',
    what='The net of `course_lib train rossmann` on 100 real shops, five epochs, and the same with one part exchanged; two seeds; RMSPE of '
         'single nets on the last six weeks, forecasts not lowered. Periodic and piecewise-linear embeddings: Gorishniy et al., 2022; heads on '
         'one net: TabM, 2024; the others: RealMLP, Holzmüller et al., 2024.',
    sides={k: v for k, v in names.items() if k not in ('robust', 'scales')},   # they are in `together`
    measures=dict(rmspe=dict(text='RMSPE', better='low', quality=True), seconds=dict(text='seconds', better='low')),
    ratios=[[k, 'plain', 'rmspe', None] for k in ('periodic', 'piecewise', 'coslog', 'heads', 'together')],
    rounds=2, threads=1, epochs=5, data='real', source='ROSSMANN', sample='rossmann', about_data='the competition\'s tables from the mirror, shops 1 to 100')


def side(part):
    def run(args):
        import contextlib
        import io

        import torch.nn.functional as F
        from net_parts import fit
        from course_lib.apps.rossmann import last_weeks, read_tables, sales_loaders, sales_table
        from course_lib.metrics import exp_rmspe
        from course_lib.torch_core import set_seed
        with contextlib.redirect_stdout(io.StringIO()): df = sales_table(read_tables(args.data))
        dls = sales_loaders(df, last_weeks(df))
        y = dls.train.dataset.targets()
        set_seed(args.round)
        start = time.perf_counter()
        learn = fit(dls, part, 1 if args.quick else int(os.environ.get('BENCH_EPOCHS', spec['epochs'])), 2e-2, F.mse_loss, [300, 150], .2,
                    (float(y.min()) - .5, float(y.max()) + .5), metrics=exp_rmspe)
        took = time.perf_counter() - start
        return dict(rmspe=float(learn.validate()[1]), seconds=took)
    return run


for _k in names: globals()[_k] = side(_k)

if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
