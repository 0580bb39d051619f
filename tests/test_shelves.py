"The two shelves: lessons tell a story in the course's order, chapters grow one module each. Each message names the item and the fix."
import ast
import re
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest
from nbs import cells, chapters, head, lesson_notebooks, lessons, module, nbs, notebooks, root, text

# What may break a rule, each with its reason; a test fails when an exception is no longer needed.
exports_in_lessons = {'7_resnets_from_scratch/02_cells_with_gates.ipynb': 'text.models.cells'} # lesson -> module: code short enough to be read as the lesson
long_lessons = {}           # lesson -> cells
mute_cells = {}             # lesson -> how many visible cells show nothing
most_cells, most_words, most_lines = 60, 60, 25

name = lambda p: p.relative_to(nbs).as_posix()
all_lessons = pytest.mark.parametrize('path', lesson_notebooks(), ids=map(name, lesson_notebooks()))
all_chapters = pytest.mark.parametrize('path', chapters(), ids=map(name, chapters()))


def links(path):
    "The notebooks that a notebook links to."
    found = set()
    for c in cells(path):
        if c.kind == 'markdown':
            for target in re.findall(r'\]\(([^)#\s:]+\.ipynb)', c.source): found.add((path.parent/target).resolve())
    return found


def visible(cell):
    "Does a reader of the page see this code (perhaps folded)?"
    d = cell.directives
    return cell.kind == 'code' and cell.code.strip() and not ({'hide', 'exporti'} & d.keys() or 'false' in (d.get('include'), d.get('echo')))


def only(cell, *kinds):
    "Does a cell consist of nothing but these kinds of statement?"
    body = [o for o in cell.tree.body if not (isinstance(o, ast.Expr) and isinstance(o.value, ast.Constant))]
    return all(isinstance(o, kinds) for o in body)


def is_imports(cell): return only(cell, ast.Import, ast.ImportFrom)


# ---------------------------------------------------------------- chapters

@all_chapters
def test_a_chapter_stands_at_the_path_of_its_module(path):
    at = path.relative_to(nbs/'library').with_suffix('').as_posix().replace('/', '.')
    assert module(path) == at, f'{name(path)} grows {module(path)}: move it with tools/move_nb.py, or name its module {at}'


@all_chapters
def test_a_chapter_names_its_lesson_which_links_back(path):
    "The second cell says where the module is at work; that lesson, or the first page of its folder, links to the chapter."
    second = cells(path)[1]
    found = [(path.parent/t).resolve() for t in re.findall(r'\]\(([^)#\s]+\.ipynb)', second.source)]
    assert second.kind == 'markdown' and second.source.startswith('Shown at work in ') and found, \
        f'{name(path)}: the second cell should be "Shown at work in [a lesson](…)."'
    assert not (gone := [o for o in found if not o.exists()]), f'{name(path)}: no such lesson: {gone}'
    back = [o for o in found if path in links(o) or path in links(o.parent/'index.ipynb')]
    assert back == found, f'{name(path)}: no link back from {[name(o) for o in found if o not in back]}'


def test_every_module_has_one_notebook():
    "And no module has none: what is exported stands in a chapter, or in a lesson that may export."
    written = {module(p) for p in notebooks() if module(p)}
    there = {'.'.join(p.relative_to(root/'course_lib').with_suffix('').parts).removesuffix('.__init__')
             for p in (root/'course_lib').rglob('*.py') if p.name != '_modidx.py' and (p.name != '__init__.py' or p.stat().st_size > 200)}
    assert there <= written | {'__init__'}, f'no notebook writes {there - written}'


# ---------------------------------------------------------------- lessons

def test_files_of_lessons():
    "index.ipynb, then 01_… to NN_… without gaps, in every folder."
    for folder in lessons:
        names = sorted(p.name for p in (nbs/folder).glob('*.ipynb'))
        numbered = [o for o in names if o != 'index.ipynb']
        assert 'index.ipynb' in names, f'{folder} has no index.ipynb'
        assert [o[:3] for o in numbered] == [f'{i:02}_' for i in range(1, len(numbered) + 1)], f'{folder}: {numbered}'
        assert {nbs/folder/o for o in numbered} <= links(nbs/folder/'index.ipynb'), f'{folder}/index.ipynb should link to each of {numbered}'
    others = {p.relative_to(nbs).parts[0] for p in notebooks()} - set(lessons) - {'library', 'index.ipynb'}
    assert not others, f'folders that are neither a lesson nor the library: {others}'


@all_lessons
def test_shape_of_a_lesson(path):
    "Two facts at the head, at most 60 cells, short prose, no exports, errors under one heading."
    found, bad, here = cells(path), [], ''
    if len(found) > long_lessons.get(name(path), most_cells): bad.append(f'{len(found)} cells: at most {most_cells}; tell two stories on two pages')
    if module(path) and exports_in_lessons.get(name(path)) != module(path): bad.append(f'exports {module(path)}: a module grows in a chapter')
    if path.name != 'index.ipynb' and not head(path)['seconds']: bad.append('the first cell should say "- time: N s on two cores"')
    for i, c in enumerate(found):
        if c.kind == 'markdown':
            headings = re.findall(r'^#+ (.+)$', c.source, re.M)
            here = headings[-1] if headings else here
            plain = [o for o in re.sub(r'```.*?```|\$\$.*?\$\$', '', c.source, flags=re.S).split('\n') if not re.match(r'\s*([#>|\-*<]|\d+\.|!\[)', o)]
            n = len(re.sub(r'\]\([^)]*\)', ']', ' '.join(plain)).split())
            if n > most_words and '<details>' not in c.source: bad.append(f'cell {i}: {n} words of prose, at most {most_words}')
        elif 'expect_fail' in c.code and not is_imports(c) and 'goes wrong' not in here and 'hide' not in c.directives:
            bad.append(f'cell {i}: expect_fail outside "When it goes wrong"')
    assert not bad, f'{name(path)}:\n' + '\n'.join(bad)


