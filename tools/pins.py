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
"""


def marker(requires):
    "The Pythons of the matrix that may have a package which asks for `requires`, as a marker; '' when all may."
    ok = [p for p in pythons if SpecifierSet(requires or '').contains(p + '.9')]
    if len(ok) == len(pythons): return ''
    parts = []
    if ok[0] != pythons[0]: parts.append(f'python_version >= "{ok[0]}"')
    if ok[-1] != pythons[-1]: parts.append(f'python_version <= "{ok[-1]}"')
    return ' ; ' + ' and '.join(parts)


def pins():
    "The lines, sorted by name."
    found = {d.metadata['Name'].lower().replace('_', '-').replace('.', '-'): d for d in distributions()}
    return [f"{name}=={Version(d.version).public}{marker(d.metadata['Requires-Python'])}"
            for name, d in sorted(found.items()) if name not in skip]


if __name__ == '__main__': print(header + '\n'.join(pins()))
