"""The site, from the notebooks as they are committed: `make docs` writes _site/. Nothing is run: outputs are in the notebooks.

Notebook -> normalised notebook (directives followed, API heads and links put in, pictures given alt texts) -> Sphinx."""
import ast
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from html import escape
from os.path import relpath

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from api import all_entries, lines_of, lookup
from check_site import problems
from nbs import cells, chapters, head, lessons, module, nbs, notebooks, page, root, settings

src, html, out = root/'_build'/'src', root/'_build'/'html', root/'_site'


def href(from_page, to): return relpath(f'{to}.html', from_page.rpartition('/')[0] or '.').removesuffix('.html')   # a page may have a folder's name


# ---------------------------------------------------------------- prose

def link_names(md, here, names):
    "Names in backticks become links to where they are taught; code blocks, headings and links stay as they are."
    def one(m):
        e = names.get(m[1].removesuffix('()'))
        return m[0] if e is None else f'<a class="name" href="{href(here, e.page)}.html#{e.anchor}"><code>{m[1]}</code></a>'
    done, fenced = [], False
    for line in md.split('\n'):
        if line.lstrip().startswith('```'): fenced = not fenced
        if not (fenced or line.startswith(('#', '    '))): line = re.sub(r'(?<![\[`\\])`([A-Za-z_][\w.]*(?:\(\))?)`(?![\]`])', one, line)
        done.append(line)
    return '\n'.join(done)


def link_pages(md, here):
    "Links to other notebooks become links to their pages."
    def one(m):
        target = (nbs/here.rpartition('/')[0]/m[1]).resolve()
        if not target.exists(): return m[0]
        return f']({href(here, page(target))}.ipynb{m[2].lower() if m[2] else ""})'
    return re.sub(r'\]\(([^)#\s:]+\.ipynb)(#[^)\s]*)?\)', one, md)


def callouts(md):
    "A quotation that begins with bold words is a box with that title; Quarto's boxes are boxes too."
    def box(m):
        text = re.sub(r'^> ?', '', m[0], flags=re.M)
        title, rest = re.match(r'\*\*(.+?)\*\*[:.]?\s*(.*)', text, re.S).groups()
        kind = 'question' if title.startswith('Asked') else 'tip'
        return f':::{{admonition}} {title}\n:class: {kind}\n\n{rest.strip()}\n:::\n'
    md = re.sub(r'^> \*\*.+(?:\n>.*)*', box, md, flags=re.M)
    return re.sub(r'^:::\s*\{\.callout-(\w+)[^}]*\}', r':::{\1}', md, flags=re.M)


def prose(md, here, names): return callouts(link_pages(link_names(md, here, names), here))


# ---------------------------------------------------------------- cells

def markdown(source): return dict(cell_type='markdown', metadata={}, source=source)


def ticks(text): return re.sub(r'`([^`]+)`', r'<code>\1</code>', escape(text))


def api_head(found, here, lines, shown):
    "The line above exported code: its names, a link to the source of each; then, where the code is folded, signature and docstring."
    objects = [f'```{{py:{e.kind}}} {e.name}\n:module: {e.module}\n:no-typesetting:\n```\n' for e in found]
    def name(e):
        source = f'{href(here, "source/" + e.module)}.html#L{lines[e.module].get(e.name, 1)}'
        return f'<span id="{e.anchor}"><a id="{e.module}.{e.name}"></a><code>{e.name}</code> <a href="{source}" aria-label="source of {e.name}">source</a></span>'
    def line(es): return f'<div class="api-head">{"".join(map(name, es))}<span class="where">{es[0].module}</span></div>\n'
    if shown or all(e.kind == 'data' for e in found): return '\n'.join(objects) + '\n' + line(found)
    parts = [line([e]) + ('' if e.kind == 'data' else f'\n```python\n{e.signature}\n```\n\n{e.doc}\n') for e in found]
    return '\n'.join(objects + parts)


