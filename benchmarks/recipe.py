"The recipe of lesson 1 on the real photographs, through the command, twice: what a user gets, and whether a second run gets the same."
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import main

spec = dict(
    title='Cats and dogs: the recipe on real photographs',
    what='`course_lib train dogscats --data real`, as it comes, without trained weights: 2,000 photographs to learn from, 500 to judge '
         'by. Each seed is run twice, in a process of its own.',
    sides=dict(ours='seed 0 (as it comes)', other_seed='seed 1'),
    measures=dict(accuracy=dict(text='accuracy', better='high', quality=True), valid_loss=dict(text='validation loss', better='low', quality=True),
                  majority=dict(text='accuracy of naming the commoner class', better='high', quality=True),
                  recipe_seconds=dict(text='seconds, data to metric', better='low'),
                  seconds=dict(text='seconds, whole command with page and figures', better='low')),
    ratios=[], rounds=2, threads=1, data='real')


def ours(args, seed=0):
    with tempfile.TemporaryDirectory() as out:
        command = [Path(sys.executable).with_name('course_lib'), 'train', 'dogscats', '--data', 'sample' if args.quick else 'real',
                   '--seed', str(seed), '--out', out, '--json', *(['--epochs', '1'] if args.quick else [])]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, TQDM_DISABLE='1'))
        took = time.perf_counter() - start
    if done.returncode: raise SystemExit(f'{done.stdout}\n{done.stderr}')
    told = json.loads(done.stdout.strip().split('\n')[-1])
    return dict({k: told[k] for k in told['metrics']}, majority=told['baselines']['majority class']['accuracy'],
                recipe_seconds=told['seconds'], seconds=took, settings=told['settings'])


def other_seed(args): return ours(args, 1)


if __name__ == '__main__': main(dict(ours=ours, other_seed=other_seed))
