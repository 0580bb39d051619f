"Check a built site: every internal link and anchor leads somewhere, pictures have alt texts, nothing is fetched from elsewhere."
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    "Collects ids, links, and what the page loads."
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads, self.no_alt = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        d = dict(attrs)
        if 'id' in d: self.ids.add(d['id'])
        if tag == 'a':
            if 'name' in d: self.ids.add(d['name'])
            if d.get('href'): self.links.append(d['href'])
        if tag in ('script', 'img', 'iframe', 'source') and d.get('src'): self.loads.append(d['src'])
        if tag == 'link' and d.get('href') and d.get('rel') not in ('canonical',): self.loads.append(d['href'])
        if tag == 'img' and not (d.get('alt') or '').strip(): self.no_alt.append(d.get('src', '')[:60])


def problems(site):
    "One line for each thing that is wrong."
    pages = {p: _Page(p.read_text(encoding='utf-8')) for p in Path(site).rglob('*.html') if '_static' not in p.parts}
    bad = []
    for path, parsed in pages.items():
        name = path.relative_to(site).as_posix()
        bad += [f'{name}: picture without alt text {o}' for o in parsed.no_alt]
        for link in parsed.links + parsed.loads:
            to = urlsplit(link)
            if to.scheme in ('data', 'mailto', 'javascript'): continue
            if to.scheme or to.netloc:
                if link in parsed.loads: bad.append(f'{name}: loads {link} from elsewhere')
                continue
            target = (path.parent/unquote(to.path)).resolve() if to.path else path
            if target.is_dir(): target = target/'index.html'
            if not target.exists(): bad.append(f'{name}: no such page: {link}')
            elif to.fragment and target in pages and unquote(to.fragment) not in pages[target].ids:
                bad.append(f'{name}: no such anchor: {link}')
    return sorted(set(bad))


if __name__ == '__main__':
    found = problems(Path(sys.argv[1]))
    print('\n'.join(found) or 'no broken link')
    sys.exit(bool(found))
