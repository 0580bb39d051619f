"""Do notebooks written for fastai run here? `make compat NBS="folder-or-notebook …"`, or python tools/run_cells.py …

Each notebook's code cells run one by one in one namespace, in a process and a folder of their own, with `fastai` in the import lines turned
into `course_lib` (`fastbook` into `course_lib.book`). Shell lines and magics are left out, epochs are cut to one, each cell has a time limit,
and a failing cell does not stop the next one. `--peers` runs the same cells in fastai itself, where .venv-peers has it (`make bench` makes it),
on the same drawn data: what fails there too is no fault of ours. Notebooks are grouped by the folder that they lie in. `--kept FOLDER` keeps
what fastai did and does not run it again while notebook, edits and limits stay; `--add` replaces rows of the result file and leaves the others.

An edits file (--edits) makes other notebooks short: {"*": [[pattern, replacement], …], "stem of a notebook": {"edits": […], "skip": [cells],
"before": "code that puts files into the notebook's folder", "stubs": ["modules of others that are not installed: they answer to anything"]}}.
"""
import argparse
import ast
import builtins
import hashlib
import importlib.machinery
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
import types
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import MagicMock

root = Path(__file__).resolve().parent.parent
ours = [(r'(?<![\w.])fastbook(?=[.\s]|$)', 'course_lib.book'), (r'(?<![\w.])fastai(?=[.\s]|$)', 'course_lib')]
shorter = [(r'\.(fit|fit_one_cycle|fine_tune|fit_flat_cos|fit_sgdr)\(\s*\d+', r'.\1(1'), (r'\.cuda\(\)', ''), (r'^.*\binstall_kaggle.*$', 'pass')]


class CellTimeout(BaseException): "The cell had its time."


# ---------------------------------------------------------------- cells

def read_cells(path):
    "The code cells of a notebook, or of a script in jupytext's light or percent form."
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.ipynb':
        cells = [c['source'] for c in json.loads(text).get('cells', []) if c['cell_type'] == 'code']
        return [c if isinstance(c, str) else ''.join(c) for c in cells]
    if re.search(r'^# %%', text, re.M): return [o for o in re.split(r'^# %%.*\n', text, flags=re.M) if o.strip()]
    return [o.strip('\n') for o in re.split(r'\n\s*\n(?=\S)', text) if o.strip()]


def plain_python(src):
    "A cell without shell lines, magics and help; None if nothing is left to run."
    if re.match(r'\s*%%(bash|sh|html|javascript|js|writefile|script|latex|svg|markdown)\b', src): return None
    lines = []
    for line in src.split('\n'):
        if re.match(r'\s*%%\w+', line) or re.match(r'\s*[\w.\[\]]+\?{1,2}\s*;?\s*$', line): continue
        if m := re.match(r'(\s*)[!%?](?:time(?:it)?\s+((?:-\w\s*\d*\s+)*)(.*))?', line): line = m[1] + (m[3] or 'pass')
        elif re.match(r'\s*[\w, ]+=\s*[!%]\w', line): line = re.sub(r'=.*', '= []', line)
        lines.append(line)
    code = '\n'.join(lines)
    try: empty = all(isinstance(o, ast.Pass) for o in ast.parse(code).body)
    except SyntaxError: empty = False
    return None if empty else code


def renamed(code, names=ours):
    "The cell with the packages of its import lines renamed; what the cells call a package stays its name."
    lines = code.split('\n')
    for i, line in enumerate(lines):
        if not re.match(r'\s*(from|import)\s', line): continue
        plain = re.match(r'\s*import\s+(\w+)\s*$', line)
        for old, new in names: line = re.sub(old, new, line)
        lines[i] = f'{line.rstrip()} as {plain[1]}' if plain and line != lines[i] else line
    return '\n'.join(lines)


