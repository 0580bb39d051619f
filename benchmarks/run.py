"""Measure course_lib beside its peers: python benchmarks/run.py [NAME ...] [--quick]   (or: make bench, make bench NAMES="engine rows")

Peers run in an environment of their own (.venv-peers, made on the first run from peers.txt and constraints.txt). Every run is a fresh
process; the sides take turns; each result file in benchmarks/results/ is written as a whole, or not at all.
"""
import argparse
import contextlib
import datetime
import functools
import importlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

from common import here, root

from course_lib.results import in_turns, summary

benchmarks = dict(imports='imports', engine='engine', kills='kills', rows='rows', decoding='decoding', decoding_real='decoding',
                  pictures='pictures', pictures_real='pictures', dogscats_real='recipe', dogbreeds_real='breeds', planet_real='planet', rossmann_real='sales', tables='tables', adult_real='adult', nets_sales='nets_sales', nets_adult='nets_adult', tables_public='public_tables', lists='lists', cold='cold',
                  movielens_real='movielens', text_training='text_training', ratings='ratings', ratings_many='ratings_many', texts='texts', reviews_real='reviews', reviews_whole_real='reviews_whole', readers_real='readers', some_words='some_words',
                  nietzsche_real='nietzsche', cifar10_real='cifar10', cifar10_ideas='cifar10_ideas', cifar10_speed='cifar10_speed', shipping='shipping', convs='convs',
                  several='several', processes='processes', accumulation='accumulation')   # result -> script
peers = root/'.venv-peers'
packages = 'torch torchvision fastai scikit-surprise implicit fastcore numpy pandas pillow scikit-learn statsmodels vega_datasets onnxruntime'.split()
of_peers = ('fastai', 'surprise', 'implicit')   # sides whose name begins so run in the peers' environment


# ---------------------------------------------------------------- where

def python_of(env):
    return env/('Scripts/python.exe' if os.name == 'nt' else 'bin/python')


def make_peers():
    "The peers' environment, made anew when what belongs in it has changed."
    wanted = (here/'peers.txt').read_text() + (root/'constraints.txt').read_text()
    done = peers/'.done'
    if done.exists() and done.read_text() == wanted: return
    print('making .venv-peers: fastai, and the same torch as ours', flush=True)
    if not python_of(peers).exists(): subprocess.run([sys.executable, '-m', 'venv', peers], check=True)
    subprocess.run([python_of(peers), '-m', 'pip', '--disable-pip-version-check', 'install', '-q', '-c', root/'constraints.txt',
                    '-r', here/'peers.txt'], check=True)
    done.write_text(wanted)


def versions(python):
    code = ('import importlib.metadata as m, json, platform, sys\n'
            f'found = dict(python=platform.python_version())\nfor p in {packages}:\n'
            '    try: found[p] = m.version(p)\n    except m.PackageNotFoundError: pass\nprint(json.dumps(found))')
    return json.loads(subprocess.run([python, '-c', code], check=True, capture_output=True, text=True).stdout)


@functools.cache
def needs_operators(python):
    "Does torchvision's import stop because its compiled operators are missing?"
    done = subprocess.run([python, '-c', 'import torchvision'], capture_output=True, text=True)
    if done.returncode and 'torchvision::' not in done.stderr: raise SystemExit(f'{python}: {done.stderr}')
    return bool(done.returncode)


def machine():
    "What it runs on; nothing that tells whose it is."
    cpu, flags = platform.processor(), ''
    with contextlib.suppress(OSError):
        info = Path('/proc/cpuinfo').read_text()
        cpu, flags = (re.search(rf'^{k}\s*: (.+)$', info, re.M) for k in ('model name', 'flags'))
        cpu, flags = cpu[1] if cpu else platform.processor(), flags[1] if flags else ''
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        if sys.platform == 'darwin':
            cpu = subprocess.run(['sysctl', '-n', 'machdep.cpu.brand_string'], check=True, capture_output=True, text=True).stdout.strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30 if hasattr(os, 'sysconf') else None
    return dict(cpu=cpu, cores=cores, memory_gb=memory and round(memory, 1), system=f'{platform.system()} {platform.machine()}',
                instructions=[f for f in ('avx2', 'avx512f', 'avx512_bf16', 'amx_bf16') if f in flags.split()])


def commit():
    done = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=root, capture_output=True, text=True)
    return done.stdout.strip() or None


# ---------------------------------------------------------------- what

