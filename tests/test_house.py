"The rules of the house, checked on every change: sources, names, documents, sizes, imports. Each message names the item and the fix."
import ast
import difflib
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from collections import defaultdict
from pathlib import Path

import pytest
from nbs import cells, module, nbs, notebooks, root

lib = root/'course_lib'
all_notebooks = pytest.mark.parametrize('path', notebooks(), ids=[p.relative_to(nbs).as_posix() for p in notebooks()])
modules = sorted(p for p in lib.rglob('*.py') if p.name not in ('__init__.py', '_modidx.py'))
all_modules = pytest.mark.parametrize('path', modules, ids=[p.relative_to(lib).as_posix() for p in modules])

# notebook -> how many of its cells may say `eval: false`; each needs a reason beside it
no_eval = {}
longest_line, most_lines = 120, 25   # of code, in a cell that is not exported


def dotted(path): return '.'.join(path.relative_to(root).with_suffix('').parts)


def tracked():
    "The files under version control (and new ones that are not ignored)."
    if not (root/'.git').exists(): pytest.skip('not a git checkout')
    out = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', '-z'], cwd=root, capture_output=True, text=True)
    return [p for o in out.stdout.split('\0') if o and (p := root/o).is_file()]


# ---------------------------------------------------------------- generated files are in step with the notebooks

@all_notebooks
def test_clean(path, tmp_path, monkeypatch):
    "nbdev-clean would change nothing."
    from nbdev.clean import nbdev_clean
    copy = tmp_path/'nbs'/path.name
    copy.parent.mkdir()
    shutil.copy(path, copy)
    shutil.copy(root/'pyproject.toml', tmp_path)
    monkeypatch.chdir(tmp_path)
    nbdev_clean(str(copy))
    assert copy.read_bytes() == path.read_bytes(), f'{path.relative_to(root)} is not clean: run `make export`'


