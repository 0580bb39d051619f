"README.md is the home page notebook as Markdown: prose and visible code, without outputs; `make export` writes it."
import re

from nbs import cells, nbs, root

note = '<!-- Written from nbs/index.ipynb by `make export`: edit the notebook. -->\n'


def _code(cell):
    "A code cell as a fenced block; hidden cells and hidden lines are left out."
    if 'hide' in cell.directives or cell.directives.get('echo') == 'false': return ''
    shown = '\n'.join(o for o in cell.code.split('\n') if not re.search(r'#\|\s*hide_line\s*$', o)).strip()
    return f'```python\n{shown}\n```' if shown else ''


def _relink(md):
    "Links between notebooks start in nbs/; the README stands one folder above."
    return re.sub(r'\]\((?!https?:|#|mailto:)(?:\.\./)?([^)]+)\)',
                  lambda m: f'](nbs/{m[1]})' if (nbs/m[1].split('#')[0]).exists() else f']({m[1]})', md)


def render():
    "The text of README.md."
    parts = [_relink(c.source) if c.kind == 'markdown' else _code(c) for c in cells(nbs/'index.ipynb')]
    return note + '\n' + '\n\n'.join(p.strip() for p in parts if p.strip()) + '\n'


def write():
    "Write README.md."
    (root/'README.md').write_text(render(), encoding='utf-8')


if __name__ == '__main__': write()
