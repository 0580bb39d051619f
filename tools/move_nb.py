"""Move notebooks and mend every link to and from them: `python tools/move_nb.py OLD NEW [OLD NEW …]`, paths as in nbs/.

Then `make export`, which writes the new place into the modules."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from nbs import nbs, root

link = re.compile(r'(\]\(|href=\\?")([^)#\s:"\\]+\.[a-z]{2,5})(?=[#)"\\])')
mentioned_in = ['tests/*.py', 'tools/*.py', 'benchmarks/*.py', 'docs/*.py', '.github/workflows/*.yml']


def relinked(md, before, after, moves):
    "The text `md`, which stood at `before` and is to stand at `after`, with its links to files as `moves` has them."
    def one(m):
        target = Path(os.path.normpath(before.parent/m[2]))
        if target not in moves and not target.exists() and not target.is_relative_to(nbs): return m[0]
        if target not in moves and before == after: return m[0]
        return m[1] + Path(os.path.relpath(moves.get(target, target), after.parent)).as_posix()
    return link.sub(one, md)


def relink(before, after, moves):
    "Write the notebook at `before` with mended links; returns whether anything changed."
    text = before.read_text(encoding='utf-8')
    nb = json.loads(text)
    for cell in nb['cells']:
        if cell['cell_type'] != 'markdown': continue
        source = cell['source'] if isinstance(cell['source'], str) else ''.join(cell['source'])
        cell['source'] = relinked(source, before, after, moves).splitlines(True)
    new = json.dumps(nb, ensure_ascii=False, indent=1, sort_keys=True) + '\n'
    if new != text: before.write_text(new, encoding='utf-8')
    return new != text


def move(pairs):
    "Move each (old, new), given relative to nbs/; mend links in all notebooks and mentions in tests and tools."
    moves = {nbs/o: nbs/n for o, n in pairs}
    if missing := [o for o in moves if not o.exists()]: raise FileNotFoundError(f'not there: {missing}')
    if taken := [n for n in moves.values() if n.exists() and n not in moves]: raise FileExistsError(f'taken: {taken}')
    for path in sorted(nbs.rglob('*.ipynb')): relink(path, moves.get(path, path), moves)
    parts = [(o, o.with_name(o.name + '.moving')) for o in moves]   # first aside: names may be swapped
    for a, b in parts + [(p, moves[o]) for o, p in parts]:
        b.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(['git', 'mv', a, b], cwd=root, check=True)
    names = {o: n.removesuffix('.ipynb') for o, n in ((a.removesuffix('.ipynb'), b) for a, b in pairs)}
    for path in (p for pattern in mentioned_in for p in root.glob(pattern)):
        text = path.read_text(encoding='utf-8')
        new = re.sub('|'.join(rf'(?<![\w/]){re.escape(o)}(?!\w)' for o in names), lambda m: names[m[0]], text)
        if new != text: path.write_text(new, encoding='utf-8')


if __name__ == '__main__': move(list(zip(sys.argv[1::2], sys.argv[2::2], strict=True)))
