"What tests, site and README need to know about the notebooks: where they are, their cells, their titles."
import ast
import json
import re
from configparser import ConfigParser
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

root = Path(__file__).resolve().parent.parent
nbs = root/'nbs'
# folder -> (title, what it is about): the one place for the names of the lessons
lessons = {
    '0_start': ('0 · Start', 'Your first model in three cells; Jupyter and GPUs; where data come from; a map of the course'),
    '1_cats_and_dogs': ('1 · Cats and dogs', 'The whole game in three lines; pictures are numbers; looking at mistakes; your own pictures'),
    '2_better_classifiers': ('2 · Better classifiers', 'Eight steps to a good classifier; rates, schedules, augmentation, transfer'),
    '3_multi_label': ('3 · Several labels', 'The same in Keras; convolution, softmax and cross entropy by hand; satellite tags'),
    '4_tables_and_text': ('4 · Tables and texts', 'Who earns well? What will be sold? What is the next word, and is this review for or against?'),
    '5_collaborative_filtering': ('5 · Recommendations', 'Films in three lines; factorisation, the training loop and optimizers by hand'),
    '6_embeddings_and_rnns': ('6 · Embeddings and RNNs', 'What the numbers know; descent, autograd and an RNN from nothing'),
    '7_resnets_from_scratch': ('7 · ResNets from scratch', 'Gates that remember, small pictures rung by rung, inside a net'),
    '8_scaling_up': ('8 · Scaling up', 'Large batches, several models and targets, masks, machines; a model that leaves; how we measure'),
}
_directive = re.compile(r'^\s*#\|\s*([\w-]+)\s*:?\s*(.*?)\s*$')


@dataclass
class Cell:
    "One cell: its kind, its text without directives, its directives as a dict."
    kind: str
    source: str
    outputs: list = field(default_factory=list)
    id: str = ''

    def __post_init__(self):
        lines = self.source.split('\n')
        found = [_directive.match(o) for o in lines] if self.kind == 'code' else []
        self.directives = {m[1]: m[2] for m in found if m}
        self.code = '\n'.join(o for o, m in zip(lines, found) if not m) if found else self.source

    @property
    def exported(self): return self.kind == 'code' and bool({'export', 'exports', 'exporti'} & self.directives.keys())

    @property
    def tree(self):
        "The cell as a syntax tree; IPython's own lines (magics, shell) are left out."
        lines = ['pass' if re.match(r'\s*[%!]', o) else o for o in self.code.split('\n')]
        return ast.parse('\n'.join(lines))


def notebooks():
    "Every notebook, in course order, the home page first."
    found = [p for p in nbs.rglob('*.ipynb') if not any(part[0] in '._' for part in p.relative_to(nbs).parts)]
    return sorted(found, key=lambda p: (p.name != 'index.ipynb' or p.parent != nbs, p.relative_to(nbs).parts))


def lesson_notebooks():
    "The first shelf: every page of a lesson, in course order, the first page of each folder before the others."
    found = [p for p in notebooks() if p.relative_to(nbs).parts[0] in lessons]
    return sorted(found, key=lambda p: (p.parent.name, p.name != 'index.ipynb', p.name))


def chapters():
    "The second shelf: a notebook for each module; its first page, how the house is built, is no chapter."
    return [p for p in notebooks() if p.relative_to(nbs).parts[0] == 'library' and p != nbs/'library'/'index.ipynb']


def text(source): return source if isinstance(source, str) else ''.join(source)


@lru_cache(None)
def cells(path):
    "The cells of the notebook at `path`."
    raw = json.loads(Path(path).read_text(encoding='utf-8'))['cells']
    return [Cell(c['cell_type'], text(c['source']), c.get('outputs', []), c.get('id', '')) for c in raw]


def module(path):
    "The module that a notebook exports to, as it is imported (`data.block`, `collab`), or None."
    found = next((c.directives['default_exp'] for c in cells(path) if 'default_exp' in c.directives), None)
    return found and found.removesuffix('.__init__')


def head(path):
    "Title, one-line summary and seconds of the notebook, from its first cell."
    first = next((c.source for c in cells(path) if c.kind == 'markdown'), '')
    def find(pattern): return (m[1].strip() if (m := re.search(pattern, first, re.M)) else '')
    seconds = re.search(r'^- time:\s*([\d.]+)\s*(s|min)?', first, re.M)
    return dict(title=find(r'^# (.+)$') or Path(path).stem, summary=find(r'^> (.+)$'),
                seconds=float(seconds[1]) * (60 if seconds[2] == 'min' else 1) if seconds else 0.)


def settings():
    "The fields of settings.ini."
    parser = ConfigParser(delimiters=['='])
    parser.read(root/'settings.ini', encoding='utf-8')
    return dict(parser['DEFAULT'])


def page(path):
    "The page made from a notebook, relative to the site, without suffix: number prefixes of files fall away, as in nbdev."
    rel = Path(path).relative_to(nbs)
    return rel.with_name(re.sub(r'^\d+[a-zA-Z0-9]*_', '', rel.stem)).as_posix()
