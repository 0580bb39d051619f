"Write the notebooks for Colab into a folder: each begins with a cell that installs the package. `python tools/colab.py FOLDER`"
import sys
from pathlib import Path

from fastcore.nbio import mk_cell, read_nb, write_nb

from nbs import nbs, notebooks, root, settings


def install_line(): return f'%pip install -q git+{settings()["repository"]}'


def write(folder):
    "One copy of every notebook, at the same path as in the repository."
    for path in notebooks():
        nb = read_nb(path)
        nb.cells.insert(0, mk_cell(f'#| hide\n{install_line()}', id='colab-install'))
        for cell in nb.cells:   # a page that is run afresh needs no old outputs
            if cell.cell_type == 'code': cell.outputs = []
        to = Path(folder)/path.relative_to(root)
        to.parent.mkdir(parents=True, exist_ok=True)
        write_nb(nb, to)
    return len(notebooks())


if __name__ == '__main__': print(f'{write(sys.argv[1])} notebooks in {sys.argv[1]}')
