"What the site shows of exported code: names, signatures with their comments, docstrings; read from the text, nothing is run."
import ast
from dataclasses import dataclass

from nbs import cells, module, notebooks, page, root


@dataclass
class Entry:
    "One public function, class, method or constant."
    name: str       # `lerp`, `Learner.fit`
    module: str     # `course_lib.learner`
    page: str       # `5_collaborative_filtering/training_loop`
    kind: str       # function, class, method, data
    signature: str  # as written, comments included
    doc: str
    cell: str       # id of the cell that exports it

    @property
    def anchor(self): return self.name.lower()


def type_names(node):
    "The class names in a type: `Learner`, `Image.Image`, `A|B`, `(A, B)`."
    if isinstance(node, ast.Name): return [node.id]
    if isinstance(node, ast.Attribute): return [node.attr]
    if isinstance(node, ast.Constant): return [str(node.value)]
    if isinstance(node, ast.BinOp): return type_names(node.left) + type_names(node.right)
    return [n for o in getattr(node, 'elts', []) for n in type_names(o)]


def patched_class(node):
    "The classes that a function decorated with @patch belongs to."
    for d in node.decorator_list:
        f = d.func if isinstance(d, ast.Call) else d
        if getattr(f, 'id', '') == 'patch' and node.args.args and node.args.args[0].annotation is not None:
            return type_names(node.args.args[0].annotation)
        if getattr(f, 'id', '') == 'patch_to' and isinstance(d, ast.Call): return type_names(d.args[0])
    return []


def signature(node, source):
    "The lines of a `def` or `class` up to its body."
    lines = source.split('\n')[node.lineno - 1:node.body[0].lineno - 1] or [source.split('\n')[node.lineno - 1]]
    head = '\n'.join(lines).rstrip()
    if node.body[0].lineno == node.lineno:   # everything on one line
        line = source.split('\n')[node.lineno - 1]
        head = line[:node.body[0].col_offset].rstrip()
    return head


def constructor(node, source):
    "A class is called with the arguments of its __init__: show those."
    init = next((o for o in node.body if isinstance(o, ast.FunctionDef) and o.name == '__init__'), None)
    head = signature(node, source).split('\n')[0]
    return head if init is None else head + '\n' + signature(init, source)


def entries(path):
    "The entries of the notebook at `path`, cell by cell."
    mod = module(path)
    if mod is None: return
    for cell in cells(path):
        if not cell.exported or 'exporti' in cell.directives: continue
        target = cell.directives.get('export') or cell.directives.get('exports') or mod
        made = lambda name, kind, sig='', doc='': Entry(name, 'course_lib.' + target, page(path), kind, sig, doc or '', cell.id)
        for node in cell.tree.body:
            if isinstance(node, ast.Assign):
                for o in node.targets:
                    if isinstance(o, ast.Name) and not o.id.startswith('_'): yield made(o.id, 'data', cell_line(cell.code, node))
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_'): continue
            doc = ast.get_docstring(node)
            if isinstance(node, ast.ClassDef): yield made(node.name, 'class', constructor(node, cell.code), doc)
            elif names := patched_class(node):
                for c in names: yield made(f'{c}.{node.name}', 'method', signature(node, cell.code), doc)
            else: yield made(node.name, 'function', signature(node, cell.code), doc)


def cell_line(code, node): return code.split('\n')[node.lineno - 1]


def all_entries():
    "Every public name of the library, once: a class that grows is entered where it first stands."
    found = {}
    for e in (e for p in notebooks() for e in entries(p)): found.setdefault((e.module, e.name), e)
    return list(found.values())


def lookup(found):
    "Name -> entry, for names that mean one thing only; methods also go by their full name."
    names = {}
    for e in found: names.setdefault(e.name, []).append(e)
    return {k: v[0] for k, v in names.items() if len({(e.page, e.anchor) for e in v}) == 1}


def lines_of(mod):
    "Name -> line number in the module's file: `Learner`, `Learner.fit`."
    path = root/(mod.replace('.', '/') + '.py')
    if not path.exists(): return {}
    out = {}
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            out.setdefault(node.name, node.lineno)
            for c in patched_class(node) if isinstance(node, ast.FunctionDef) else []: out[f'{c}.{node.name}'] = node.lineno
        if isinstance(node, ast.Assign):
            for o in node.targets:
                if isinstance(o, ast.Name): out[o.id] = node.lineno
    return out