def alt_text(cell, section):
    "What a picture says to those who cannot see it: the author's words, or where it stands and what drew it."
    if given := cell.directives.get('fig-alt') or cell.directives.get('alt'): return given.strip('"\'')
    lines = [o.strip() for o in cell.code.strip().split('\n') if o.strip() and not o.strip().startswith('#')]
    return f'{section}: picture drawn by {lines[-1].rstrip(";") if lines else "the code above"}'


def outputs(cell, section):
    "Saved outputs without what only a running notebook needs; pictures as data for MyST-NB."
    kept = []
    for o in cell.outputs:
        o = dict(o)
        o.pop('execution_count', None)
        if o.get('output_type') == 'execute_result': o['execution_count'] = None
        if 'data' in o: o['data'] = {k: v for k, v in o['data'].items() if k.startswith(('text/', 'image/')) and 'widget' not in k}
        kept.append(o)
    return kept


def code(cell, section, here, names):
    "A code cell as the reader is to see it; None if hidden."
    d = cell.directives
    tags = []
    if not cell.code.strip(): return None
    if ('exporti' in d or 'hide' in d or d.get('include') == 'false') and not is_imports(cell): return None
    if 'export' in d or is_imports(cell): tags.append('hide-input')   # folded: a page can be copied and run
    if d.get('echo') == 'false': tags.append('remove-input')
    if d.get('output') == 'false': tags.append('remove-output')
    source = '\n'.join(o for o in cell.code.strip('\n').split('\n') if not re.search(r'#\|\s*hide_line\s*$', o))
    meta = dict(tags=tags, **(dict(mystnb=dict(code_prompt_show='Imports', code_prompt_hide='Imports')) if is_imports(cell) else {}))
    pictures = [o for o in cell.outputs if 'image/png' in o.get('data', {})]
    if pictures:
        width = pictures[0].get('metadata', {}).get('image/png', {}).get('width')
        meta['mystnb'] = dict(image=dict(alt=alt_text(cell, section), **({'width': f'{int(width)}px'} if width else {})))
    return dict(cell_type='code', metadata=meta, source=source, outputs=outputs(cell, section), execution_count=None, id=cell.id)


def is_imports(cell):
    "A cell of imports only."
    return bool(cell.code.strip()) and all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in cell.tree.body)


def as_prose(cell):
    "Output in Markdown, such as a table of measurements, leaves the code cell and becomes prose: so tables are tables."
    kept, said = [], []
    for o in cell['outputs']:
        if md := o.get('data', {}).get('text/markdown'): said.append(''.join(md))
        else: kept.append(o)
    return cell | dict(outputs=kept), [markdown(f'<div class="said">\n\n{o}\n\n</div>') for o in said]


def first_lines(path, here):
    "Title, summary and the line of facts: time, module, where to run it."
    h, cfg = head(path), settings()
    rel = path.relative_to(root).as_posix()
    colab = f'https://colab.research.google.com/github/{cfg["repository"].split("github.com/")[-1]}/blob/colab/{rel}'
    facts = []
    if h['seconds']: facts.append(f'<span>{h["seconds"]:g} s on two cores</span>')
    if mod := module(path): facts.append(f'<span>grows <a href="{href(here, "source/course_lib." + mod)}.html"><code>course_lib.{mod}</code></a></span>')
    if path.parent != nbs:
        facts.append(f'<a href="{colab}">Open in Colab</a>')
        facts.append(f'<a href="{href(here, "_notebooks/" + path.relative_to(nbs).as_posix())}" download>Download the notebook</a>')
    summary = f'\n\n<p class="summary">\n\n{h["summary"]}\n\n</p>' if h['summary'] else ''
    return f'# {h["title"]}{summary}\n\n' + (f'<div class="facts">{"".join(facts)}</div>' if facts else '')


