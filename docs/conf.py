"Configuration of the site. Its pages are written by tools/make_site.py from the notebooks; nothing here is content."
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))   # mathml.py lies beside this file

project = 'course_lib'
author = 'the course_lib authors'
copyright = '2026, the course_lib authors'
extensions = ['myst_nb', 'mathml', 'sphinx_copybutton']
exclude_patterns = ['**.ipynb_checkpoints']
root_doc = 'index'
suppress_warnings = ['mystnb.unknown_mime_type', 'myst.mathjax', 'myst.header', 'misc.highlighting_failure']

copybutton_selector = 'div.cell_input pre, div.highlight-python pre, div.highlight-bash pre'   # not outputs
nb_execution_mode = 'off'          # outputs are in the notebooks, where the tests put them
nb_merge_streams = True
nb_number_source_lines = False
nb_code_prompt_show = 'Show the {type}'
nb_code_prompt_hide = 'Hide the {type}'
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence', 'deflist', 'attrs_inline']
myst_heading_anchors = 4
myst_dmath_double_inline = True
python_display_short_literal_types = True
html_math_renderer = 'mathml'      # MathML is drawn by the browser itself: no script, no network

html_theme = 'pydata_sphinx_theme'
html_title = 'course_lib'
html_static_path = ['_static']
templates_path = ['_templates']
html_css_files = ['site.css']
html_show_sourcelink = False
html_copy_source = False
html_last_updated_fmt = None
html_theme_options = {
    'logo': {'text': 'course_lib'},
    'navbar_align': 'left',
    'navbar_center': ['shelves'],      # two shelves; within one, the side bar
    'navbar_end': ['theme-switcher', 'navbar-icon-links'],
    'show_nav_level': 2,
    'show_toc_level': 2,
    'navigation_with_keys': True,
    'secondary_sidebar_items': ['page-toc'],
    'footer_start': ['copyright'],
    'footer_end': [],
    'pygments_light_style': 'a11y-high-contrast-light',
    'pygments_dark_style': 'a11y-high-contrast-dark',
    'back_to_top_button': True,
}
html_sidebars = {'index': [], 'map': [], 'api': []}