def binds(code):
    "Names that a cell would bind: with them one tells a failure from its followers."
    try: tree = ast.parse(code)
    except SyntaxError: return set()
    found = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    found |= {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    for n in ast.walk(tree):
        if isinstance(n, (ast.Import, ast.ImportFrom)): found |= {(a.asname or a.name).split('.')[0] for a in n.names}
    return found


def render(value):
    "What a notebook would do with a value that it shows."
    if value is None: return ''
    for name in ('_repr_html_', '_repr_png_', '_repr_jpeg_', '_repr_svg_', '_repr_markdown_', '_repr_mimebundle_'):
        if not isinstance(value, type) and (f := getattr(value, name, None)) is not None: f()
    return repr(value)


def run_cell(code, space, name, limit):
    "(seconds, error or '', where it was raised); both are processor time, workers' included, so that a busy machine fails no cell."
    import linecache
    linecache.cache[name] = (len(code), None, [o + '\n' for o in code.split('\n')], name)
    def stop(*_): raise CellTimeout(f'more than {limit} s')
    timers = (signal.SIGPROF, signal.ITIMER_PROF, limit), (signal.SIGALRM, signal.ITIMER_REAL, 4 * limit)
    start, error, where = sum(os.times()[:4]), '', ''
    for sig, timer, secs in timers: signal.signal(sig, stop), signal.setitimer(timer, secs)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            tree, last = ast.parse(code, name), None
            if tree.body and isinstance(tree.body[-1], ast.Expr): last = ast.Expression(tree.body.pop().value)
            exec(compile(tree, name, 'exec'), space)
            if last is not None: render(eval(compile(last, name, 'eval'), space))
    except KeyboardInterrupt: raise
    except BaseException as e:
        error = f'{type(e).__name__}: {e}'
        frames = [f for f in traceback.extract_tb(e.__traceback__) if f.filename != __file__]
        where = ' < '.join(f'{Path(f.filename).name}:{f.lineno} {f.name}' for f in reversed(frames[-4:]))
    finally:
        for sig, timer, _ in timers: signal.setitimer(timer, 0), signal.signal(sig, signal.SIG_IGN)
    return sum(os.times()[:4]) - start, error, where


# ---------------------------------------------------------------- a notebook

def run_notebook(path, names, edits, skip=(), limit=60, total=900):
    "Run the cells of one notebook here: a dict for each. States: pass, fail, follows (from a failed cell), skipped, timeout."
    sys.modules['__main__'] = types.ModuleType('__main__')   # what cells define can be pickled, as in a notebook
    sys.path.insert(0, '')                                   # modules that lie beside it are found
    space = sys.modules['__main__'].__dict__
    builtins.display = lambda *o, **k: [render(x) for x in o] and None
    space['get_ipython'] = lambda: None
    done, lost, star, start = [], {}, None, sum(os.times()[:4])
    for i, src in enumerate(read_cells(path)):
        code = None if i in skip else plain_python(src)
        if not code or sum(os.times()[:4]) - start > total:
            done.append(dict(cell=i, state='not run' if code else 'skipped'))
            continue
        code = renamed(code, names)
        for pattern, new in edits: code = re.sub(pattern, new, code, flags=re.M)
        secs, error, where = run_cell(code, space, f'<cell {i}>', limit)
        state = 'pass' if not error else 'timeout' if error.startswith('CellTimeout') else 'fail'
        missing = re.match(r"NameError: name '(\w+)' is not defined", error)
        because = lost.get(missing[1], star) if missing else None
        for name in binds(code):
            if state == 'pass': lost.pop(name, None)
            else: lost.setdefault(name, i if because is None else because)
        if state == 'fail' and star is None and 'import *' in code: star = i
        if because is not None: state = 'follows'
        first = next((o.strip() for o in code.split('\n') if o.strip() and not o.strip().startswith('#')), '')
        done.append(dict(cell=i, state=state, seconds=round(secs, 1), error=error[:400], because=because, where=where, line=first[:90],
                         imports='import' in code))
        if 'matplotlib.pyplot' in sys.modules: sys.modules['matplotlib.pyplot'].close('all')
    return done


def only_one(args):
    "The work of a process of its own; the result goes to a file."
    warnings.filterwarnings('ignore')
    os.environ.setdefault('MPLBACKEND', 'agg')
    plan = json.loads(args.one.read_text())
    absent = {o for o in {name.split('.')[0] for name in plan['stubs']} if importlib.util.find_spec(o) is None}
    for name in plan['stubs']:
        spec = importlib.machinery.ModuleSpec(name, None)
        if name.split('.')[0] in absent: sys.modules[name] = MagicMock(__all__=[], __path__=[], __spec__=spec, __name__=name)
    if plan['before']: exec(plan['before'], {})
    done = run_notebook(Path(plan['notebook']), plan['names'], plan['edits'], plan['skip'], plan['limit'], plan['total'])
    args.out.write_text(json.dumps(done))
    sys.stdout.flush()
    os._exit(0)   # workers left behind must not hold us


# fastai looks for torchvision's operators, and downloads: it gets declarations, and the folders that we have drawn
for_fastai = '''
import json, os, pathlib, sys, torch
lib = torch.library.Library('torchvision', 'FRAGMENT')
try:
    for op in ('nms', 'qnms'): lib.define(f'{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
except RuntimeError: pass
sys.kept = lib
import fastai.data.external as external
folders = json.loads(os.environ['COMPAT_FOLDERS'])
names = {v: k for k, v in vars(external.URLs).items() if isinstance(v, str)}
def untar_data(url, *args, **kwargs):
    if names.get(url) not in folders: raise OSError(f'no drawn data for {names.get(url, url)}')
    return pathlib.Path(folders[names[url]])
external.untar_data = untar_data
external.URLs.path = staticmethod(lambda url='.', c_key='archive': pathlib.Path('archive')/pathlib.Path(url).name)
import io, types, numpy, PIL.Image
from fastai.vision import all as vision   # the book's helper package is made of it
book = sys.modules['fastbook'] = types.ModuleType('fastbook')
book.__dict__.update({k: v for k, v in vars(vision).items() if not k.startswith('_')})
def picture():
    out = io.BytesIO()
    PIL.Image.fromarray((numpy.random.rand(300, 300, 3) * 255).astype('uint8')).save(out, 'JPEG')
    out.seek(0)
    return out
book.image_cat = book.image_bear = picture
book.setup_book = book.plot_function = book.draw_tree = book.cluster_columns = book.gv = lambda *args, **kwargs: None
book.get_image_files_sorted = lambda *args, **kwargs: vision.get_image_files(*args, **kwargs).sorted()
'''


def folders_of(path):
    "The drawn data that a notebook asks for: name in URLs -> folder."
    code = ('import json, sys\nfrom course_lib.data.external import URLs, untar_data\nfound = {}\nfor n in sys.argv[1:]:\n'
            '    try: found[n] = str(untar_data(getattr(URLs, n)))\n    except Exception: pass\nprint(json.dumps(found))')
    names = sorted(set(re.findall(r'URLs\.([A-Z]\w+)', path.read_text(encoding='utf-8'))))
    done = subprocess.run([sys.executable, '-c', code, *names], capture_output=True, text=True, cwd=root, env=environment())
    return done.stdout.strip().split('\n')[-1] or '{}'


def environment(**more):
    "Drawn data, one thread, our checkout."
    return {**os.environ, 'PYTHONPATH': str(root), 'COURSE_LIB_DATA': 'sample', 'MPLBACKEND': 'agg', 'TQDM_DISABLE': '1',
            'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', '1'), **more}


