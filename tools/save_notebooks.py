"""Run notebooks and keep their outputs, small and the same every time: `make save`, or with paths for some of them.

Pictures become palette PNGs (sharp lines need few colours); what goes to the error stream (bars, notes) is not kept."""
import io
import re
import sys
import tempfile
from base64 import b64decode, b64encode
from pathlib import Path

from fastcore.nbio import read_nb, write_nb
from nbdev.clean import nbdev_clean
from PIL import Image

from nbs import notebooks, root, text
from run_nb import run_apart

of_one_run = rf' at 0x[0-9a-fA-F]+|{re.escape(tempfile.gettempdir())}/\w+/'   # addresses in memory, temporary folders
small, limit = 30_000, 60_000   # bytes of one picture: what we want, what the tests allow


def _png(im, colours):
    "`im` as PNG bytes with a palette of `colours`."
    out = io.BytesIO()
    im.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(out, 'PNG', optimize=True)
    return out.getvalue()


def shrink(data):
    "A smaller PNG of the same picture: fewer colours first, then half the size (Jupyter draws at double resolution)."
    im = Image.open(io.BytesIO(data)).convert('RGBA')
    flat = Image.alpha_composite(Image.new('RGBA', im.size, 'white'), im).convert('RGB')
    best = data
    for colours in (128, 48):
        best = min(best, _png(flat, colours), key=len)
        if len(best) <= small: return best
    while len(best) > limit:
        flat = flat.resize((max(1, flat.width * 2 // 3), max(1, flat.height * 2 // 3)), Image.Resampling.LANCZOS)
        best = _png(flat, 128)
    return best


def tidy(path):
    "Shrink pictures, drop the error stream and what differs from run to run."
    nb = read_nb(path)
    for cell in nb.cells:
        if cell.cell_type != 'code': continue
        cell.outputs = [o for o in cell.outputs if not (o.output_type == 'stream' and o.name == 'stderr')]
        for o in cell.outputs:
            data = o.get('data', {})
            if 'image/png' in data and len(old := b64decode(text(data['image/png']))) > small:
                data['image/png'] = b64encode(shrink(old)).decode()
            for part, kind in [(data, k) for k in data if k.startswith('text/')] + ([(o, 'text')] if 'text' in o else []):
                part[kind] = re.sub(of_one_run, '', text(part[kind])).splitlines(True)
    write_nb(nb, path)


def save(path):
    "Run, keep, clean, shrink one notebook; says how it went."
    passed, errors, seconds, *_ = run_apart(path, save=True)
    if passed:
        tidy(path)
        nbdev_clean(str(path))
    print(f'{"saved " if passed else "FAILED"} {seconds:5.1f} s {path.stat().st_size // 1000:4} kB  {path.relative_to(root)}', flush=True)
    if not passed: print(errors[-3000:], file=sys.stderr)
    return passed


if __name__ == '__main__':
    wanted = [Path(o).resolve() for o in sys.argv[1:]] or notebooks()
    sys.exit(not all([save(p) for p in wanted]))
