"The Rossmann recipe on the competition's tables, through the command: what a user gets, and again with other seeds."
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import main

spec = dict(
    title='Rossmann: the recipe on the tables of the competition',
    what='`course_lib train rossmann --data real`, as it comes: 100 of the 1,115 shops, judged by RMSPE on the last six weeks (3,606 days), '
         'beside group means, last year\'s same week, gradient boosting on the same columns, and on the embeddings that the nets have learnt. '
         'The course reports 0.097 on its last two weeks, with all shops.',
    sides=dict(ours='as it comes (first seed 0)', other_seeds='first seed 100'),
    measures=dict(rmspe=dict(text='RMSPE', better='low', quality=True),
                  rmspe_without_factor=dict(text='RMSPE, forecasts not lowered', better='low', quality=True),
                  rmspe_one_net=dict(text='RMSPE of one net alone, not lowered, on average', better='low', quality=True),
                  means=dict(text='RMSPE of means by shop, weekday and promotion', better='low', quality=True),
                  last_year=dict(text='RMSPE of last year\'s same week', better='low', quality=True),
                  boosting=dict(text='RMSPE of gradient boosting, same columns', better='low', quality=True),
                  boosting_embeddings=dict(text='RMSPE of gradient boosting on the embeddings', better='low', quality=True),
                  recipe_seconds=dict(text='seconds, data to metric, boosting included', better='low')),
    ratios=[], rounds=1, threads=1, data='real', source='ROSSMANN', sample='rossmann',
    about_data='the competition\'s tables from the mirror, shops 1 to 100')
names = {'means by shop, weekday and promotion': 'means', "last year's same week": 'last_year', 'gradient boosting': 'boosting',
         'boosting on embeddings': 'boosting_embeddings'}


def ours(args, seed=0, *more):
    with tempfile.TemporaryDirectory() as out:
        quick = ['--epochs', '1', '--nets', '1'] if args.quick else []
        command = [Path(sys.executable).with_name('course_lib'), 'train', 'rossmann', '--data', 'sample' if args.quick else 'real',
                   '--seed', str(seed), '--out', out, '--json', *more, *quick]
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, TQDM_DISABLE='1'))
    if done.returncode: raise SystemExit(f'{done.stdout}\n{done.stderr}')
    told = json.loads(done.stdout.strip().split('\n')[-1])
    beside = {short: told['baselines'][name]['rmspe'] for name, short in names.items() if name in told['baselines']}
    return dict(rmspe=told['rmspe'], **{k: told[k] for k in ('rmspe_without_factor', 'rmspe_one_net')}, **beside, recipe_seconds=told['seconds'],
                settings=told['settings'])


def other_seeds(args): return ours(args, 100, '--no-boost')


if __name__ == '__main__': main(dict(ours=ours, other_seeds=other_seeds))