def normalise(path, names, by_cell, lines):
    "The notebook at `path` as Sphinx is to read it."
    here, section, made, seen_title = page(path), head(path)['title'], [], False
    for cell in cells(path):
        if cell.kind == 'markdown':
            text = cell.source
            if not seen_title:
                rest = re.sub(r'\A# .+\n?', '', text)
                rest = re.sub(r'^(> .+|- time:.+|- \w+:.+)\n?', '', rest, flags=re.M)
                made.append(markdown(first_lines(path, here)))
                text, seen_title = rest.strip(), True
                if not text: continue
            if m := re.findall(r'^#+ (.+)$', text, re.M): section = m[-1].strip()
            made.append(markdown(prose(text, here, names)))
        elif cell.kind == 'code':
            found = by_cell.get((here, cell.id), [])
            shown = code(cell, section, here, names)
            if found and 'hide' not in cell.directives: made.append(markdown(api_head(found, here, lines, 'exports' in cell.directives)))
            if shown and 'default_exp' not in cell.directives:
                shown, said = as_prose(shown)
                made += [shown, *said]
    meta = dict(kernelspec=dict(name='python3', display_name='Python 3', language='python'), language_info=dict(name='python'))
    for i, c in enumerate(made): c['id'] = c.get('id') or f'cell-{i}'
    return dict(cells=made, metadata=meta, nbformat=4, nbformat_minor=5)


# ---------------------------------------------------------------- pages that are no notebooks

def write(name, text):
    path = src/name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def toctree(items, **options): return '\n'.join(['```{toctree}', *(f':{k}: {v}'.rstrip() for k, v in options.items()), '', *items, '```'])


def row(path, here):
    "One notebook in a list."
    h = head(path)
    mod = f'<code>{module(path)}</code>' if module(path) else ''
    time = f'{h["seconds"]:g} s' if h['seconds'] else ''
    return (f'<li><a href="{href(here, page(path))}.html">{escape(h["title"])}</a> <span class="minor">{time} {mod}</span>'
            f'<br>{ticks(h["summary"])}</li>')


def rows(paths, here): return '<ol class="lessons">' + ''.join(row(p, here) for p in paths) + '</ol>'


def append(name, *md):
    "Add prose to the end of a page that is a notebook."
    path = src/f'{name}.ipynb'
    nb = json.loads(path.read_text(encoding='utf-8'))
    nb['cells'] += [dict(markdown(o), id=f'added-{i}') for i, o in enumerate(md)]
    path.write_text(json.dumps(nb, ensure_ascii=False), encoding='utf-8')


shelves = {'': 'The core', 'data': 'Data', 'callback': 'Callbacks', 'vision': 'Pictures', 'tabular': 'Tables', 'text': 'Texts', 'collab': 'Recommendations',
           'apps': 'Recipes', 'sheets': 'Spreadsheets', 'exercises': 'Exercises and their checks'}


def two_shelves():
    "What follows what: lessons in course order, then the library by package; and one page with everything."
    everything = ['# Lessons', 'Every page of the lessons, in course order. What stands behind them is on the other shelf: [the library](library/index.ipynb).']
    for folder, (title, about) in lessons.items():
        paths = sorted(p for p in (nbs/folder).glob('*.ipynb') if p.name != 'index.ipynb')
        append(f'{folder}/index', toctree([page(p).rpartition('/')[2] for p in paths], hidden='', maxdepth=1))
        everything.append(f'## [{title}]({folder}/index.ipynb)\n\n{about}.\n\n{rows(paths, "map")}\n')
    write('map.md', '\n\n'.join(everything))
    by_shelf = defaultdict(list)
    for p in chapters(): by_shelf[p.relative_to(nbs/'library').parts[0] if p.parent != nbs/'library' else ''].append(p)
    lists = [f'### {title}\n\n{rows(by_shelf[k], "library/index")}\n' for k, title in shelves.items() if by_shelf[k]]
    trees = [toctree([page(p).removeprefix('library/') for p in by_shelf[k]], hidden='', maxdepth=1, caption=title) for k, title in shelves.items() if by_shelf[k]]
    append('library/index', '## The chapters', *lists, *trees)