def test_export_in_sync(tmp_path):
    "course_lib/ is what the notebooks say: nothing edited by hand, nothing left over."
    for name in ('nbs', 'tools'): shutil.copytree(root/name, tmp_path/name, ignore=shutil.ignore_patterns('.ipynb_checkpoints'))
    shutil.copytree(lib, tmp_path/'course_lib', ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('pyproject.toml', 'settings.ini'): shutil.copy(root/name, tmp_path)
    env = {k: v for k, v in os.environ.items() if k != 'IN_TEST'} | {'PYTHONPATH': str(tmp_path/'tools')}
    code = 'import export; export.export(clean=False)'
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = {p.relative_to(base) for base in (root, tmp_path) for p in (base/'course_lib').rglob('*.py')}
    read = lambda base, name: (base/name).read_text(encoding='utf-8') if (base/name).exists() else ''
    changed = {n: '\n'.join(list(difflib.unified_diff(read(root, n).splitlines(), read(tmp_path, n).splitlines(), lineterm=''))[:12])
               for n in sorted(names) if read(root, n) != read(tmp_path, n)}
    assert not changed, 'run `make export`; out of step:\n' + '\n'.join(f'{n}\n{d}' for n, d in changed.items())


def test_readme_in_sync():
    import readme
    assert (root/'README.md').read_text(encoding='utf-8') == readme.render(), 'README.md is not nbs/index.ipynb: run `make export`'


def test_one_version():
    import course_lib
    from nbs import settings
    assert course_lib.__version__ == settings()['version'], 'settings.ini and course_lib/__init__.py differ: run `make export`'


def test_one_notebook_a_module():
    "A module grows in one notebook, and page names are unique within their folder."
    from nbs import page
    by_module, by_page = defaultdict(list), defaultdict(list)
    for p in notebooks():
        if module(p): by_module[module(p)].append(p.name)
        by_page[page(p)].append(p.name)
    assert not [o for o in by_module.items() if len(o[1]) > 1] + [o for o in by_page.items() if len(o[1]) > 1]


@pytest.mark.parametrize('path', modules, ids=dotted)
def test_a_name_is_defined_once(path):
    "Two definitions under one name in a module: the first would be gone without a word."
    tree, times = ast.parse(path.read_text(encoding='utf-8')), defaultdict(int)
    for node in tree.body:
        patched = any(decorator_name(d) == 'patch' for d in getattr(node, 'decorator_list', []))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not patched and not is_overload(node): times[node.name] += 1
    assert not [n for n, k in times.items() if k > 1]


# ---------------------------------------------------------------- every exported name is exercised and asserted

def decorator_name(node):
    node = node.func if isinstance(node, ast.Call) else node
    return node.id if isinstance(node, ast.Name) else getattr(node, 'attr', '')


def is_overload(node): return any(decorator_name(d) in ('typedispatch', 'overload') for d in getattr(node, 'decorator_list', []))


def exported_names(path):
    "Public names that the notebook exports: functions, classes, constants, methods added with @patch."
    found = []
    for cell in cells(path):
        if not cell.exported or 'exporti' in cell.directives: continue
        for node in cell.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)): names = [node.name]
            elif isinstance(node, ast.Assign):
                if isinstance(node.value, (ast.Subscript, ast.BinOp)): continue   # a name for a type: `Callable[[float], float]`
                names = [o.id for t in node.targets for o in ast.walk(t) if isinstance(o, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name): names = [node.target.id]
            else: names = []
            found += [n for n in names if not n.startswith('_')]
    return list(dict.fromkeys(found))


def mentions(node):
    "Names read in a piece of syntax: plain names, attributes (`learn.fit`), and words of strings that are whole names."
    out = set()
    for o in ast.walk(node):
        if isinstance(o, ast.Name): out.add(o.id)
        elif isinstance(o, ast.Attribute): out.add(o.attr)
        elif isinstance(o, ast.keyword) and o.arg: out.add(o.arg)
        elif isinstance(o, ast.Constant) and isinstance(o.value, str) and o.value.isidentifier(): out.add(o.value)
    return out


def asserts(tree):
    "Does a cell check something: assert, test_…(…), expect_fail, check_…(…)?"
    for o in ast.walk(tree):
        if isinstance(o, ast.Assert): return True
        if isinstance(o, ast.Call):
            name = getattr(o.func, 'id', getattr(o.func, 'attr', ''))
            if name.startswith(('test_', 'check_', 'expect_', 'assert_', 'is_close')) or name == 'ExceptionExpected': return True
    return False


def bound(statement):
    "Names that a statement binds: assignment, with, for, def, class, walrus."
    out = {o.id for o in ast.walk(statement) if isinstance(o, ast.Name) and isinstance(o.ctx, ast.Store)}
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)): out.add(statement.name)
    return out


def asserted_names(path):
    """Names that a cell with an assertion speaks of, and names behind the variables it speaks of.

    `learn = Learner(...)` in one cell and `test_eq(learn.lr, 1)` in a later one count for `Learner`: variables carry
    the names they were made from, through as many cells as it takes."""
    behind, found, used = defaultdict(set), set(), set()
    for cell in cells(path):
        if cell.kind != 'code' or cell.exported or not cell.code.strip(): continue
        said = set()
        for statement in cell.tree.body:
            names = mentions(statement)
            names |= set().union(*(behind[n] for n in names if n in behind), set())
            for n in bound(statement): behind[n] = behind[n] | (names - {n})
            said |= names
        used |= said
        if asserts(cell.tree): found |= said
    return found, used


@all_notebooks
def test_every_exported_name_is_asserted(path):
    if module(path) is None: pytest.skip('exports nothing')
    found, used = asserted_names(path)
    names = exported_names(path)
    assert not (missing := [n for n in names if n not in used]), f'{path.name}: exported, never used in a cell: {missing}'
    assert not (missing := [n for n in names if n not in found]), f'{path.name}: used, but no cell asserts anything of: {missing}'


# ---------------------------------------------------------------- documents