def folder_of(kind, quick, source='DOGS', sample='dogscats'):
    "The data: generated, or the real ones where a mirror is. None: cannot be had."
    from course_lib.data.external import URLs, untar_data
    from course_lib.data.samples import make_sample
    if kind == 'sample' and sample != 'dogscats': return make_sample(sample)
    if kind == 'sample': return make_sample('dogscats', size=160, **(dict(n_train=128, n_valid=64) if quick else {}))
    if not os.environ.get('COURSE_LIB_MIRROR'):
        beside = root.parent/'shared'/'data'
        if not (beside/'manifest.json').exists(): return None
        os.environ['COURSE_LIB_MIRROR'] = str(beside)
    os.environ.pop('COURSE_LIB_DATA', None)
    return untar_data(getattr(URLs, source))


def run_side(script, side, env, options):
    "One side, once, in a fresh process: what its last line says."
    python = python_of(peers) if side.startswith(of_peers) else sys.executable
    env = dict(env, BENCH_DECLARE_OPERATORS='1' if needs_operators(python) else '0')
    done = subprocess.run([python, '-W', 'ignore', here/f'{script}.py', side, *options], env=env, capture_output=True, text=True, cwd=root)
    if done.returncode: raise RuntimeError(f'{script} {side} failed:\n{(done.stdout + done.stderr)[-3000:]}')
    return json.loads(done.stdout.strip().split('\n')[-1])


def measure(name, args, about):
    "Run one benchmark and write its result."
    script = benchmarks[name]
    spec = importlib.import_module(script).spec
    data = spec.get('data')
    if name.endswith('_real'): data = 'real'
    options, env = ['--quick'] if args.quick else [], dict(os.environ, TQDM_DISABLE='1')
    if data:
        folder = folder_of('sample' if args.quick else data, args.quick, *(spec[k] for k in ('source', 'sample') if k in spec))
        if folder is None: return print(f'{name}: skipped, no real data (set COURSE_LIB_MIRROR)')
        env.update({k: os.environ[k] for k in ('COURSE_LIB_MIRROR',) if k in os.environ})
        options += ['--data', str(folder)]
    cores = about['machine']['cores']
    threads = cores if spec['threads'] == 'cores' else spec['threads']
    if threads: env['OMP_NUM_THREADS'] = str(threads)
    if data == 'real': spec = {**spec, **spec.get('real', {})}
    if 'epochs' in spec: env['BENCH_EPOCHS'] = str(spec['epochs'])
    rounds = args.rounds or (1 if args.quick else spec['rounds'])
    texts, wanted = importlib.import_module(script).spec['sides'], args.sides or spec['sides']
    sides = {k: v for k, v in texts.items() if k in wanted}

    def turn(side):
        return lambda i: run_side(script, side, env, [*options, '--round', str(i)])
    same = dict(machine=about['machine'], threads=threads, rounds=rounds, epochs=spec.get('epochs'), quick=args.quick,
                data=data and spec.get('about_data') or data and dict(sample='generated: 800 + 200 pictures of about 160 pixels', real='2,000 + 500 photographs from the mirror')[data])
    old = standing(here/'results'/f'{name}.json', same, spec) if args.add else None
    start, load = time.time(), os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
    if spec.get('warm_up'):
        for side in sides: turn(side)(0)
    runs = []
    for run in in_turns({side: turn(side) for side in sides}, rounds):
        print(f'{name} {run["round"] + 1}/{rounds} {run["side"]}:', {k: round(v, 4) for k, v in run['values'].items() if isinstance(v, float)}, flush=True)
        runs.append(run)
    if load is not None: load = max(load, os.getloadavg()[0] - (threads or cores))   # others may have come meanwhile
    result = dict(name=name, title=spec['title'] + (', real photographs' if name == 'pictures_real' or name == 'decoding_real' else ''),
                  what=spec['what'], date=datetime.date.today().isoformat(), command=f'make bench NAMES={name}', **same,
                  load=load and round(load, 2), seconds=round(time.time() - start), versions=about['versions'], commit=about['commit'],
                  sides=sides, measures=spec['measures'], compare=[r for r in spec['ratios'] if r[0] in sides and r[1] in sides], runs=runs)
    for run in runs: run['values'].get('settings', {}).pop('data', None)   # a folder of this machine; `data` above says which data
    if old: result = added(old, result, texts)
    result['summary'] = summary(result)
    write(args.out/f'{name}.json', result)


