#!/usr/bin/env python3
"""Finds dead paths, links and anchors in the Markdown of this repository.

    scripts/lint-docs.py               lints; exits 1 when something is dead
    scripts/lint-docs.py --self-test   shows that it finds what is dead

A word in backticks is taken for a path when it begins with a top-level entry
of the repository and a slash (`mesh/src/lib.rs`), or with `./` or `../`, or has
no slash and ends in an extension the repository uses (`deny.toml`, looked for
at the root, beside the document and, since prose names files by their last
part, anywhere else). `<name>`, `*` and `{a,b}` in it match as in a shell.
Fenced code is not looked at: it shows what is made, not what is there.
"""

import os
import re
import subprocess
import sys
import tempfile
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

GENERATED = {"target", ".dev", ".tools", ".git", "node_modules"}
EXTENSIONS = {"md", "rs", "toml", "proto", "sh", "py", "yaml", "yml", "tpl", "sql", "lock", "json"}
# Without a slash these are as often a file of the reader's, so they need one.
NEED_SLASH = {"json", "sql", "lock", "yaml", "yml"}
# Files that are made while running, by name.
MADE = {"propctl.toml", "config.toml"}

CODE = re.compile(r"(`+)(.+?)\1")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
DEFINITION = re.compile(r"^\s{0,3}\[[^\]]+\]:\s*<?(\S+?)>?\s*$")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
EXPLICIT_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")
FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
PATH = re.compile(r"^[\w.@+<>*{},/-]+$")
SUFFIX = re.compile(r":\d+(?:-\d+)?$|#L\d+(?:-L?\d+)?$")


def prose(text):
    """Yields (line number, line) of what is outside fenced code."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        mark = FENCE.match(line)
        if fence is None and mark:
            fence = mark[1]
        elif fence and mark and mark[1].startswith(fence) and line.strip() == mark[1]:
            fence = None
        elif fence is None:
            yield number, line


def anchors(text):
    """Anchors of a document, made of its headings as GitHub makes them."""
    found, seen = set(), {}
    for _, line in prose(text):
        found.update(EXPLICIT_ANCHOR.findall(line))
        heading = HEADING.match(line)
        if not heading:
            continue
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
        slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


class Repository:
    def __init__(self, root):
        self.root = Path(root).resolve()

    @cached_property
    def files(self):
        """Tracked and new files, relative; what git ignores does not exist."""
        git = ["git", "-C", str(self.root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(git, capture_output=True)
        if listed.returncode == 0:
            names = [name for name in listed.stdout.decode().split("\0") if name]
        else:
            names = []
            for folder, below, here in os.walk(self.root):
                below[:] = [name for name in below if name not in GENERATED]
                names += [os.path.relpath(os.path.join(folder, name), self.root) for name in here]
        return {
            PurePosixPath(name)
            for name in names
            if not GENERATED & set(PurePosixPath(name).parts) and (self.root / name).exists()
        }

    @cached_property
    def entries(self):
        """Files and the folders they are in."""
        return self.files | {folder for name in self.files for folder in name.parents}

    @cached_property
    def names(self):
        return {name.name for name in self.files}

    @cached_property
    def top(self):
        return {name.parts[0] for name in self.files}

    def documents(self):
        return sorted(name for name in self.files if name.suffix == ".md")

    def has(self, path):
        """Does a path, possibly with wildcards, name something? Outside: no."""
        parts = []
        for part in PurePosixPath(path).parts:
            if part == "..":
                if not parts:
                    return False
                parts.pop()
            elif part != ".":
                parts.append(part)
        path = "/".join(parts)
        if not re.search(r"[<*{]", path):
            return PurePosixPath(path) in self.entries
        pattern = re.escape(path)
        pattern = re.sub(r"<[^>]*>", "[^/]+", pattern)
        pattern = pattern.replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        pattern = re.sub(
            r"\\\{(.*?)\\\}", lambda group: "(?:" + group[1].replace(",", "|") + ")", pattern
        )
        return any(re.fullmatch(pattern, str(entry)) for entry in self.entries)

    def alive(self, document, path):
        """Is this path of backticks there, or no path of ours at all?"""
        path = SUFFIX.sub("", path)
        if not PATH.match(path) or path.startswith(("/", "-", "<", "*")) or "//" in path:
            return True
        name = PurePosixPath(path)
        if not name.parts or GENERATED & set(name.parts) or name.name in MADE:
            return True
        extension = name.suffix.lstrip(".")
        if path.startswith(("./", "../")):
            return self.has(document.parent / path) or (path.startswith("./") and self.has(path))
        if "/" in path:
            known = extension in EXTENSIONS
            if name.parts[0] not in self.top and not known:
                return True
            # A chart's or a crate's own document speaks of its own folder.
            places = [folder / path for folder in document.parents]
            return any(self.has(place) for place in places) or (
                name.parts[0] not in self.top and self.has(f"*/{path}")
            )
        if extension in EXTENSIONS - NEED_SLASH:
            return name.name in self.names or bool(re.search(r"[<*{]", path))
        return True

    def dead_link(self, document, target):
        """What is wrong with a link's target, or None."""
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", target) or target.startswith("//"):
            return None
        path, _, anchor = target.partition("#")
        place = PurePosixPath(os.path.normpath(document.parent / unquote(path))) if path else document
        if path and (place.is_absolute() or place not in self.entries):
            return f"no such file: {target}"
        if anchor and place.suffix == ".md" and not re.fullmatch(r"L\d+(-L\d+)?", anchor):
            if unquote(anchor) not in anchors((self.root / place).read_text("utf-8")):
                return f"no such anchor: {target}"
        return None

    def faults(self):
        for document in self.documents():
            for number, line in prose((self.root / document).read_text("utf-8")):
                bare = CODE.sub("", line)
                definition = DEFINITION.match(bare)
                # Links may hold code in their text, so they are read from the whole line.
                targets = [found[1] for found in LINK.finditer(line)] + ([definition[1]] if definition else [])
                for target in targets:
                    wrong = self.dead_link(document, target)
                    if wrong:
                        yield f"{document}:{number}: {wrong}"
                for found in CODE.finditer(line):
                    for word in found[2].split():
                        if not self.alive(document, word.rstrip(".,;:")):
                            yield f"{document}:{number}: no such path: {word}"


