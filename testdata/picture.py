#!/usr/bin/env python3
"""Makes docs/terminal.svg: what `quell demo` shows on a terminal of 90 columns.

    testdata/picture.py bin/quell > docs/terminal.svg
"""
import fcntl
import html
import os
import pty
import re
import struct
import sys
import termios

COLS, SIZE, LINE = 90, 13, 18


def record(command):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLS), TZ="UTC")
        os.execvp(command[0], command)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLS, 0, 0))
    out = b""
    while True:
        try:
            part = os.read(fd, 65536)
        except OSError:
            break
        if not part:
            break
        out += part
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    return out.decode().replace("\r\n", "\n")


def screen(text):
    """The scan of the log and the first proof, as they stay on the screen."""
    lines = []
    for line in text.split("\n"):
        line = line.split("\x1b[K")[-1].split("\r")[-1]
        lines.append(re.sub(r"/\S*/quell-demo-\d+/", "", line))
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    scan = next(i for i, line in enumerate(plain) if line.startswith("$ quell scan log"))
    scan_end = next(i for i in range(scan, len(plain)) if plain[i].startswith("1 credential"))
    apply = next(i for i, line in enumerate(plain) if line.startswith("$ quell apply"))
    proof = next(i for i in range(apply, len(plain)) if plain[i].startswith("CONFIRMED"))
    proof_end = next(i for i in range(proof, len(plain)) if not plain[i].strip())
    tail = next(line for line in plain if "leaked credentials are proven dead" in line)
    return lines[scan:scan_end + 1] + [""] + lines[apply:apply + 1] + lines[proof:proof_end] + ["", "\x1b[1m" + tail + "\x1b[0m"]


def svg(lines):
    width, height = int(COLS * SIZE * 0.6) + 40, len(lines) * LINE + 60
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="quell demo in a terminal: a leaked bearer token is found live, revoked and proven dead">',
        "<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#d6deeb;white-space:pre}.r{fill:#ff6b6b;font-weight:bold}.g{fill:#5bd68a}.y{fill:#f2c94c}.b{font-weight:bold}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#10151f"/>',
        '<circle cx="20" cy="18" r="6" fill="#ff5f57"/><circle cx="40" cy="18" r="6" fill="#febc2e"/><circle cx="60" cy="18" r="6" fill="#28c840"/>',
    ]
    classes = {"1;31": "r", "32": "g", "33": "y", "1": "b"}
    for n, line in enumerate(lines):
        parts = []
        for color, text in re.findall(r"(?:\x1b\[([0-9;]+)m)?([^\x1b]*)(?:\x1b\[0m)?", line):
            if text:
                c = classes.get(color)
                parts.append(f'<tspan class="{c}">{html.escape(text)}</tspan>' if c else html.escape(text))
        out.append(f'<text x="20" y="{50 + n * LINE}" xml:space="preserve">{"".join(parts)}</text>')
    return "\n".join(out + ["</svg>", ""])


sys.stdout.write(svg(screen(record([sys.argv[1], "demo"]))))
