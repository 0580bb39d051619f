"What the measurements share. Nothing heavy is imported here: each side imports its own libraries, and import time is one of the things measured."
import argparse
import json
import os
import sys
import time
from pathlib import Path

here = Path(__file__).resolve().parent
root = here.parent


def declare_operators():
    "Where torchvision's compiled operators are missing, declare the two that its import asks for (run.py finds out whether)."
    if os.environ.get("BENCH_DECLARE_OPERATORS") != "1" or hasattr(declare_operators, "kept"): return
    import torch
    lib = torch.library.Library('torchvision', 'FRAGMENT')
    for op in ('nms', 'qnms'): lib.define(f'{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    declare_operators.kept = lib


def best_of(f, n=3):
    "The shortest of `n` calls of `f`, in seconds."
    times = []
    for _ in range(n):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


def warm_files(path):
    "Read all files below `path` once, so that nobody pays for the disk."
    for p in Path(path).rglob('*'):
        if p.is_file(): p.read_bytes()


def recipe(args, app, short, *more):
    "Run `course_lib train app` as a user would (`short`: its options in a quick run); what it told, and its seconds."
    import subprocess
    import tempfile
    with tempfile.TemporaryDirectory() as out:
        command = [Path(sys.executable).with_name('course_lib'), 'train', app, '--data', 'sample' if args.quick else 'real',
                   '--out', out, '--json', *(short.split() if args.quick else []), *more]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, TQDM_DISABLE='1'))
        took = time.perf_counter() - start
    if done.returncode: raise SystemExit(f'{done.stdout}\n{done.stderr}')
    return json.loads(done.stdout.strip().split('\n')[-1]), took


def main(sides):
    "Run one side and print what it measured as the last line, in JSON."
    parser = argparse.ArgumentParser()
    parser.add_argument('side', choices=list(sides))
    parser.add_argument('--quick', action='store_true', help='a smoke run')
    parser.add_argument('--data', type=Path, help='folder of the data set')
    parser.add_argument('--round', type=int, default=0, help='number of the round; used as a seed')
    args = parser.parse_args()
    print(json.dumps(sides[args.side](args)))
    sys.stdout.flush()
    os._exit(0)   # worker threads and processes have nothing left to say