@all_lessons
def test_every_visible_cell_shows_something(path):
    "Imports may be silent, and so may definitions that the next cell uses."
    mute = []
    found = cells(path)
    for i, c in enumerate(found):
        if not visible(c) or c.outputs or is_imports(c) or c.exported: continue
        if only(c, ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom): continue
        mute.append(i)
    assert len(mute) <= mute_cells.get(name(path), 0), f'{name(path)}: cells {mute} show nothing: end them in a value, or hide them'


@all_lessons
def test_sample_data_are_chosen_in_sight(path):
    "A lesson that asks for a data set says in a visible cell that it is drawn here."
    code = '\n'.join(c.code for c in cells(path) if visible(c))
    if 'untar_data(' in code: assert 'use_sample_data()' in code, f'{name(path)}: call use_sample_data() in its first cells'


@all_lessons
def test_exercises_have_stubs_and_hints(path):
    "Each exercise: task with a hint, then a stub that runs; the answers of a questionnaire are folded away."
    found = cells(path)
    for i, c in enumerate(found):
        if c.kind != 'markdown': continue
        title = re.search(r'^## (Exercise.*)$', c.source, re.M)
        if title:
            rest = found[i:i + 3]
            assert 'Hint' in ' '.join(o.source for o in rest), f'{name(path)}: {title[1]} has no hint'
            stub = next((o for o in found[i:i + 4] if o.kind == 'code'), None)
            assert stub and 'check_' in stub.code, f'{name(path)}: {title[1]} has no stub cell that calls its check'
            said = ''.join(text(o.get('text') or o.get('data', {}).get('text/plain', '')) for o in stub.outputs)
            assert 'all good' not in said, f'{name(path)}: the solution of {title[1]} stands beside it'
        if re.search(r'^## Questionnaire', c.source, re.M):
            after = ' '.join(o.source for o in found[i:i + 4])
            assert '<details>' in after, f'{name(path)}: fold the answers of the questionnaire in <details>'


# ---------------------------------------------------------------- every page can be copied and run

@lru_cache(None)
def undefined():
    "Notebook -> names that its visible cells use and do not define: all pages in one go of the linter."
    def plain(c): return '\n'.join('pass' if re.match(r'\s*[%!]', o) else o for o in c.code.split('\n'))
    with tempfile.TemporaryDirectory() as folder:
        for i, path in enumerate(notebooks()):
            shown = [plain(c) for c in cells(path) if c.kind == 'code' and 'default_exp' not in c.directives and (visible(c) or is_imports(c))]
            (Path(folder)/f'{i}.py').write_text('\n\n'.join(shown) + '\n', encoding='utf-8')
        done = subprocess.run([sys.executable, '-m', 'ruff', 'check', '-q', '--no-cache', '--isolated', '--select', 'F821', '--output-format', 'concise',
                               '--config', 'builtins = ["display", "get_ipython"]', folder], capture_output=True, text=True)
    assert done.returncode < 2, done.stderr   # 0: all is well, 1: something was found
    found = re.findall(r'(\d+)\.py:\d+:\d+: .*Undefined name `(.+?)`', done.stdout)
    return {path: sorted({word for k, word in found if int(k) == i}) for i, path in enumerate(notebooks())}


@pytest.mark.parametrize('path', notebooks(), ids=map(name, notebooks()))
def test_a_page_can_be_copied_and_run(path):
    "Every name that a visible cell uses is defined or imported in a cell that the site shows (imports are shown folded)."
    missing = undefined()[path]
    assert not missing, f'{name(path)}: {missing} are defined in hidden cells only: show them, or hide what uses them'


def test_exceptions_are_needed():
    "An exception that nothing needs any more is taken off the lists above."
    for p, m in exports_in_lessons.items(): assert module(nbs/p) == m, p
    for p in long_lessons: assert len(cells(nbs/p)) > most_cells, p


def test_times_agree():
    "A lesson's table says what its pages say, and the first page the sum of them."
    from page_times import minutes, minutes_of, page_seconds, row_of
    def table(path): return '\n'.join(c.source for c in cells(path) if c.kind == 'markdown')
    for folder in lessons:
        found, said = page_seconds(folder), table(nbs/folder/'index.ipynb')
        for page, seconds in found.items():
            assert f']({page}) | ' in said and row_of(page, seconds)(said) == said, f'{folder}/index.ipynb: {page} takes {seconds:g} s'
        said = table(nbs/'index.ipynb')
        assert minutes_of(folder, found)(said) == said, f'index.ipynb: {folder} takes {minutes(found)} min'


def test_times_are_read_and_rounded_up(tmp_path):
    from page_times import measured, rounded, row_of
    case = '<testcase name="test_notebook[{}]"><properties><property name="seconds" value="{}" /></properties></testcase>'
    made = ''.join([case.format('a/01_x.ipynb', 3.2), case.format('library/y.ipynb', 61), '<testcase name="test_notebook[z.ipynb]" />'])
    (tmp_path/'r.xml').write_text(f'<testsuites><testsuite>{made}</testsuite></testsuites>')
    assert measured(tmp_path/'r.xml') == {'a/01_x.ipynb': 3.2, 'library/y.ipynb': 61}
    assert [rounded(s) for s in (.2, 3.2, 15, 61)] == [1, 4, 15, 120]
    assert row_of('01_x.ipynb', 4)('| [X](01_x.ipynb) | 25 s | why |\n') == '| [X](01_x.ipynb) | 4 s | why |\n'
