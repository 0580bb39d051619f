"Sphinx extension: formulas become MathML when the site is built, so that pages need no script and no network to show them."
from html import escape

from docutils import nodes
from latex2mathml.converter import convert


def _math(tex, display):
    "MathML of `tex`; if it cannot be read, the TeX itself, so that nothing is lost."
    try: return convert(tex, display=display).replace('<math ', f'<math aria-label="{escape(tex, quote=True)}" ', 1)
    except Exception: return f'<code class="math">{escape(tex)}</code>'


def inline(self, node):
    self.body.append(_math(node.astext(), 'inline'))
    raise nodes.SkipNode


def block(self, node):
    self.body.append(f'<div class="math-block">{_math(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer('mathml', (inline, None), (block, None))
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
