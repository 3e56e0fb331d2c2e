#!/usr/bin/env python3
"""Hides one made-up credential a case, and prints which scanner finds its value.

    testdata/peers.py quell=bin/quell gitleaks=… betterleaks=…

All run without network access at their defaults, except that archives are opened
(--max-archive-depth 8) and values are printed. A case counts as found if the report
contains the exact value.
"""
import base64
import io
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile

random.seed(20)
DIGITS = "0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"


def some(alphabet, n):
    return "".join(random.choice(alphabet) for _ in range(n))


def pat():
    return "glpat-" + some(LOWER + LOWER.upper() + DIGITS, 20)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def git(path, *args):
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null")
    for who in "AUTHOR", "COMMITTER":
        env[f"GIT_{who}_NAME"], env[f"GIT_{who}_EMAIL"] = "Demo", "demo@example.com"
    subprocess.run(["git", "-C", path, *args], check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tarball(files):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return b.getvalue()


def plain(d):
    v = pat()
    write(d + "/app.env", f"GITLAB_TOKEN={v}\n")
    return v


def twice(d):
    v = pat()
    inner = base64.b64encode(f"token={v}".encode())
    write(d + "/secret.yaml", b"data: " + base64.b64encode(b'{"auth":"' + inner + b'"}') + b"\n")
    return v


def wide(d):
    v = pat()
    write(d + "/export.txt", b"\xff\xfe" + f"GITLAB_TOKEN={v}\r\n".encode("utf-16-le"))
    return v


def cookie(d):
    v = some(LOWER + DIGITS, 32)
    write(d + "/debug.log", f"> GET /admin/ HTTP/1.1\n> Cookie: csrftoken=x; sessionid={v}\n")
    return v


def wrapped(d):
    v = pat()
    text = f"remote: fatal: unable to access https://oauth2:{v}@gitlab.example.com/g/p.git"
    write(d + "/job.log", "".join(f"2026-11-30T10:00:00.{n}000000Z {text[n * 60:(n + 1) * 60]}\n" for n in range((len(text) + 59) // 60)))
    return v


def coloured(d):
    v = pat()
    write(d + "/job.log", f"GITLAB_TOKEN=\x1b[32m{v[:12]}\x1b[1m{v[12:]}\x1b[0m\n")
    return v


def removed(d):
    v = plain(d)
    git(d, "init", "-q")
    git(d, "add", "-A")
    git(d, "commit", "-qm", "one")
    git(d, "rm", "-q", "app.env")
    git(d, "commit", "-qm", "two")
    return v


def amended(d):
    v = plain(d)
    git(d, "init", "-q")
    git(d, "add", "-A")
    git(d, "commit", "-qm", "one")
    write(d + "/app.env", "GITLAB_TOKEN=\n")
    git(d, "commit", "-qa", "--amend", "-m", "one")
    git(d, "reflog", "expire", "--expire=now", "--all")
    return v


def layer(d):
    v = pat()
    layers = {"a/layer.tar": tarball({"root/.netrc": f"machine gitlab.com password {v}\n".encode()}), "b/layer.tar": tarball({"root/.wh..netrc": b""})}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": ["app:1"], "Layers": list(layers)}]).encode()
    write(d + "/image.tar", tarball({"manifest.json": manifest, "config.json": config, **layers}))
    return v


CASES = [
    ("token in a file", plain, "path"),
    ("token in base64 in base64", twice, "path"),
    ("token in a file in UTF-16", wide, "path"),
    ("session cookie in a debug log", cookie, "log"),
    ("token wrapped over the stamped lines of a log", wrapped, "log"),
    ("token with terminal colours inside", coloured, "log"),
    ("file that the next commit removes", removed, "git"),
    ("commit that was amended, without a reflog", amended, "git"),
    ("file that a later layer of an image deletes", layer, "image"),
]


def command(name, binary, kind, d, out):
    if name == "quell":
        target = d + "/image.tar" if kind == "image" else d
        return [binary, "scan", kind, target, "--offline", "--reveal", "--format", "jsonl", "--output", out]
    return [binary, "git" if kind == "git" else "dir", d, "--no-banner", "--max-archive-depth", "8", "--report-format", "json", "--report-path", out]


def main():
    tools = [a.split("=", 1) for a in sys.argv[1:]]
    if not tools or any(len(t) != 2 for t in tools):
        sys.exit(__doc__)
    print("| case | " + " | ".join(name for name, _ in tools) + " |\n|---|" + "---|" * len(tools))
    with tempfile.TemporaryDirectory() as work:
        env = dict(os.environ, HOME=work + "/home")
        for n, (title, make, kind) in enumerate(CASES):
            d = f"{work}/{n}"
            os.makedirs(d)
            value, row = make(d), []
            for name, binary in tools:
                out = f"{work}/{n}-{name}"
                p = subprocess.run(command(name, os.path.abspath(binary), kind, d, out), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                if not os.path.exists(out):
                    sys.exit(f"{name}: {p.stdout.decode(errors='replace')}")
                with open(out) as f:
                    row.append("yes" if re.search(r'[":@= ]' + re.escape(value) + r'["@\\ ]', f.read()) else "no")
            print(f"| {title} | " + " | ".join(row) + " |")


main()