def standing(path, same, spec):
    "The result that sides are added to; RuntimeError, before anything is measured, where they would not fit."
    if not path.exists(): raise RuntimeError(f'--add: there is no {path.name} yet')
    old = json.loads(path.read_text(encoding='utf-8'))
    if spec['ratios']: raise RuntimeError('--add: ratios need sides that took turns; measure all of them')
    differs = [k for k in same if k != 'machine' and old[k] != same[k]]
    if differs: raise RuntimeError(f'--add: another {", ".join(differs)} than in {path.name}')
    if old['machine'] != same['machine']: print(f'--add: another machine than in {path.name}: accuracies and the like are added, seconds are not', flush=True)
    return old


def added(old, new, texts):
    "The sides of both, the new ones in place of the old; of another machine only what no clock measures."
    runs, elsewhere = new['runs'], {k: v for k, v in old.get('elsewhere', {}).items() if k not in new['sides']}
    if apart := old['machine'] != new['machine']:
        timed = [m for m, facts in new['measures'].items() if not facts.get('quality')]
        runs = [{**r, 'values': {k: v for k, v in r['values'].items() if k not in timed}} for r in runs]
        elsewhere |= {side: {k: new[k] for k in ('date', 'machine', 'commit')} for side in new['sides']}
    runs = [r for r in old['runs'] if r['side'] not in new['sides']] + runs
    sides = {k: v for k, v in texts.items() if k in {r['side'] for r in runs}}
    order = list(sides)
    both = dict(sides=sides, runs=sorted(runs, key=lambda r: (r['round'], order.index(r['side']))), **(dict(elsewhere=elsewhere) if elsewhere else {}))
    moved = apart and elsewhere.keys() == sides.keys() and all(o['machine'] == new['machine'] for o in elsewhere.values())
    if moved: del both['elsewhere']   # nothing is left of the old machine
    elif apart: return {**old, **{k: new[k] for k in ('title', 'what', 'measures')}, **both}
    return {**new, **both, 'load': max((0 if moved else old['load']) or 0, new['load'] or 0), 'seconds': old['seconds'] + new['seconds']}


def write(path, result):
    "As a whole, or not at all."
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix('.part')
    part.write_text(json.dumps(result, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    part.replace(path)
    for line in result['summary']['ratios']:
        aim = f', at most {line["target"]} wanted: {"yes" if line["median"] <= line["target"] else "NO"}' if line['target'] else ''
        print(f'{path.stem}: {line["of"]} / {line["to"]}, {line["measure"]}: {line["median"]:.3f} ({line["low"]:.3f} to {line["high"]:.3f}){aim}')
    print(f'{path.stem}: {path.relative_to(root) if path.is_relative_to(root) else path}')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'{", ".join(benchmarks)} (default: all)')
    parser.add_argument('--quick', action='store_true', help='a smoke run of all sides; its figures go to out/bench and mean nothing')
    parser.add_argument('--rounds', type=int, help='so many, instead of what the benchmark says')
    parser.add_argument('--sides', nargs='+', help='only these sides (with --out)')
    parser.add_argument('--add', action='store_true', help='put --sides into the result that stands, beside its other sides (where nothing is compared); from another machine without seconds')
    parser.add_argument('--out', type=Path, help='folder for the results (default: benchmarks/results)')
    args = parser.parse_args()
    if unknown := set(args.names) - set(benchmarks): parser.error(f'no benchmark {", ".join(sorted(unknown))}: there are {", ".join(benchmarks)}')
    if args.sides and not (args.out or args.add): parser.error('--sides makes half a result: give it a folder of its own with --out, or --add it')
    args.out = args.out or (root/'out'/'bench' if args.quick else here/'results')
    found = dict(ours=versions(sys.executable))
    if not args.sides or any(s.startswith(of_peers) for s in args.sides):
        make_peers()
        found['peers'] = versions(python_of(peers))
    about = dict(machine=machine(), versions=found, commit=commit())
    if hasattr(os, 'getloadavg') and os.getloadavg()[0] > 1 and not args.quick:
        print(f'this machine is busy (load {os.getloadavg()[0]:.1f}): wait for a quiet moment, or the spread will be wide', flush=True)
    failed = []
    for name in args.names or benchmarks:
        try: measure(name, args, about)
        except (RuntimeError, ImportError) as e:
            print(f'{name}: {e}', file=sys.stderr)
            failed.append(name)
    if failed: raise SystemExit(f'failed: {", ".join(failed)}')


if __name__ == '__main__': main()