def api_page(found):
    "All public names by module."
    by_module = defaultdict(dict)
    for e in found: by_module[e.module].setdefault(e.name, e)
    parts = ['# API', 'Every public name, by module; each links to the chapter that grows it. '
             'The search box finds them too, and [the index](genindex) lists them by letter.']
    for mod, names in sorted(by_module.items()):
        rows = ''.join(f'<li><a href="{e.page}.html#{e.anchor}"><code>{n}</code></a> <span>{ticks(e.doc.split(chr(10))[0])}</span></li>'
                       for n, e in sorted(names.items(), key=lambda o: o[0].lower()))
        parts.append(f'## {mod}\n\n<p class="minor"><a href="source/{mod}.html">source</a></p>\n<ul class="api">{rows}</ul>')
    files = [p for p in (root/'course_lib').rglob('*.py') if p.name not in ('__init__.py', '_modidx.py')]
    taught = (f'course_lib.{module(p)}' for p in notebooks() if module(p))
    sources = sorted({*by_module, *taught, *('.'.join(p.relative_to(root).with_suffix('').parts) for p in files)})
    parts.append(toctree([f'source/{m}' for m in sources], hidden='', maxdepth=1))
    write('api.md', '\n\n'.join(parts).replace('[the index](genindex)', '<a href="genindex.html">the index</a>') + '\n')
    for mod in sources: source_page(mod)


def source_page(mod):
    "A module's text with line numbers to link to."
    stem = root/mod.replace('.', '/')
    path = stem/'__init__.py' if stem.is_dir() else stem.with_suffix('.py')
    text = path.read_text(encoding='utf-8') if path.exists() else '# not exported yet\n'
    html = highlight(text, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).rstrip('\n').split('\n')
    body = '\n'.join(f'<span class="line" id="L{i}">{o or " "}</span>' for i, o in enumerate(html, 1))
    raw = f'<div class="highlight source"><pre>{body}</pre></div>'
    write(f'source/{mod}.md', f'# {mod}\n\n```{{raw}} html\n{raw}\n```\n')


def prepare():
    "Everything that Sphinx reads, in _build/src."
    shutil.rmtree(src, ignore_errors=True)
    shutil.copytree(root/'docs', src, ignore=shutil.ignore_patterns('__pycache__'))
    found = all_entries()
    names, lines = lookup(found), {m: lines_of(m) for m in {e.module for e in found}}
    by_cell = defaultdict(list)
    for e in found: by_cell[e.page, e.cell].append(e)
    for path in notebooks(): write(page(path) + '.ipynb', json.dumps(normalise(path, names, by_cell, lines), ensure_ascii=False))
    for folder in nbs.glob('*/images'): shutil.copytree(folder, src/folder.relative_to(nbs))
    two_shelves()
    api_page(found)
    append('index', toctree([f'{o}/index' for o in lessons] + ['map'], hidden='', caption='Lessons'),
           toctree(['library/index', 'api'], hidden='', caption='Library'))


def build():
    "Sphinx: _build/src -> _site; then the notebooks themselves, for download. Returns what Sphinx warned of."
    for folder in (html, out): shutil.rmtree(folder, ignore_errors=True)
    cmd = [sys.executable, '-m', 'sphinx', '-q', '--no-color', '-b', 'html', '-d', str(root/'_build'/'doctrees'), '-E', str(src), str(html)]
    done = subprocess.run(cmd, capture_output=True, text=True)
    if done.returncode: return done.stdout + done.stderr
    html.rename(out)
    for path in notebooks():
        to = out/'_notebooks'/path.relative_to(nbs)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    (out/'.nojekyll').touch()
    return done.stderr.replace(f'{src}/', '').strip()


def main():
    "Build, check, say what is wrong; the exit status is 1 when anything is."
    prepare()
    said = build()
    bad = [said] if said else []
    if out.exists(): bad += problems(out)
    print('\n'.join(bad + [f'the site is in {out.name}/: open {out.name}/index.html'] if out.exists() else bad))
    return 1 if bad else 0


if __name__ == '__main__': sys.exit(main())
