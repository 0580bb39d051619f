"Print the constraints file: every installed package at its version, with a marker where the oldest Python cannot have it."
from importlib.metadata import distributions

from packaging.specifiers import SpecifierSet
from packaging.version import Version

# the interpreter's own tools, and this package itself
skip = {'pip', 'setuptools', 'wheel', 'course-lib'}
pythons = ['3.10', '3.11', '3.12', '3.13', '3.14']
header = """\
# The tested set: what `make setup` and `make docs` install, written by `make pins`.
# settings.ini holds the ranges; a build suffix (+cpu, +cu128) is left off, so that any build of the version will do.
# A marker stands where a version does not exist for one of the Pythons of the test matrix: there the range alone rules.
# The extra `app` is outside this set: Gradio still asks for Pillow below 13. Install it without this file.
"""


def marker(requires):
    "What a package asks of Python, as a marker, as far as a supported Python may lack it (`>=3.11`, also `>=3.11.5`)."
    parts = [o for o in SpecifierSet(requires or '') if not all(o.contains(p + '.0') for p in pythons)]
    return ''.join(f' {"and" if i else ";"} python_full_version {o.operator} "{o.version}"'
                   for i, o in enumerate(sorted(parts, key=str)))


def pins():
    "The lines, sorted by name."
    found = {d.metadata['Name'].lower().replace('_', '-').replace('.', '-'): d for d in distributions()}
    return [f"{name}=={Version(d.version).public}{marker(d.metadata['Requires-Python'])}"
            for name, d in sorted(found.items()) if name not in skip]


if __name__ == '__main__': print(header + '\n'.join(pins()))
