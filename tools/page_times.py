"""How long each page takes, written into it and into the tables that name it: `make times`, or python tools/page_times.py RESULTS.xml

RESULTS.xml is what pytest's --junitxml leaves of tests/test_notebooks.py: the processor seconds of each notebook, with one thread, as they
would be on a machine that has nothing else to do, processes that it started included. The imports, which a Jupyter has to do and the test
has done before, are added; the sum is rounded up, so that a page promises rather too much time than too little.
"""
import json
import math
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from nbs import head, nbs

imports = 3   # seconds, rounded up from the 2.1 of benchmarks/results/imports.json (with torchvision)
steps = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40, 45, 50, 60]
time_line = re.compile(r'^- time: [\d.]+ (s|min)', re.M)


def rounded(seconds): return next((s for s in steps if seconds <= s), 60 * math.ceil(seconds / 60))


def measured(xml):
    "Path below nbs/ -> seconds."
    found = {}
    for case in ET.parse(xml).getroot().iter('testcase'):
        name = re.match(r'test_notebook\[(.+)\]$', case.get('name'))
        said = [p.get('value') for p in case.iter('property') if p.get('name') == 'seconds']
        if name and said: found[name[1]] = float(said[0])
    return found


def rewrite(path, change):
    "Change the text of markdown cells; is anything different?"
    nb, told = json.loads(path.read_text(encoding='utf-8')), False
    for cell in nb['cells']:
        if cell['cell_type'] != 'markdown': continue
        old = ''.join(cell['source'])
        if (new := change(old)) != old: cell['source'], told = new.splitlines(keepends=True), True
    if told: path.write_text(json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + '\n', encoding='utf-8')
    return told


def page_seconds(folder):
    "Name of each page of a lesson -> what its first cell says."
    return {p.name: head(p)['seconds'] for p in sorted((nbs/folder).glob('[0-9]*.ipynb'))}


def row_of(name, seconds):
    "A function that corrects the row of a lesson's table which links to `name`."
    row = re.compile(rf'^(\| \[[^\]]+\]\({re.escape(name)}\) \| )[^|]+( \|)', re.M)
    return lambda text: row.sub(rf'\g<1>{seconds:g} s\g<2>', text)


def minutes_of(folder, seconds):
    "The same for the table of lessons on the first page."
    row = re.compile(rf'^(\| \[[^\]]+\]\({re.escape(folder)}/index\.ipynb\) \| )[^|]+( \|)', re.M)
    return lambda text: row.sub(rf'\g<1>{minutes(seconds)} min\g<2>', text)


def minutes(seconds): return max(1, round(sum(seconds.values()) / 60))


def main(xml):
    changed = 0
    for name, seconds in measured(xml).items():
        new = f'- time: {rounded(imports + seconds)} s'
        changed += (nbs/name).exists() and rewrite(nbs/name, lambda text: time_line.sub(new, text, count=1) if text.startswith('# ') else text)
    for folder in sorted(p.name for p in nbs.glob('[0-9]_*')):
        found = page_seconds(folder)
        for name, seconds in found.items(): changed += rewrite(nbs/folder/'index.ipynb', row_of(name, seconds))
        changed += rewrite(nbs/'index.ipynb', minutes_of(folder, found))
    print(f'{changed} changes; the first page of the README follows with `make export`')


if __name__ == '__main__': main(Path(sys.argv[1]))