def public(mod):
    "(name, object) of the functions and classes that a module defines, with methods added by @patch and constructors."
    path = Path(mod.__file__)
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_') or is_overload(node): continue
        if isinstance(node, ast.ClassDef):
            yield node.name, getattr(mod, node.name), node
            yield from ((f'{node.name}.__init__', getattr(mod, node.name).__init__, o) for o in node.body
                        if isinstance(o, ast.FunctionDef) and o.name == '__init__')
        elif any(decorator_name(d) in ('patch', 'patch_to') for d in node.decorator_list): yield node.name, None, node
        else: yield node.name, getattr(mod, node.name), node


def undocumented_arguments(node, lines):
    "Arguments of a `def` without a comment of their own (same line, or the line before)."
    a = node.args
    args = a.posonlyargs + a.args + a.kwonlyargs + [o for o in (a.vararg, a.kwarg) if o]
    if args and args[0].arg in ('self', 'cls'): args = args[1:]
    def documented(arg):
        line = lines[arg.end_lineno - 1]
        rest = line[arg.end_col_offset:]
        return '#' in rest or lines[arg.lineno - 2].strip().startswith('#')
    return [o.arg for o in args if o.arg not in ('args', 'kwargs') and not documented(o)]


@all_modules
def test_documents(path):
    "One line of docstring for everything public, one comment for each argument of it."
    mod, bad = importlib.import_module(dotted(path)), []
    lines = path.read_text(encoding='utf-8').split('\n')
    for name, obj, node in public(mod):
        if not name.endswith('__init__'):
            doc = ast.get_docstring(node) or (obj.__dict__.get('__doc__') if inspect.isclass(obj) else getattr(obj, '__doc__', None)) or ''
            if not doc.strip(): bad.append(f'{name}: no docstring')
            elif not doc.split('\n')[0].strip(): bad.append(f'{name}: the first line of the docstring is empty')
        if isinstance(node, ast.FunctionDef):
            if missing := undocumented_arguments(node, lines): bad.append(f'{name}: no comment on {", ".join(missing)}')
    assert not bad, f'{path.relative_to(root)}:\n' + '\n'.join(bad)


# ---------------------------------------------------------------- the notebooks themselves

@all_notebooks
def test_size(path):
    "At most 500 kB a notebook, 60 kB a picture."
    pictures = [len(b64decode(''.join(o['data']['image/png']))) for c in cells(path) for o in c.outputs
                if 'image/png' in o.get('data', {})]
    assert path.stat().st_size <= 500_000, f'{path.name}: {path.stat().st_size // 1000} kB; run `make save NBS={path.relative_to(root)}`'
    assert max(pictures, default=0) <= 60_000, f'{path.name}: a picture of {max(pictures) // 1000} kB; run `make save NBS={path.relative_to(root)}`'


@all_notebooks
def test_shape_of_cells(path):
    "Lines of at most 120 characters; cells of at most 25 lines unless exported; a title; no error among the outputs."
    bad = []
    for i, cell in enumerate(cells(path)):
        if cell.kind != 'code': continue
        lines = cell.code.strip('\n').split('\n')
        bad += [f'cell {i}: {len(o)} characters: {o.strip()[:60]}…' for o in lines if len(o) > longest_line]
        if not cell.exported and len(lines) > most_lines: bad.append(f'cell {i}: {len(lines)} lines, split it')
        if any(o.get('output_type') == 'error' for o in cell.outputs): bad.append(f'cell {i}: a saved error')
    first = cells(path)[0]
    if first.kind != 'markdown' or not re.match(r'# .+\n+> .+', first.source): bad.append('begins with "# Title", then "> one line"')
    assert not bad, f'{path.name}:\n' + '\n'.join(bad)


def test_no_eval_is_counted():
    "A cell that is not run must be on the list at the top of this file."
    found = {}
    for p in notebooks():
        n = sum(c.directives.get('eval', '').lower() == 'false' or 'notest' in c.directives for c in cells(p))
        if n: found[p.relative_to(nbs).as_posix()] = n
    assert found == no_eval