def self_test():
    good = """# A heading, with `code`
`mesh/src/lib.rs`, `mesh/src/`, `mesh/src/lib.rs:3`, `lib.rs`, `src/lib.rs`, `mesh/**/<name>.rs`,
`mesh/src/{lib,main}.rs`, `target/debug/x.rs`, `POST /oauth/token`, `application/json`, `/etc/propdev/x.toml`,
`propdev.auth.v1`, `svc/<service>`, [a](mesh/README.md#two-words), [b](#a-heading-with-code),
[`c`](mesh/src/lib.rs) [d](https://example.org/x.md)
```
`mesh/not/there.rs` [e](nowhere.md)
```
"""
    dead = {
        "`mesh/src/gone.rs`": "no such path: mesh/src/gone.rs",
        "see `docs/gone.md` there": "no such path: docs/gone.md",
        "`gone.rs`": "no such path: gone.rs",
        "`mesh/src/{lib,gone/x}.toml`": "no such path: mesh/src/{lib,gone/x}.toml",
        "[a](gone.md)": "no such file: gone.md",
        "[a](../outside.md)": "no such file: ../outside.md",
        "[a](mesh/README.md#three-words)": "no such anchor: mesh/README.md#three-words",
        "[a](#nothing)": "no such anchor: #nothing",
        "[a]: gone.md": "no such file: gone.md",
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "mesh/src").mkdir(parents=True)
        (root / "mesh/src/lib.rs").touch()
        (root / "mesh/README.md").write_text("# One\n## Two words\n`src/lib.rs`\n")

        def faults(text):
            (root / "README.md").write_text(text)
            return list(Repository(root).faults())

        assert faults(good) == [], faults(good)
        for text, wrong in dead.items():
            assert faults("\n" + text) == [f"README.md:2: {wrong}"], (text, faults("\n" + text))
    print(f"lint-docs: fine, {len(dead)} dead ones found")


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if sys.argv[1:]:
        sys.exit(__doc__)
    repository = Repository(Path(__file__).resolve().parent.parent)
    faults = list(repository.faults())
    for fault in faults:
        print(fault)
    if faults:
        sys.exit(1)
    print(f"lint-docs: fine, {len(repository.documents())} documents")


if __name__ == "__main__":
    main()
