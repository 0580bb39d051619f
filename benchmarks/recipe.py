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
    what='`course_lib train dogscats --data real --seed 42`, without pretrained weights: 2,000 photographs to learn from, 500 to judge by. '
         'Run twice with the same seed.',
    sides=dict(ours='course_lib train dogscats'),
    measures=dict(seconds=dict(text='seconds, the whole command', better='low')),   # the rest is what the recipe reports
    ratios=[], rounds=2, threads='cores', data='real')


def ours(args):
    with tempfile.TemporaryDirectory() as out:
        command = [Path(sys.executable).with_name('course_lib'), 'train', 'dogscats', '--data', 'sample' if args.quick else 'real',
                   '--seed', '42', '--out', out, '--json', *(['--epochs', '1'] if args.quick else [])]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, TQDM_DISABLE='1'))
        took = time.perf_counter() - start
    if done.returncode: raise SystemExit(f'{done.stdout}\n{done.stderr}')
    told = json.loads(done.stdout.strip().split('\n')[-1])
    return dict(told, recipe_seconds=told.get('seconds'), seconds=took)


if __name__ == '__main__': main(dict(ours=ours))