def in_a_process(path, python, names, before, args, env):
    "Run a notebook in a fresh process, and an empty folder: its cells."
    rules = json.loads(args.edits.read_text()) if args.edits else {}
    mine = rules.get(path.stem, {})
    edits = [*shorter, *rules.get('*', []), *mine.get('edits', [])]
    stubs = [*rules.get('stubs', []), *mine.get('stubs', [])]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        plan, out, cwd = folder/'plan.json', folder/'out.json', folder/'here'
        cwd.mkdir()
        plan.write_text(json.dumps(dict(notebook=str(path.resolve()), names=names, edits=edits, skip=mine.get('skip', []), before=before, stubs=stubs,
                                        limit=args.limit, total=args.total)))
        if mine.get('before'): subprocess.run([sys.executable, '-c', mine['before']], cwd=cwd, env=environment(), check=True, capture_output=True)
        done = subprocess.run([python, '-W', 'ignore', str(Path(__file__).resolve()), '--one', str(plan), '--out', str(out)], cwd=cwd, env=env,
                              capture_output=True, text=True)
        if out.exists(): return json.loads(out.read_text())
        return [dict(cell=-1, state='fail', error=(done.stderr or 'the process died')[-400:], because=None, where='', line='', seconds=0)]


def in_fastai(path, python, args):
    "The same in fastai; with --kept from an earlier run, if nothing that it depends on has changed."
    rules = json.loads(args.edits.read_text()) if args.edits else {}
    what = [path.read_text(encoding='utf-8'), rules.get('*'), rules.get('stubs'), rules.get(path.stem), shorter, for_fastai, args.limit, args.total]
    kept = args.kept and args.kept/f'{path.stem}-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}.json'
    if kept and kept.exists(): return json.loads(kept.read_text())
    cells = in_a_process(path, python, [], for_fastai, args, environment(COMPAT_FOLDERS=folders_of(path), PYTHONPATH=''))
    if kept:
        args.kept.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(cells))
    return cells


