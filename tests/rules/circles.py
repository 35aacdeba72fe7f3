# SPDX-License-Identifier: BSD-2-Clause
"""Circles between C files and between folders, by calls and by #include: circles.py TREE. Needs universal-ctags.

An edge a -> b: a.c names a function that b.c defines (a namesake that is static in a.c is left out), or a includes b.
Each circle (a strongly connected component) is one line of its members, followed by what ties them, indented.
"""
import collections, os, re, subprocess, sys

tree = os.path.abspath(sys.argv[1])
files = sorted(os.path.relpath(os.path.join(d, f), tree) for top in ('crypto', 'kms', 'fs', 'tools')
               for d, _, names in os.walk(os.path.join(tree, top)) for f in names if f.endswith(('.c', '.h')))
text = {f: open(os.path.join(tree, f), errors='replace').read() for f in files}


def functions():
    """Where each public function is defined, and the names of the static ones of each file."""
    rows = subprocess.run(['ctags', '-x', '--kinds-C=f', '--fields=+f', '--_xformat=%N|%F|%{file}'] + files,
                          cwd=tree, capture_output=True, text=True, check=True).stdout
    public, static = {}, collections.defaultdict(set)
    for name, f, is_static in (row.split('|') for row in rows.splitlines()):
        if f.endswith('.h') or is_static != '-':
            static[f].add(name)
        else:
            public[name] = f
    return public, static


def calls():
    """(a, b) -> the functions of b that a uses: called, or their address handed on."""
    public, static = functions()
    edges = collections.defaultdict(set)
    for f in (f for f in files if f.endswith('.c')):
        bare = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', ' ', text[f], flags=re.S)
        for name in set(re.findall(r'(?<![.>\w])([a-z_0-9]+)\s*[(,;)}]', bare)):
            if public.get(name, f) != f and name not in static[f]:
                edges[f, public[name]].add(name)
    return edges


def includes():
    edges = collections.defaultdict(set)
    for f in files:
        for header in re.findall(r'^\s*#\s*include\s*"([^"]+)"', text[f], re.M):
            if header in text:
                edges[f, header].add(os.path.basename(header))
    return edges


def by_folder(edges):
    folders = collections.defaultdict(set)
    for (a, b), names in edges.items():
        if os.path.dirname(a) != os.path.dirname(b):
            folders[os.path.dirname(a), os.path.dirname(b)] |= names
    return folders


def reach(edges):
    """node -> all that can be reached from it"""
    graph = collections.defaultdict(set)
    for a, b in edges:
        graph[a].add(b)
    out = {}
    for start in list(graph):
        seen, todo = set(), [start]
        while todo:
            for nxt in graph[todo.pop()] - seen:
                seen.add(nxt)
                todo.append(nxt)
        out[start] = seen
    return out


def circles(edges):
    to = reach(edges)
    found = {tuple(sorted([a] + [b for b in to[a] if b != a and a in to.get(b, ())])) for a in to if a in to[a]}
    return sorted((c for c in found if len(c) > 1), key=len)


for how, edges in (('calls', calls()), ('includes', includes())):
    for what, e in (('files', edges), ('folders', by_folder(edges))):
        for c in circles(e):
            print(f'circle of {len(c)} {what} by {how}: {" ".join(c)}')
            for (a, b), names in sorted(e.items()):
                if a in c and b in c:
                    print(f'  {a} -> {b}: {", ".join(sorted(names)[:8])}')