def test_text_of_the_repository():
    "No path of anybody's machine, no address of a package mirror, in any tracked text."
    slash = '/'
    places = ['root', 'work', 'home' + slash + r'\w+', 'tmp', 'Users' + slash + r'\w+', 'opt']
    pattern = re.compile(r'(?<![\w.:/~-])' + slash + '(?:' + '|'.join(places) + ')' + slash + r'\w|file:' + slash * 2
                         + '|--(?:extra-)?' + 'index-url|--find' + '-links', re.I)
    bad = []
    for path in tracked():
        try: content = path.read_text(encoding='utf-8')
        except UnicodeDecodeError: continue
        if path.suffix == '.ipynb':   # pictures are not text
            content = re.sub(r'"image/(?:png|jpeg)": ".*?"', '', content)
        bad += [f'{path.relative_to(root)}: {m[0]!r}' for m in pattern.finditer(content)]
    assert not bad, '\n'.join(bad)


def test_no_leavings_beside_the_notebooks():
    "What a notebook writes, it writes elsewhere: beside it lie pictures of spreadsheets at most."
    odd = [str(p.relative_to(root)) for p in tracked() if p.is_relative_to(nbs) and p.suffix != '.ipynb' and p.parent.name != 'images']
    assert not odd, odd


def test_python_is_sound():
    "Nothing that the oldest supported Python cannot read, no undefined names, in library, tools and tests."
    done = subprocess.run([sys.executable, '-m', 'ruff', 'check', '-q', '--no-cache', '--output-format', 'concise', '.'],
                          cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------- imports go one way

def import_contract():
    try: import tomllib
    except ImportError: import tomli as tomllib
    return tomllib.loads((root/'pyproject.toml').read_text(encoding='utf-8'))['tool']['importlinter']['contracts']


def test_imports_go_one_way():
    "The contract in pyproject.toml holds (import-linter)."
    done = subprocess.run([sys.executable, '-c', 'from importlinter.cli import lint_imports_command as f; f()', '--no-cache'],
                          cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_has_a_floor():
    "A new module must be given its place in the contract."
    floors = set(re.findall(r'course_lib[\w.]*', ' '.join(o for c in import_contract() for o in c.get('layers', []))))
    missing = [d for p in modules if not any((d := dotted(p)) == f or d.startswith(f + '.') for f in floors)]
    assert not missing, f'not in the layers of [tool.importlinter], pyproject.toml: {missing}'


def test_import_brings_nothing_heavy():
    "The library imports without plotting, tables or parsers: they load when first needed. Star lines promise `plt` and `pd`: they may."
    heavy = ['matplotlib.pyplot', 'pandas', 'sklearn', 'spacy', 'pyarrow', 'IPython', 'requests', 'tqdm']
    ours = ('course_lib.vision', 'course_lib.text', 'course_lib.callback', 'course_lib.learner', 'course_lib.data')
    drawn = 'course_lib.data.drawn_'   # a generator is loaded when its data set is drawn
    names = [d for p in modules if (d := dotted(p)).startswith(ours) and not d.startswith(drawn) and not d.endswith('.all')]
    code = ('import importlib, json, sys, torch\nfrom course_lib.vision import models\nbefore = set(sys.modules)\n'
            f'for n in {names}: importlib.import_module(n)\n'
            f'print(json.dumps([m for m in {heavy} if m in set(sys.modules) - before]))')
    done = subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (found := json.loads(done.stdout.split('\n')[-2])), f'imported at once: {found}; import them inside functions'


def test_nothing_lies_about():
    "What a page or a test leaves in the folder where it runs must not be taken along: the first level of the repository is known."
    known = set('.ci .dockerignore .gitattributes .github .gitignore Dockerfile LICENSE MANIFEST.in Makefile README.md benchmarks constraints.txt course_lib docs '
                'nbs pyproject.toml settings.ini setup.py tests tools'.split())
    listed = subprocess.run(['git', 'ls-files'], cwd=root, capture_output=True, text=True)
    if listed.returncode: pytest.skip('no repository')
    assert not (more := {o.split('/')[0] for o in listed.stdout.split('\n') if o} - known), f'tracked, and not known here: {sorted(more)}'