# ---------------------------------------------------------------- many notebooks

def verdicts(cells, theirs):
    "What each cell that does not pass tells: ours, or data, network and versions (it fails in fastai as well)."
    there = {c['cell']: c['state'] for c in theirs or []}
    return [dict(c, fault='unknown' if theirs is None else 'ours' if there.get(c['cell']) == 'pass' else 'not ours')
            for c in cells if c['state'] in ('fail', 'timeout', 'follows')]


def row_of(path, cells, theirs):
    "One line of the table, as numbers."
    ran = [c for c in cells if c['state'] != 'skipped']
    values = dict(cells=len(ran), passed=sum(c['state'] == 'pass' for c in ran))
    if theirs is None: values |= dict(seconds=sum(c.get('seconds', 0) for c in ran))
    else:
        there = {c['cell']: c for c in theirs if c['state'] == 'pass'}
        both = [c for c in ran if c['cell'] in there and c['state'] == 'pass']
        timed = [(c['seconds'], there[c['cell']]['seconds']) for c in both if not c['imports']] # theirs have fastai loaded from the start
        values |= dict(passed_in_fastai=len(there), of_these=len(both), seconds=sum(a for a, _ in timed), seconds_in_fastai=sum(b for _, b in timed))
    return dict(notebook=path.stem, group=path.parent.name, values=values, misses=verdicts(cells, theirs))


def show(row):
    "A notebook, and what stopped it."
    v = row['values']
    print(f"{row['notebook']:45.45} {v['passed']:4} of {v['cells']:4}"
          + (f"   fastai {v['passed_in_fastai']:4}, of these {v['of_these']:4}" if 'of_these' in v else ''), flush=True)
    for c in row['misses']:
        if c['state'] == 'follows' or c['fault'] == 'not ours' and c['cell'] >= 0: continue
        print(f"    [{c['cell']}] {c['line'][:80]}\n        {c['error'][:200]}\n        {c['where'][:200]}", flush=True)


def totals(rows):
    "Sums by group, in the form of the other results: a side for each group, one run each."
    runs = []
    for group in dict.fromkeys(r['group'] for r in rows):
        mine = [r['values'] for r in rows if r['group'] == group]
        keys = [k for k in mine[0] if all(k in v for v in mine)]
        values = dict(notebooks=len(mine), **{k: round(sum(v[k] for v in mine), 1) for k in keys})
        values['share'] = round(values['passed'] / max(1, values['cells']), 4)
        if 'of_these' in values: values['share_of_fastai'] = round(values['of_these'] / max(1, values['passed_in_fastai']), 4)
        runs.append(dict(side=group, round=0, values=values))
    return runs


measures = dict(notebooks=dict(text='notebooks', better='high', quality=True), cells=dict(text='cells run', better='high', quality=True),
                passed=dict(text='cells that pass', better='high', quality=True),
                passed_in_fastai=dict(text='cells that pass in fastai', better='high', quality=True),
                of_these=dict(text='of these, cells that pass here', better='high', quality=True),
                share=dict(text='share that passes', better='high', quality=True),
                share_of_fastai=dict(text='share of what passes in fastai', better='high', quality=True),
                seconds=dict(text='seconds of processor time, in cells that pass and import nothing', better='low'),
                seconds_in_fastai=dict(text='the same in fastai', better='low'))


