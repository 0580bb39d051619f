"The site: builds without a warning, every link and anchor leads somewhere, and a browser finds it readable, also at phone width."
import functools
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading

import pytest

pytestmark = pytest.mark.slow
flags = ('--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking '
         '--disable-component-update --disable-sync --disable-dev-shm-usage').split()

# In a frame of phone width: load each page, measure it, then ask the search page for a term; send what was seen to the server.
probe = """<!doctype html><meta charset="utf-8"><iframe id="f" style="width:390px;height:844px;border:0"></iframe><script>
const frame = document.getElementById('f'), wait = ms => new Promise(r => setTimeout(r, ms));
const open = url => new Promise(r => { frame.onload = () => r(frame.contentDocument); frame.src = url; });
(async () => {
  const seen = {pages: {}, found: [], dark: ''};
  for (const url of PAGES) {
    const d = await open(url); await wait(30);
    const wide = [...d.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 391 && !e.closest('pre, table, .text_html, .math-block, math'));
    seen.pages[url] = {width: d.documentElement.scrollWidth, wide: wide.slice(0, 3).map(e => e.tagName + '.' + e.className),
                       noalt: [...d.images].filter(i => !i.alt).length, broken: [...d.images].filter(i => i.complete && !i.naturalWidth).length,
                       math: d.querySelectorAll('math').length, title: d.title};
  }
  const d = await open('/search.html?q=' + TERM);
  for (let i = 0; i < 100 && !d.querySelector('#search-results li'); i++) await wait(100);
  await wait(300);
  seen.found = [...d.querySelectorAll('#search-results li a')].map(a => a.getAttribute('href'));
  const home = await open('/index.html');
  home.documentElement.dataset.theme = 'dark'; await wait(100);
  seen.dark = getComputedStyle(home.body).backgroundColor;
  await fetch('/seen', {method: 'POST', body: JSON.stringify(seen)});
})();
</script>"""


@pytest.fixture(scope='module')
def site():
    "The built site."
    pytest.importorskip('sphinx')
    import make_site
    make_site.prepare()
    messages = make_site.build()
    assert (make_site.out/'index.html').exists(), messages
    (make_site.out/'warnings.txt').write_text(messages, encoding='utf-8')
    return make_site.out


def test_no_warnings(site):
    "Sphinx has nothing to complain of: links to notebooks that are not there are the usual reason."
    assert not (said := (site/'warnings.txt').read_text(encoding='utf-8')), said


def test_links(site):
    from check_site import problems
    assert not (bad := problems(site)), '\n'.join(bad)


def test_what_must_be_there(site):
    for name in ('index.html', 'map.html', 'api.html', 'search.html', 'genindex.html'): assert (site/name).exists(), name


def watch(site, pages, term, seconds=180):
    "What a browser saw of `pages`, and what searching for `term` found."
    chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if chromium is None: pytest.skip('no Chromium here (Debian: apt-get install chromium)')
    done, seen = threading.Event(), {}

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass

        def do_GET(self):
            if self.path != '/probe': return super().do_GET()
            body = probe.replace('PAGES', json.dumps(pages)).replace('TERM', json.dumps(term)).encode()
            self.send_response(200)
            self.send_header('Content-Type', 'text/html')
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            seen.update(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
            self.send_response(204)
            self.end_headers()
            done.set()

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen([chromium, *flags, f'--user-data-dir={profile}', '--remote-debugging-port=0',
                                    f'http://127.0.0.1:{server.server_port}/probe'], env=os.environ | {'HOME': profile},
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try: assert done.wait(seconds), 'the browser did not finish'
        finally:
            browser.terminate()
            browser.wait(20)
            server.shutdown()
    return seen


def test_in_a_browser(site):
    "Search finds, pictures speak and load, formulas are drawn, nothing is wider than a phone, dark is dark."
    pages = ['/' + p.relative_to(site).as_posix() for p in sorted(site.rglob('*.html'))
             if p.relative_to(site).parts[0] not in ('_static', 'source', 'genindex.html', 'search.html')]
    seen = watch(site, pages, 'cosine')
    assert set(seen['pages']) == set(pages)
    bad = [f'{url}: {what}' for url, o in seen['pages'].items() for what, wrong in
           ((f'{o["width"]} px wide at 390 ({o["wide"]})', o['width'] > 391), ('a picture without alt text', o['noalt']),
            ('a picture that does not load', o['broken'])) if wrong]
    assert not bad, '\n'.join(bad)
    assert any('callback/schedule.html' in o for o in seen['found']), f'searching for "cosine" found {seen["found"]}'
    red, green, blue = map(int, seen['dark'].strip('rgb()').split(',')[:3])
    assert max(red, green, blue) < 80, f'the dark theme has a light page: {seen["dark"]}'