def record(rows, command, peers, shorter_by=None):
    "The result as a file in benchmarks/results/ holds it."
    import datetime
    sys.path.insert(0, str(root/'benchmarks'))
    import run as bench
    from course_lib.results import summary
    runs = totals(rows)
    found = dict(ours=bench.versions(sys.executable), **({'peers': bench.versions(bench.python_of(bench.peers))} if peers else {}))
    used = {k for r in runs for k in r['values']}
    text = dict(course="the course's notebooks", v3="the course of 2019, ported by fastai", tutorials="fastai's tutorials", strangers="other people's notebooks")
    result = dict(name='compat', title="fastai's users' code", what='Notebooks written for fastai, run cell by cell with only the import lines '
                  'changed, epochs cut to one, on drawn data; a cell that follows from a failed one counts as failed.'
                  + (' Pictures, nets and texts are made small where a cell would take minutes, on both sides alike.' if shorter_by else ''),
                  date=datetime.date.today().isoformat(), command=command, quick=False, data='generated', machine=bench.machine(), threads=1,
                  load=round(os.getloadavg()[0], 2), seconds=round(sum(r['values'].get('seconds', 0) for r in rows)), versions=found,
                  commit=bench.commit(), rounds=1, epochs=1, sides={r['side']: text.get(r['side'], r['side']) for r in runs},
                  measures={k: v for k, v in measures.items() if k in used}, compare=[], runs=runs,
                  notebooks=[dict(notebook=r['notebook'], group=r['group'], **r['values']) for r in rows])
    result['summary'] = summary(result)
    return result


def rows_of(result):
    "The rows that a result file was made of."
    return [dict(notebook=o.pop('notebook'), group=o.pop('group'), values=o) for o in result['notebooks']]


def merged(old, new):
    "Old rows, but new ones where a notebook was run again; in the order of groups and names."
    rows = {(r['group'], r['notebook']): r for r in [*old, *new]}
    order = ['course', 'v3', 'tutorials', 'strangers']
    return sorted(rows.values(), key=lambda r: (order.index(r['group']) if r['group'] in order else 9, r['group'], r['notebook']))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebooks', nargs='*', type=Path, help='notebooks, or folders of them: a group each')
    parser.add_argument('--peers', action='store_true', help='run the same cells in fastai, too')
    parser.add_argument('--edits', type=Path, help='edits file (see above)')
    parser.add_argument('--limit', type=int, default=60, help='seconds of processor time a cell')
    parser.add_argument('--total', type=int, default=900, help='seconds of processor time a notebook; later cells are not run')
    parser.add_argument('--out', type=Path, help='write the result there, as a file of benchmarks/results')
    parser.add_argument('--add', action='store_true', help='leave the rows of other notebooks in --out as they are')
    parser.add_argument('--kept', type=Path, help='a folder for what fastai did, so that it need not do it again')
    parser.add_argument('--misses', type=Path, help='write all cells that do not pass there')
    parser.add_argument('--one', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one: return only_one(args)
    if not args.notebooks: parser.error('which notebooks? Give files, or folders: a group each')
    found = [f for p in args.notebooks for f in (sorted([*p.glob('*.ipynb'), *p.glob('*.py')]) if p.is_dir() else [p])]
    if missing := [str(f) for f in found if not f.is_file()]: parser.error(f'no such notebook: {", ".join(missing)}')
    peer = root/'.venv-peers'/('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
    if args.peers and not peer.exists(): parser.error('.venv-peers is not there: `make bench NAMES=imports` makes it')
    rows = []
    for path in found:
        cells = in_a_process(path, sys.executable, ours, '', args, environment())
        theirs = None
        if args.peers: theirs = in_fastai(path, str(peer), args)
        rows.append(row_of(path, cells, theirs))
        show(rows[-1])
        if args.misses: args.misses.write_text(json.dumps([dict(r['values'], **r) for r in rows], indent=1))
    for run in totals(rows): print(run['side'], run['values'])
    if args.out:
        if args.add and args.out.exists(): rows = merged(rows_of(json.loads(args.out.read_text(encoding='utf-8'))), rows)
        args.out.write_text(json.dumps(record(rows, 'make compat NBS="…"' + ' PEERS=--peers' * args.peers, args.peers, args.edits), indent=1, ensure_ascii=False) + '\n', encoding='utf-8')


if __name__ == '__main__': main()
